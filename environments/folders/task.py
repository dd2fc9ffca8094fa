"""One task's folder: task.yaml, instruction.md, files/, tests/, solution/."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from environments.folders.places import Fault, nearest
from environments.folders.settings import Settings
from environments.folders.walk import KIB, MIB, entries, read_text, read_tree
from environments.folders.worker import MAX_TESTS_BYTES, defines, parse, read_worker
from environments.tasks import GraderSpec, Task

WORKSPACE = "/workspace"
SOLUTION = f"{WORKSPACE}/solution.py"
ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
ID_WORDS = "1 to 100 letters, digits, `.`, `_` or `-`, the first a letter or digit"
PARTS = ("task.yaml", "instruction.md", "files", "tests", "solution", "README.md")
MAX_SETTINGS_BYTES = 64 * KIB
MAX_INSTRUCTION_BYTES = 128 * KIB
MAX_FILES_BYTES = 16 * MIB
MAX_FILES = 500
MAX_SOLUTION_BYTES = 1_000_000

ISOLATIONS = ("worker",)
"""How a candidate may be kept from its tests; a grader of each name exists."""
UNAVAILABLE = {
    "blackbox": "task folders cannot declare how its program is driven; use `worker`",
    "in_process": "a candidate could forge its own verdict there; use `worker`",
}


@dataclass(frozen=True)
class FolderTask:
    """A task as its folder tells it, with what only the gate may see."""

    task: Task
    path: Path
    settings: Path
    id_line: int
    solution: Mapping[str, bytes] = field(default_factory=dict)
    """The reference, by absolute path in the sandbox; never put into an episode by the server."""


@dataclass(frozen=True)
class _Parts:
    """What is in a task's folder, read."""

    settings: str | None
    instruction: str
    files: Mapping[str, bytes]
    tests: Mapping[str, bytes]
    solution: Mapping[str, bytes]

    def digest(self) -> str:
        """Of all that makes the task what it is: two servers with the same digest play the same."""
        named = {"task.yaml": (self.settings or "").encode(), "instruction.md": self.instruction.encode()}
        named |= {f"files/{name}": data for name, data in self.files.items()}
        named |= {f"tests/{name}": data for name, data in self.tests.items()}
        digest = hashlib.sha256()
        for name, data in sorted(named.items()):
            for piece in (name.encode(), data):
                digest.update(len(piece).to_bytes(8, "big") + piece)
        return f"sha256:{digest.hexdigest()}"


def read_task(folder: Path, faults: list[Fault]) -> FolderTask:
    """Read and check a task's folder; where it has faults the result is not to be used."""
    parts = _read_parts(folder, faults)
    path = folder / "task.yaml"
    if parts.settings is None:  # that is a fault already; what it would have said is not missed line by line
        return FolderTask(Task(folder.name, "", GraderSpec("worker")), folder, path, 0)
    settings = Settings.load(path, parts.settings, faults)
    task_id = settings.text("id", ID_WORDS, pattern=ID) or folder.name
    artifacts = _artifacts(settings, path, faults)
    entry_point, grader = _isolation(settings, artifacts, folder / "tests", parts.tests, faults)
    bounds = _bounds(settings)
    image = settings.text("image", "the name of an image of the node", pattern=r"[\w./:@-]{1,255}")
    settings.refuse_unknown()
    told = (entry_point, *map(posixpath.basename, artifacts))
    _check_told(folder / "instruction.md", parts.instruction, told, faults)
    _check_leaks(folder, parts, faults)
    _check_solution(folder / "solution", parts.solution, artifacts, entry_point, faults)
    public = {"entry_point": entry_point, "digest": parts.digest(), **_shown(bounds)}
    files = _in_workspace(parts.files)
    task = Task(task_id, parts.instruction, grader, artifacts, public, files, image, **bounds)
    return FolderTask(task, folder, path, settings.line("id"), _in_workspace(parts.solution))


