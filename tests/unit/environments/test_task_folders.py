"""Task sets as folders: a sound one is read whole, and each fault is reported with file, line and reason."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.folders import TaskFolderError, load_task_set, load_task_sets
from environments.folders.places import Fault
from environments.folders.settings import Settings
from environments.tasks import Task
from tests.conftest import ROOT
from tests.unit.environments.task_folders import SOUND, write_set

TASK = SOUND["hello/task.yaml"]
SET = SOUND["taskset.yaml"]


def faults_of(folder: Path, **options: Any) -> list[str]:
    """Each as `relative/path:line: reason`."""
    with pytest.raises(TaskFolderError) as raised:
        load_task_sets([folder], **options)
    return [str(fault).replace(f"{folder.resolve()}/", "") for fault in raised.value.faults]


def run_tests(task: Task, candidate: Callable[..., Any]) -> None:
    """As the harness does it, in this process."""
    namespace: dict[str, Any] = {"__name__": "tests"}
    exec(compile(task.grader.data["test"], "<test>", "exec"), namespace)
    namespace["check"](candidate)


def test_a_sound_set_is_read_whole(tmp_path: Path) -> None:
    loaded = load_task_set(write_set(tmp_path))
    assert (loaded.name, loaded.version, loaded.description) == ("greetings", "1.0", "Two of them")
    assert loaded.splits() == ("all", "train", "test")
    assert loaded.task_ids() == ("bye", "hello")
    assert loaded.task_ids("train") == ("hello",)
    task = loaded.get("hello")
    assert task.prompt == SOUND["hello/instruction.md"]
    assert task.files == {"/workspace/names.txt": b"Ada\n"}
    assert task.artifacts == ("/workspace/solution.py",)
    assert task.grader.kind == "worker"
    assert loaded.tasks["hello"].solution == {"/workspace/solution.py": SOUND["hello/solution/solution.py"].encode()}
    with pytest.raises(KeyError):
        loaded.get("gone")
    with pytest.raises(KeyError):
        loaded.task_ids("gone")


def test_nothing_hidden_is_public(tmp_path: Path) -> None:
    task = load_task_set(write_set(tmp_path)).get("hello")
    shown = f"{task.prompt}{dict(task.public)}{task.files}"
    assert "Hello, " not in shown
    assert set(task.public) == {"entry_point", "digest"}


def test_settings_of_a_task_are_taken(tmp_path: Path) -> None:
    settings = (
        "id: first/one\n".replace("/", "-") + TASK + "image: my/image:1\nartifacts: [/workspace/src/main.py]\n"
        "limits:\n  memory_bytes: 67_108_864\n  cpus: 0.5\n  disk_bytes: 16777216\n  pids: 20\n"
        "  step_timeout_s: 5\n  episode_timeout_s: 60.5\n  max_steps: 7\n"
    )
    changes = {
        "hello/task.yaml": settings,
        "hello/instruction.md": "hello in main.py",
        "hello/solution/solution.py": None,
        "hello/solution/src/main.py": "hello = print\n",
        "taskset.yaml": SET.replace("hello", "first-one"),
    }
    task = load_task_set(write_set(tmp_path, changes)).get("first-one")
    assert (task.image, task.artifacts) == ("my/image:1", ("/workspace/src/main.py",))
    assert task.limits == {"memory_bytes": 64 << 20, "cpus": 0.5, "disk_bytes": 16 << 20, "pids": 20}
    assert (task.step_timeout_s, task.episode_timeout_s, task.max_steps) == (5, 60.5, 7)
    assert task.public["limits"]["step_timeout_s"] == 5


FAULTS: list[tuple[str, dict[str, str | bytes | None], str]] = [
    ("no set file", {"taskset.yaml": None}, "has no taskset.yaml"),
    ("no name", {"taskset.yaml": 'version: "1"\n'}, "taskset.yaml:1: name is missing"),
    ("bad name", {"taskset.yaml": SET.replace("greetings", "a b")}, "taskset.yaml:1: name is 'a b', must be 1 to 100"),
    ("version is no text", {"taskset.yaml": SET.replace('"1.0"', "1.0")}, "taskset.yaml:2: version is a number, '1.0'"),
    ("unknown key", {"taskset.yaml": SET + "nmae: x\n"}, "taskset.yaml:7: nmae is not known; did you mean 'name'?"),
    ("given twice", {"taskset.yaml": SET + "name: y\n"}, "taskset.yaml:7: name is given twice"),
    ("no mapping", {"taskset.yaml": "- a\n"}, "taskset.yaml:1: the file is a list, must be a mapping"),
    ("no yaml", {"taskset.yaml": "name: [\n"}, "taskset.yaml:2: no YAML: "),
    ("tabs", {"taskset.yaml": "name: x\n\tversion: y\n"}, "taskset.yaml:2: no YAML: "),
    ("deep settings", {"taskset.yaml": "a: " + "[" * 20_000}, "taskset.yaml: is nested too deeply"),
    (
        "deep tests",
        {"hello/tests/test_x.py": "x = " + "-" * 100_000 + "1"},
        "hello/tests/test_x.py: is nested too deeply",
    ),
    ("a null byte", {"hello/tests/test_x.py": "x = '\0'"}, "hello/tests/test_x.py: no Python: "),
    ("control characters", {"taskset.yaml": "name: \x07\n"}, "taskset.yaml: no YAML: "),
    (
        "split of no task",
        {"taskset.yaml": SET.replace("[hello]", "[hallo]")},
        "taskset.yaml:5: split train names 'hallo', no task; did you mean 'hello'?",
    ),
    (
        "split names twice",
        {"taskset.yaml": SET.replace("[hello]", "\n  - hello\n  - hello")},
        "taskset.yaml:7: split train names 'hello' twice",
    ),
    ("split called all", {"taskset.yaml": SET + "  all: [bye]\n"}, "taskset.yaml:7: splits.all is every task already"),
    ("split is no list", {"taskset.yaml": SET.replace("[bye]", "bye")}, "taskset.yaml:6: splits.test is a text, 'bye'"),
    ("no settings", {"hello/task.yaml": None}, "hello/task.yaml: cannot be read: No such file"),
    ("no instruction", {"hello/instruction.md": None}, "hello/instruction.md: cannot be read"),
    ("empty instruction", {"hello/instruction.md": " \n"}, "hello/instruction.md: is empty"),
    (
        "entry point not told",
        {"hello/instruction.md": "Put it into solution.py."},
        "hello/instruction.md: does not mention 'hello'",
    ),
    ("path not told", {"hello/instruction.md": "Write hello."}, "hello/instruction.md: does not mention 'solution.py'"),
    (
        "text is no UTF-8",
        {"hello/instruction.md": b"hello solution.py\n\xff"},
        "hello/instruction.md:2: is no UTF-8: byte 18 is 0xff",
    ),
    (
        "instruction too large",
        {"hello/instruction.md": "hello solution.py" + "x" * (128 << 10)},
        "hello/instruction.md: has more than 131,072 bytes",
    ),
    ("no isolation", {"hello/task.yaml": "id: hello\n"}, "hello/task.yaml:1: isolation is missing"),
    (
        "unknown isolation",
        {"hello/task.yaml": TASK.replace("worker", "wroker")},
        "hello/task.yaml:2: isolation.kind is 'wroker'; did you mean 'worker'?",
    ),
    (
        "blackbox is not there",
        {"hello/task.yaml": TASK.replace("worker", "blackbox")},
        "hello/task.yaml:2: isolation.kind is 'blackbox': task folders cannot",
    ),
    (
        "in_process is not there",
        {"hello/task.yaml": TASK.replace("worker", "in_process")},
        "hello/task.yaml:2: isolation.kind is 'in_process': a candidate could forge",
    ),
    (
        "no entry point",
        {"hello/task.yaml": "isolation:\n  kind: worker\n"},
        "task.yaml:2: isolation.entry_point is missing",
    ),
    (
        "entry point is no name",
        {"hello/task.yaml": TASK.replace("point: hello", "point: os.exit")},
        "hello/task.yaml:3: isolation.entry_point is 'os.exit', must be the name of the function",
    ),
    (
        "unknown key below",
        {"hello/task.yaml": TASK + "  entrypoint: x\n"},
        "hello/task.yaml:4: isolation.entrypoint is not known; did you mean 'entry_point'?",
    ),
    (
        "too little memory",
        {"hello/task.yaml": TASK + "limits:\n  memory_bytes: 1024\n"},
        "hello/task.yaml:5: limits.memory_bytes is 1,024, must be a whole number between 33,554,432 and",
    ),
    (
        "memory is no number",
        {"hello/task.yaml": TASK + "limits: {memory_bytes: 64MiB}\n"},
        "hello/task.yaml:4: limits.memory_bytes is a text, '64MiB', must be a whole number",
    ),
    (
        "a limit that is not a number at all",
        {"hello/task.yaml": TASK + "limits: {cpus: .nan}\n"},
        "hello/task.yaml:4: limits.cpus is nan, must be a number between 0.05",
    ),
    (
        "unknown limit",
        {"hello/task.yaml": TASK + "limits:\n  memory: 1\n"},
        "hello/task.yaml:5: limits.memory is not known; did you mean 'memory_bytes'?",
    ),
    (
        "relative artifact",
        {"hello/task.yaml": TASK + "artifacts:\n  - solution.py\n"},
        "hello/task.yaml:5: an artifact is 'solution.py', must be a plain path below /workspace",
    ),
    (
        "artifact with ..",
        {"hello/task.yaml": TASK + "artifacts: [/workspace/../etc/passwd]\n"},
        "hello/task.yaml:4: an artifact is '/workspace/../etc/passwd'",
    ),
    (
        "artifact elsewhere",
        {"hello/task.yaml": TASK + "artifacts: [/etc/passwd]\n"},
        "hello/task.yaml:4: an artifact is '/etc/passwd'",
    ),
    ("no artifact", {"hello/task.yaml": TASK + "artifacts: []\n"}, "hello/task.yaml:4: artifacts is empty"),
    (
        "two artifacts",
        {"hello/task.yaml": TASK + "artifacts: [/workspace/solution.py, /workspace/b.py]\n"},
        "hello/task.yaml:4: artifacts has 2 usable entries, `worker` grades exactly one",
    ),
    ("bad id", {"hello/task.yaml": TASK + "id: a/b\n"}, "hello/task.yaml:4: id is 'a/b', must be 1 to 100 letters"),
    (
        "the same id",
        {"hello/task.yaml": TASK + "id: bye\n"},
        "hello/task.yaml:4: id is 'bye', as in ",
    ),
    ("a part misspelt", {"hello/test/x.py": "x"}, "hello/test: is no part of a task; did you mean 'tests'?"),
    ("a folder's name", {"hel lo/task.yaml": TASK}, "hel lo: a task's folder must have a name of 1 to 100"),
    ("no tests", {"hello/tests/test_hello.py": None}, "hello/tests: has no test_*.py"),
    (
        "tests without tests",
        {"hello/tests/test_more.py": "x = 1\n"},
        "hello/tests/test_more.py: defines no function test_*",
    ),
    (
        "tests are no Python",
        {"hello/tests/test_hello.py": "def test_a(candidate):\n    assert (\n"},
        "hello/tests/test_hello.py:2: no Python: ",
    ),
    (
        "a test that would never run",
        {"hello/tests/test_hello.py": SOUND["hello/tests/test_hello.py"] * 2},
        "hello/tests/test_hello.py:3: test_ada is defined in line 1 already",
    ),
    (
        "a test with fixtures",
        {"hello/tests/test_hello.py": "def test_a(candidate, tmp_path):\n    pass\n"},
        "hello/tests/test_hello.py:1: test_a must take one argument",
    ),
    (
        "an asynchronous test",
        {"hello/tests/test_hello.py": "async def test_a(candidate):\n    pass\n"},
        "hello/tests/test_hello.py:1: test_a is asynchronous",
    ),
    (
        "a helper that hides Python's",
        {"hello/tests/json.py": "x = 1\n"},
        "hello/tests/json.py: would hide Python's own module 'json'",
    ),
    (
        "tests too large",
        {"hello/tests/data.bin": b"\xff" * 390_000},
        "hello/tests: packed, the tests have 1,56",
    ),
    ("a test's file too large", {"hello/tests/data.bin": b"x" * 400_001}, "hello/tests/data.bin: has more than"),
    (
        "files too large",
        {"hello/files/a": b"x" * (16 << 20), "hello/files/b": b"y"},
        "hello/files/b: has more than 0 bytes",
    ),
    (
        "tests among the files",
        {"hello/files/check.py": SOUND["hello/tests/test_hello.py"]},
        "hello/files/check.py: is the same as tests/test_hello.py, which no policy may see",
    ),
    (
        "the solution among the files",
        {"hello/files/x.py": SOUND["hello/solution/solution.py"]},
        "hello/files/x.py: is the same as solution/solution.py",
    ),
    (
        "files is a file",
        {"hello/files/names.txt": None, "hello/files": "x"},
        "hello/files: is a file, must be a folder",
    ),
    (
        "a solution that is elsewhere",
        {"hello/solution/solution.py": None, "hello/solution/other.py": "x = 1"},
        "hello/solution: has no solution.py",
    ),
    (
        "a solution without the entry point",
        {"hello/solution/solution.py": "def hallo(): pass\n"},
        "hello/solution/solution.py: does not define hello",
    ),
    (
        "a solution that is no Python",
        {"hello/solution/solution.py": "def\n"},
        "hello/solution/solution.py:1: no Python",
    ),
    ("a backslash in a name", {"hello/files/a\\b": "x"}, "hello/files: a file's name is 'a\\\\b'"),
    ("a line end in a name", {"hello/files/a\nb": "x"}, "hello/files: a file's name is 'a\\nb'"),
]


@pytest.mark.parametrize(("what", "changes", "fault"), FAULTS, ids=[case[0] for case in FAULTS])
def test_a_fault_is_reported_with_its_place(
    tmp_path: Path, what: str, changes: dict[str, str | bytes | None], fault: str
) -> None:
    found = faults_of(write_set(tmp_path, changes))
    assert any(fault in line for line in found), found


def test_one_fault_is_reported_once_and_alone(tmp_path: Path) -> None:
    changes: dict[str, str | bytes | None] = {"hello/task.yaml": TASK + "limits: {pids: 1}\n"}
    assert len(faults_of(write_set(tmp_path, changes))) == 1
    missing: dict[str, str | bytes | None] = {"bye/task.yaml": None}
    assert len(faults_of(write_set(tmp_path / "other", missing))) == 1


def test_every_fault_of_every_set_is_reported_at_once(tmp_path: Path) -> None:
    write_set(
        tmp_path / "one", {"hello/instruction.md": "", "bye/task.yaml": TASK + "x: 1\n", "taskset.yaml": "name: a\n"}
    )
    write_set(tmp_path / "two", {"hello/tests/test_hello.py": "nonsense(\n"})
    found = faults_of(tmp_path)
    places = ["one/bye/", "one/hello/instruction.md", "one/taskset.yaml:1: version", "two/hello/tests/test_hello.py:1"]
    assert [any(place in line for line in found) for place in places] == [True] * 4


@pytest.mark.parametrize("place", ["hello/files/x", "hello/tests/x.py", "hello/solution/x", "x", "hello/x"])
def test_links_are_refused_wherever_they_lead(tmp_path: Path, place: str) -> None:
    (write_set(tmp_path / "set") / place).symlink_to("/etc/passwd")
    assert f"{place}: is a link" in "\n".join(faults_of(tmp_path / "set"))


def test_a_task_file_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("hello solution.py")
    folder = write_set(tmp_path / "set", {"hello/instruction.md": None})
    (folder / "hello" / "instruction.md").symlink_to(tmp_path / "elsewhere")
    assert "hello/instruction.md: is a link" in "\n".join(faults_of(folder))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(write_set(tmp_path) / "hello" / "files" / "pipe")
    assert "hello/files/pipe: is neither a file nor a folder" in "\n".join(faults_of(tmp_path))


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    many: dict[str, str | bytes | None] = {f"hello/files/{number}": "" for number in range(501)}
    assert "hello/files: has more than 500 files" in "\n".join(faults_of(write_set(tmp_path, many)))


def test_what_tools_leave_behind_is_no_part_of_a_task(tmp_path: Path) -> None:
    left: dict[str, str | bytes | None] = {
        "hello/tests/__pycache__/x.pyc": b"\x00",
        "hello/.DS_Store": "x",
        ".git/config": "x",
        "README.md": "x",
    }
    assert load_task_set(write_set(tmp_path, left)).task_ids() == ("bye", "hello")


def test_names_of_sets_may_not_clash(tmp_path: Path) -> None:
    write_set(tmp_path / "one")
    write_set(tmp_path / "two")
    (fault,) = faults_of(tmp_path)
    assert fault.startswith("two/taskset.yaml:1: name is 'greetings', which is taken")
    (taken,) = faults_of(tmp_path / "one", taken=["greetings"])
    assert taken.startswith("taskset.yaml:1: name is 'greetings', which is taken: the environment's own")


def test_paths_may_be_sets_or_folders_of_sets(tmp_path: Path) -> None:
    write_set(tmp_path / "many" / "one", {"taskset.yaml": SET.replace("greetings", "one")})
    write_set(tmp_path / "two", {"taskset.yaml": SET.replace("greetings", "two")})
    assert list(load_task_sets([tmp_path / "many", tmp_path / "two"])) == ["one", "two"]
    assert faults_of(tmp_path / "nowhere")[0].endswith("nowhere: cannot be read: No such file or directory")
    (tmp_path / "empty").mkdir()
    assert "has no taskset.yaml" in faults_of(tmp_path / "empty")[0]
    assert load_task_sets([tmp_path / "empty"], allow_empty=True) == {}
    (tmp_path / "empty" / "something").mkdir()
    assert "has no taskset.yaml" in faults_of(tmp_path / "empty", allow_empty=True)[0]


def test_the_digest_changes_with_all_that_makes_a_task(tmp_path: Path) -> None:
    changes: list[dict[str, str | bytes | None]] = [
        {},
        {"hello/tests/test_hello.py": SOUND["hello/tests/test_hello.py"] + "\n"},
        {"hello/task.yaml": TASK + "limits: {pids: 9}\n"},
        {"hello/instruction.md": "hello, solution.py"},
        {"hello/files/names.txt": "Bob\n"},
    ]
    digests = [
        load_task_set(write_set(tmp_path / str(i), c)).get("hello").public["digest"] for i, c in enumerate(changes)
    ]
    assert len(set(digests)) == len(changes)
    assert load_task_set(write_set(tmp_path / "again")).get("hello").public["digest"] == digests[0]


def test_packed_tests_run_every_function_of_every_file_with_their_helpers_and_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", list(sys.path))
    changes: dict[str, str | bytes | None] = {
        "hello/tests/test_packed_one.py": "from packed_helper import wanted\n"
        "from packed_helper import test_of_another\n"
        "def test_a(candidate):\n    assert candidate('a') == wanted('a')\n"
        "def test_b(candidate, extra=1):\n    candidate('b')\n",
        "hello/tests/test_packed_two.py": "import pathlib\n"
        "def test_c(candidate):\n    candidate(pathlib.Path('data/x.bin').read_bytes())\n",
        "hello/tests/packed_helper.py": "def wanted(x):\n    return x\n"
        "def test_of_another(candidate):\n    candidate('z')\n",
        "hello/tests/data/x.bin": b"\x00\xff",
        "hello/tests/test_hello.py": None,
    }
    task = load_task_set(write_set(tmp_path, changes)).get("hello")
    monkeypatch.chdir(tmp_path)
    called: list[object] = []

    def candidate(value: object) -> object:
        called.append(value)
        return value

    run_tests(task, candidate)
    assert called == ["a", "b", b"\x00\xff"]
    with pytest.raises(AssertionError):
        run_tests(task, lambda _: None)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading_of_settings(text: str) -> None:
    faults: list[Fault] = []
    settings = Settings.load(Path("x"), text, faults)
    taken = settings.text("a", "a text", required=True)
    settings.number("b", 0, 1)
    settings.texts("c")
    settings.mapping("d").refuse_unknown()
    settings.refuse_unknown()
    assert taken or faults, "`a` is there or missed"


@given(
    st.recursive(
        st.sampled_from(["1", "a", "null", "2001-01-01", "!!binary x", "!x y", "0x", "1_0", "on"]),
        lambda inner: st.lists(inner, max_size=3).map(lambda entries: f"[{', '.join(entries)}]"),
    )
)
def test_any_kind_of_value_where_another_is_wanted_is_a_fault_or_taken(value: str) -> None:
    faults: list[Fault] = []
    settings = Settings.load(Path("x"), f"a: {value}\nb: {value}\nc: {value}\n", faults)
    text, number = settings.text("a", "a text"), settings.number("b", 0, 10)
    assert isinstance(text, str) or text is None
    assert isinstance(number, (int, float)) or number is None
    assert all(fault.line in (1, 2, 3) for fault in faults)


def test_the_example_sets_are_sound_and_have_solutions() -> None:
    sets = load_task_sets([ROOT / "examples" / "tasks"], taken=["humaneval"])
    assert {name: len(loaded.tasks) for name, loaded in sets.items()} == {
        "algorithms": 5,
        "data-wrangling": 3,
        "text-tools": 4,
    }
    assert all(folder.solution for loaded in sets.values() for folder in loaded.tasks.values())
