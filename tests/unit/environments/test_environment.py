"""The code environment's other actions, its first observation, its outcomes and its artifacts."""

from __future__ import annotations

from typing import Any

import pytest

from environments.code import CodeEnvironment
from environments.code.humaneval import HumanEval
from environments.environment import StepContext
from environments.tasks import GraderSpec, Task
from envserver.runtimes.base import Command, CommandNotStartedError, SandboxFileError, SandboxGoneError, Session
from envserver_sdk.models import Outcome
from tests.unit.environments.conftest import Step
from tests.unit.local_sandbox import LocalSandbox

FIRST_OF_TEST = ["HumanEval/2", "HumanEval/5", "HumanEval/6"]
C = """
#include <stdio.h>
int main(void) { int a; if (scanf("%d", &a) != 1) return 7; printf("%d\\n", a * 2); return 3; }
"""
CPP = "#include <iostream>\nint main() { std::string s; std::cin >> s; std::cout << s << s; }"
NODE = "process.stdin.on('data', d => console.log(String(d).toUpperCase()))"


async def test_reset_shows_the_prompt_and_puts_the_tasks_files(sandbox: LocalSandbox) -> None:
    environment = CodeEnvironment()
    task = Task("t", "Do it.", GraderSpec("worker"), files={"/workspace/a/b.txt": b"given"})
    observation, info = await environment.reset(sandbox, task, 0, {})
    assert (observation, info) == ({"prompt": "Do it.", "workspace": "/workspace"}, {})
    assert (sandbox.root / "workspace/a/b.txt").read_bytes() == b"given"
    with pytest.raises(ValueError, match="unknown options \\['x'\\]"):
        await environment.reset(sandbox, task, 0, {"x": 1})


@pytest.mark.parametrize(
    ("language", "code", "stdin", "stdout", "exit_code"),
    [
        ("python", "import sys; print(sys.stdin.read()[::-1], end=''); sys.exit(2)", "abc", "cba", 2),
        ("bash", "read x; echo $x$x; exit 4", "ab", "abab\n", 4),
        ("javascript", NODE, "abc", "ABC\n", 0),
        ("c", C, "21", "42\n", 3),
        ("c", C, None, "", 7),
        ("cpp", CPP, "ab", "abab", 0),
    ],
)
async def test_run_takes_a_program_with_input_and_reports_its_end(
    language: str, code: str, stdin: str | None, stdout: str, exit_code: int, step: Step
) -> None:
    members = {"language": language, "code": code} | ({} if stdin is None else {"stdin": stdin})
    transition = await step("run", **members)
    assert transition.outcome is Outcome.OK
    observation = transition.observation
    assert (observation["stdout"], observation["exit_code"], observation["signal"]) == (stdout, exit_code, None)
    assert observation["phase"] == "run"


async def test_a_program_that_does_not_compile_is_an_observation(step: Step) -> None:
    observation = (await step("run", language="c", code="int main( {")).observation
    assert (observation["phase"], observation["exit_code"]) == ("compile", 1)
    assert "error" in observation["stderr"]
    assert observation["error"] == "the program was not run: it does not compile"


async def test_a_program_that_dies_by_a_signal_says_so(step: Step) -> None:
    observation = (await step("run", language="c", code="int main(void) { *(volatile int *)0 = 1; }")).observation
    assert (observation["exit_code"], observation["signal"]) == (None, 11)


async def test_a_program_past_its_time_is_stopped(step: Step) -> None:
    transition = await step("run", 0.3, language="bash", code="echo begun; sleep 60")
    assert transition.outcome is Outcome.POLICY_TIMEOUT
    assert transition.observation["stdout"] == "begun\n"
    assert transition.observation["error"] == "stopped: it ran longer than 0.3 s"


async def test_programs_run_in_the_workspace_and_find_its_modules(step: Step) -> None:
    await step("write_file", path="mine.py", content="answer = 42")
    code = "import mine, os; print(mine.answer, os.path.basename(os.getcwd()))"
    assert (await step("run", language="python", code=code)).observation["stdout"] == "42 workspace\n"


async def test_files_are_written_read_and_edited(step: Step) -> None:
    written = await step("write_file", path="a/b.txt", content="one two two")
    assert written.observation == {"path": "/workspace/a/b.txt", "size_bytes": 11}
    assert (await step("edit", path="a/b.txt", old="one", new="ž")).observation["size_bytes"] == 10
    read = await step("read_file", path="/workspace/a/b.txt")
    assert read.observation == {"path": "/workspace/a/b.txt", "size_bytes": 10, "content": "ž two two"}


@pytest.mark.parametrize(
    ("old", "error"),
    [
        ("nope", "'old' does not occur in the file"),
        ("two", "'old' occurs 2 times in the file, must occur exactly once"),
    ],
)
async def test_an_edit_that_is_not_unique_changes_nothing(old: str, error: str, step: Step) -> None:
    await step("write_file", path="f", content="two two")
    transition = await step("edit", path="f", old=old, new="x")
    assert transition.outcome is Outcome.OK
    assert error in transition.observation["error"]
    assert (await step("read_file", path="f")).observation["content"] == "two two"


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("nope", "/workspace/nope: no such file"),
        (".", "/workspace: not a regular file"),
        ("big", "too large for this action"),
        ("link", "symbolic link"),
    ],
)
async def test_files_that_cannot_be_read_are_observations(
    path: str, error: str, step: Step, sandbox: LocalSandbox
) -> None:
    (sandbox.root / "workspace/big").write_bytes(b"x" * 300_000)
    (sandbox.root / "workspace/link").symlink_to("/etc/passwd")
    transition = await step("read_file", path=path)
    assert transition.outcome is Outcome.OK
    assert error in transition.observation["error"]


async def test_a_malformed_action_is_a_format_error(step: Step) -> None:
    transition = await step("python", cod="1")
    assert transition.outcome is Outcome.FORMAT_ERROR
    assert transition.observation == {"error": "'python' has no member 'cod'; it takes 'code'"}


async def test_submit_ends_the_episode(step: Step) -> None:
    transition = await step("submit")
    assert (transition.submitted, transition.outcome, transition.observation) == (True, Outcome.OK, {})


@pytest.mark.parametrize(
    "action",
    [
        {"type": "bash", "command": "false"},
        {"type": "bash", "command": "echo no space >&2"},
        {"type": "python", "code": "raise OSError(28, 'No space left on device')"},
        {"type": "run", "language": "bash", "code": "exit 1"},
    ],
)
async def test_a_step_that_failed_on_a_full_disk_says_so(
    action: dict[str, Any], environment: CodeEnvironment, sandbox: LocalSandbox
) -> None:
    sandbox.room = False
    assert (await environment.step(action, StepContext(10))).outcome is Outcome.DISK_FULL
    assert (await environment.step({"type": "bash", "command": "rm -f x"}, StepContext(10))).outcome is Outcome.OK
    sandbox.room = True
    assert (await environment.step(action, StepContext(10))).outcome is Outcome.OK


async def test_a_file_that_finds_no_room_is_a_full_disk(
    environment: CodeEnvironment, sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(path: str, data: bytes, **kwargs: object) -> None:
        raise SandboxFileError("no_space", path)

    monkeypatch.setattr(sandbox, "write_file", full)
    action = {"type": "write_file", "path": "f", "content": "x"}
    transition = await environment.step(action, StepContext(10))
    assert (transition.outcome, transition.observation) == (
        Outcome.DISK_FULL,
        {"error": "/workspace/f: no space left"},
    )


async def test_a_session_that_cannot_start_is_an_observation_and_a_lost_sandbox_is_not(
    environment: CodeEnvironment, sandbox: LocalSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(name: str, command: Command, **kwargs: object) -> Session:
        raise CommandNotStartedError("fork: EAGAIN")

    monkeypatch.setattr(sandbox, "open_session", refuse)
    transition = await environment.step({"type": "bash", "command": "true"}, StepContext(10))
    assert transition.observation == {"error": "the program could not be started: fork: EAGAIN"}
    monkeypatch.undo()
    await sandbox.destroy()
    with pytest.raises(SandboxGoneError):
        await environment.step({"type": "bash", "command": "true"}, StepContext(10))


async def test_output_is_streamed_while_the_step_runs(environment: CodeEnvironment) -> None:
    heard: list[tuple[str, bytes]] = []
    context = StepContext(10, on_output=lambda stream, data: heard.append((stream, data)))
    await environment.step({"type": "bash", "command": "echo one; echo two >&2"}, context)
    assert ("stdout", b"one\n") in heard


async def test_artifacts_are_the_declared_files_and_the_reasons_for_those_missing(
    environment: CodeEnvironment, step: Step, sandbox: LocalSandbox
) -> None:
    missing = await environment.artifacts()
    assert (dict(missing.files), missing.problems) == ({}, ("/workspace/solution.py: not_found",))
    await step("write_file", path="solution.py", content="x = 1")
    assert dict((await environment.artifacts()).files) == {"/workspace/solution.py": b"x = 1"}
    (sandbox.root / "workspace/solution.py").unlink()
    (sandbox.root / "workspace/solution.py").symlink_to("/etc/passwd")
    assert (await environment.artifacts()).problems == ("/workspace/solution.py: is_link",)


def test_humaneval_has_fixed_tasks_and_splits() -> None:
    tasks = HumanEval()
    assert CodeEnvironment.task_sets()["humaneval"].version == tasks.version
    assert list(tasks.task_ids())[:2] == ["HumanEval/0", "HumanEval/1"]
    train, test = set(tasks.task_ids("train")), set(tasks.task_ids("test"))
    assert (len(train | test), len(train & test)) == (164, 0)
    assert list(tasks.task_ids("test"))[:3] == FIRST_OF_TEST
    with pytest.raises(KeyError):
        tasks.task_ids("validation")
    with pytest.raises(KeyError):
        tasks.get("HumanEval/164")


def test_a_task_shows_its_prompt_and_hides_its_tests() -> None:
    task = HumanEval().get("HumanEval/0")
    assert "/workspace/solution.py" in task.prompt
    assert "def has_close_elements" in task.prompt
    assert "def check" not in task.prompt
    assert task.public == {"entry_point": "has_close_elements"}
    assert task.artifacts == ("/workspace/solution.py",)
    assert set(task.grader.data) == {"prompt", "test", "entry_point"}