def _in_workspace(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{WORKSPACE}/{name}": data for name, data in files.items()}


def _read_parts(folder: Path, faults: list[Fault]) -> _Parts:
    found = {path.name: path for path in entries(folder, faults)}
    unknown = sorted(set(found) - set(PARTS))
    faults += [Fault(found[name], 0, f"is no part of a task{nearest(name, PARTS)}") for name in unknown]
    if not re.fullmatch(ID, folder.name):
        faults.append(Fault(folder, 0, f"a task's folder must have a name of {ID_WORDS}"))
    return _Parts(
        read_text(folder / "task.yaml", MAX_SETTINGS_BYTES, faults),
        _instruction(folder / "instruction.md", faults),
        _tree(found.get("files"), MAX_FILES_BYTES, faults),
        _tree(found.get("tests"), MAX_TESTS_BYTES, faults),
        _tree(found.get("solution"), MAX_SOLUTION_BYTES, faults),
    )


def _instruction(path: Path, faults: list[Fault]) -> str:
    text = read_text(path, MAX_INSTRUCTION_BYTES, faults)
    if text is not None and not text.strip():
        faults.append(Fault(path, 0, "is empty: it is all that a policy is told"))
    return text or ""


def _tree(folder: Path | None, max_bytes: int, faults: list[Fault]) -> dict[str, bytes]:
    if folder is None:
        return {}
    if not folder.is_dir():
        faults.append(Fault(folder, 0, "is a file, must be a folder"))
        return {}
    return read_tree(folder, max_bytes, MAX_FILES, faults)


def _artifacts(settings: Settings, path: Path, faults: list[Fault]) -> tuple[str, ...]:
    listed = settings.texts("artifacts")
    if listed is None:
        return (SOLUTION,)
    found: list[str] = []
    for name, line in listed:
        if not name.startswith(f"{WORKSPACE}/") or posixpath.normpath(name) != name:
            reason = f"an artifact is {name[:200]!r}, must be a plain path below {WORKSPACE}, without `..`"
            faults.append(Fault(path, line, reason))
        elif name in found:
            faults.append(Fault(path, line, f"artifact {name} is given twice"))
        else:
            found.append(name)
    if not listed:
        settings.fault("artifacts", "is empty, must name what is graded")
    return tuple(found)


def _isolation(
    settings: Settings, artifacts: tuple[str, ...], tests: Path, found: Mapping[str, bytes], faults: list[Fault]
) -> tuple[str, GraderSpec]:
    isolation = settings.mapping("isolation", required=True)
    kind = isolation.text("kind", "how the candidate is kept from its tests: worker")
    if kind in UNAVAILABLE:
        isolation.fault("kind", f"is {kind!r}: {UNAVAILABLE[kind]}")
    elif kind is not None and kind not in ISOLATIONS:
        isolation.fault("kind", f"is {kind!r}{nearest(kind, (*ISOLATIONS, *UNAVAILABLE))}")
    if kind not in (None, *ISOLATIONS):
        return "", GraderSpec("worker")
    entry_point, data = read_worker(isolation, tests, found, faults)
    isolation.refuse_unknown()
    if len(artifacts) != 1 and settings.texts("artifacts"):
        settings.fault("artifacts", f"has {len(artifacts)} usable entries, `worker` grades exactly one Python module")
    return entry_point, GraderSpec("worker", data)


def _bounds(settings: Settings) -> dict[str, Any]:
    limits = settings.mapping("limits")
    bounds = {
        "memory_bytes": limits.number("memory_bytes", 32 * MIB, 1 << 40, whole=True),
        "cpus": limits.number("cpus", 0.05, 256),
        "pids": limits.number("pids", 8, 32768, whole=True),
        "disk_bytes": limits.number("disk_bytes", 8 * MIB, 1 << 40, whole=True),
    }
    times = {
        "step_timeout_s": limits.number("step_timeout_s", 0.1, 86400),
        "episode_timeout_s": limits.number("episode_timeout_s", 1, 7 * 86400),
    }
    steps = limits.number("max_steps", 1, 100_000, whole=True)
    limits.refuse_unknown()
    return {
        "limits": {name: value for name, value in bounds.items() if value is not None},
        **times,
        "max_steps": None if steps is None else int(steps),
    }


def _shown(bounds: Mapping[str, Any]) -> dict[str, Any]:
    """What of the bounds a caller may want to know."""
    shown = {name: value for name, value in bounds.items() if name != "limits" and value is not None}
    return {"limits": {**bounds["limits"], **shown}} if bounds["limits"] or shown else {}


def _check_told(path: Path, instruction: str, words: tuple[str, ...], faults: list[Fault]) -> None:
    """What is called and what is graded must be told, or no policy could get it right."""
    missing = [word for word in words if instruction.strip() and word and word not in instruction]
    faults += [Fault(path, 0, f"does not mention {word!r}, which a policy could not guess") for word in missing]


def _check_leaks(folder: Path, parts: _Parts, faults: list[Fault]) -> None:
    hidden = {data: f"tests/{name}" for name, data in parts.tests.items() if data.strip()}
    hidden |= {data: f"solution/{name}" for name, data in parts.solution.items() if data.strip()}
    for name, data in parts.files.items():
        if data in hidden:
            faults.append(Fault(folder / "files" / name, 0, f"is the same as {hidden[data]}, which no policy may see"))


def _check_solution(
    folder: Path, solution: Mapping[str, bytes], artifacts: tuple[str, ...], entry_point: str, faults: list[Fault]
) -> None:
    if not solution:
        return
    for path in artifacts:
        name = path.removeprefix(f"{WORKSPACE}/")
        if name not in solution:
            faults.append(Fault(folder, 0, f"has no {name}, which is what is graded"))
            continue
        tree = parse(folder / name, solution[name], faults)
        if tree is not None and entry_point and not defines(tree, entry_point):
            faults.append(Fault(folder / name, 0, f"does not define {entry_point}, the entry point"))
