"""How a task's tests become the `worker` grader's.

The grader takes one source that defines `check(candidate)` and runs it in a sandbox where no candidate ever is. The
source made here carries every file of `tests/`, unpacks them there, imports each `test_*.py`, and calls each of their
`test_*` functions with the candidate. All are imported before one is called: a fault of the tests shows itself before
it could be taken for the candidate's.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from environments.folders.places import Fault
from environments.folders.settings import Settings

MAX_TESTS_BYTES = 400_000
"""As Python literals they take up to four times as much, of a frame of 800,000 bytes for text."""
MAX_SOURCE_BYTES = 700_000

_RUNNER = """\
import importlib, os, pathlib, sys, tempfile

FILES = {files!r}
MODULES = {modules!r}

def check(candidate):
    root = pathlib.Path(tempfile.mkdtemp())
    for name, data in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    os.chdir(root)
    sys.path.insert(0, str(root))
    for module in [importlib.import_module(name) for name in MODULES]:
        for name, test in list(vars(module).items()):
            if name.startswith("test_") and getattr(test, "__module__", None) == module.__name__:
                test(candidate)
"""


def read_worker(
    settings: Settings, folder: Path, tests: Mapping[str, bytes], faults: list[Fault]
) -> tuple[str, dict[str, Any]]:
    """The entry point and the grader's data."""
    wanted = "the name of the function that the tests call"
    entry_point = settings.text("entry_point", wanted, pattern=r"[A-Za-z_]\w*", required=True) or ""
    modules = [Path(name).stem for name in tests if re.fullmatch(r"test_\w+\.py", name)]
    if not modules:
        faults.append(Fault(folder, 0, "has no test_*.py: at least one file of tests is needed"))
    for name, data in tests.items():
        _check_source(folder / name, name, data, faults)
    source = _RUNNER.format(files=dict(tests), modules=modules)
    if len(source) > MAX_SOURCE_BYTES:
        faults.append(Fault(folder, 0, f"packed, the tests have {len(source):,} bytes, at most {MAX_SOURCE_BYTES:,}"))
    return entry_point, {"prompt": "", "test": source, "entry_point": entry_point}


def _check_source(path: Path, name: str, data: bytes, faults: list[Fault]) -> None:
    if not name.endswith(".py"):
        return
    stem = Path(name).stem
    if "/" not in name and stem in sys.stdlib_module_names:
        faults.append(Fault(path, 0, f"would hide Python's own module {stem!r}: choose another name"))
    tree = parse(path, data, faults)
    if tree is not None and re.fullmatch(r"test_\w+\.py", name):
        _check_tests(path, tree, faults)


def parse(path: Path, data: bytes, faults: list[Fault]) -> ast.Module | None:
    """A Python source's syntax tree, nothing of it run; None where it has a fault."""
    try:
        return ast.parse(data)
    except SyntaxError as error:
        faults.append(Fault(path, error.lineno or 0, f"no Python: {error.msg}"))
    except ValueError as error:
        faults.append(Fault(path, 0, f"no Python: {error}"))
    except (RecursionError, MemoryError):  # what the parser says of too deep a nesting
        faults.append(Fault(path, 0, "is nested too deeply"))
    return None


def _check_tests(path: Path, tree: ast.Module, faults: list[Fault]) -> None:
    seen: dict[str, int] = {}
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or not node.name.startswith("test_"):
            continue
        if isinstance(node, ast.AsyncFunctionDef):
            faults.append(Fault(path, node.lineno, f"{node.name} is asynchronous: nothing would await it"))
        elif _parameters(node) != 1:
            faults.append(Fault(path, node.lineno, f"{node.name} must take one argument, the candidate"))
        if node.name in seen:
            reason = f"{node.name} is defined in line {seen[node.name]} already, which would never run"
            faults.append(Fault(path, node.lineno, reason))
        seen[node.name] = node.lineno
    if not seen:
        faults.append(Fault(path, 0, "defines no function test_*"))


def _parameters(node: ast.FunctionDef) -> int:
    """How many arguments must be given; -1 where more than positions are asked for."""
    given = node.args
    required_keywords = [default for default in given.kw_defaults if default is None]
    return -1 if required_keywords else len(given.posonlyargs) + len(given.args) - len(given.defaults)


def defines(tree: ast.Module, name: str) -> bool:
    """Whether a module binds a name at its top: by def, class, assignment or import."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name == name:
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if any((alias.asname or alias.name) == name for alias in node.names):
                return True
        elif any(isinstance(inner, ast.Name) and inner.id == name for inner in _targets(node)):
            return True
    return False


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []
