"""The interpreter, the shell and the files as tools: what a model reads of them, and what counts as failed."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from environments.environment import StepContext
from environments.tasks import GraderSpec, Task
from environments.tools.kits.code import BashKit, PythonKit
from environments.tools.kits.files import FilesKit
from environments.tools.tool import ArgumentsError, ToolContext, ToolError, ToolResult
from envserver.runtimes.base import SandboxFileError
from envserver_sdk.models import Outcome
from tests.unit.local_sandbox import LocalSandbox

TASK = Task("t", "Do it.", GraderSpec("answer"))
PNG = b"\x89PNG\r\n\x1a\n"


class Desk:
    def __init__(self, root: Path) -> None:
        self.sandbox = LocalSandbox(root, python=sys.executable)
        self.kits = [PythonKit(), BashKit(), FilesKit()]

    async def call(self, name: str, timeout_s: float = 20.0, **arguments: Any) -> ToolResult:
        (tool,) = (kit.tools[name] for kit in self.kits if name in kit.tools)
        return await tool.call(ToolContext(self.sandbox, StepContext(timeout_s), 1), arguments)

    def file(self, name: str) -> Path:
        return self.sandbox.root / "workspace" / name


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "desk")
    for kit in made.kits:
        await kit.begin(made.sandbox, TASK, 0)
    yield made
    await made.sandbox.destroy()


async def test_a_cell_keeps_its_variables_and_says_what_it_came_to(desk: Desk) -> None:
    await desk.call("python", code="n = 40")
    result = await desk.call("python", code="print('hello')\nn + 2")
    assert (result.text, result.error, result.outcome) == ("hello\nresult: 42", False, Outcome.OK)


async def test_a_cell_that_raises_has_failed_and_shows_where(desk: Desk) -> None:
    result = await desk.call("python", code="x = 1\n1 / 0")
    assert result.error
    assert "error: ZeroDivisionError" in result.text
    assert "line 2" in result.text
    assert result.outcome is Outcome.OK


async def test_a_figure_is_a_picture(desk: Desk) -> None:
    pyplot = (
        "import sys, types\n"
        "class Figure:\n    def savefig(self, file, format): file.write(bytes.fromhex('89504e470d0a1a0a'))\n"
        "pyplot = sys.modules['matplotlib.pyplot'] = types.ModuleType('pyplot')\n"
        "pyplot.get_fignums = lambda: [1]\npyplot.figure = lambda n: Figure()\npyplot.close = lambda which: None\n"
    )
    result = await desk.call("python", code=pyplot)
    assert (result.pictures, result.text) == ((PNG,), "(no output)")


async def test_a_command_keeps_its_shell_and_its_status_says_whether_it_failed(desk: Desk) -> None:
    await desk.call("bash", command="cd /tmp; k=3")
    assert (await desk.call("bash", command="echo $k; basename $PWD")).text == "3\ntmp"
    failed = await desk.call("bash", command="echo no >&2; false")
    assert (failed.text, failed.error) == ("stderr: no\nexit_code: 1", True)


async def test_what_runs_too_long_is_stopped_and_says_so(desk: Desk) -> None:
    result = await desk.call("bash", command="sleep 60", timeout_s=0.3)
    assert (result.outcome, result.error) == (Outcome.POLICY_TIMEOUT, True)
    assert "stopped: it ran longer than 0.3 s" in result.text
    assert "its state live on" in result.text


async def test_a_call_that_fails_on_a_full_disk_says_so(desk: Desk) -> None:
    desk.sandbox.room = False
    assert (await desk.call("python", code="1")).outcome is Outcome.OK
    assert (await desk.call("python", code="1 / 0")).outcome is Outcome.DISK_FULL


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("bash", {"command": "a\0b"}, "NUL"),
        ("python", {"code": "é" * 400_001}, "800002 bytes"),
        ("python", {"code": "'\ud800'"}, "code"),
        ("write_file", {"path": "a\0b", "content": ""}, "NUL"),
        ("write_file", {"path": "a", "content": "é" * 400_001}, "800002 bytes"),
        ("read_file", {"path": ""}, "not be empty"),
        ("edit_file", {"path": "a", "old": "", "new": "x"}, "not be empty"),
        ("list_files", {"depth": 0}, "depth"),
    ],
)
async def test_arguments_that_do_not_fit_run_nothing(
    desk: Desk, name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentsError, match=message):
        await desk.call(name, **arguments)


@pytest.mark.parametrize("path", ["/etc/passwd", "../etc/passwd", "/workspace/../tmp/x", "/workspaces/x", "/"])
async def test_files_elsewhere_are_not_this_kits(desk: Desk, path: str) -> None:
    with pytest.raises(ArgumentsError, match="files are in /workspace"):
        await desk.call("read_file", path=path)
    with pytest.raises(ArgumentsError, match="files are in /workspace"):
        await desk.call("list_files", path=path)


async def test_files_are_written_changed_and_read(desk: Desk) -> None:
    assert (await desk.call("write_file", path="a/b.txt", content="one\ntwo\nthree\n")).text == (
        "/workspace/a/b.txt has 14 bytes now"
    )
    await desk.call("edit_file", path="/workspace/a/b.txt", old="two", new="zwei")
    assert (await desk.call("read_file", path="a/b.txt")).text == "one\nzwei\nthree\n"
    assert (await desk.call("read_file", path="a/b.txt", first_line=2)).text == "zwei\nthree"
    assert (await desk.call("read_file", path="a/b.txt", first_line=2, last_line=2)).text == "zwei"
    assert (await desk.call("list_files", depth=2)).text.replace("\\", "/") == "a/\na/b.txt  15"


async def test_a_file_is_seen_by_programs_and_theirs_are_read(desk: Desk) -> None:
    await desk.call("write_file", path="x", content="7")
    assert (await desk.call("bash", command="cat x; echo 8 > y")).text == "7"
    assert (await desk.call("read_file", path="y")).text == "8\n"


@pytest.mark.parametrize(
    ("name", "arguments", "problem"),
    [
        ("edit_file", {"path": "t", "old": "a", "new": "b"}, "'old' occurs 2 times"),
        ("edit_file", {"path": "t", "old": "z", "new": "b"}, "'old' does not occur"),
        ("read_file", {"path": "t", "first_line": 5}, "the file has 1 lines: there are none from 5"),
        ("read_file", {"path": "binary"}, "is no text: 4 bytes that begin with 89 50 00 0a"),
    ],
)
async def test_what_cannot_be_done_is_told(desk: Desk, name: str, arguments: dict[str, Any], problem: str) -> None:
    desk.file("t").write_text("a a")
    desk.file("binary").write_bytes(b"\x89P\0\n")
    with pytest.raises(ToolError, match=problem):
        await desk.call(name, **arguments)


async def test_a_refusal_of_the_sandbox_is_a_result(desk: Desk) -> None:
    desk.file("link").symlink_to("/etc/passwd")
    desk.file("large").write_bytes(b"x" * (4 << 20) + b"x")
    missing, link, large = [await desk.call("read_file", path=path) for path in ("none", "link", "large")]
    assert (missing.text, missing.error) == ("Error: /workspace/none: no such file", True)
    assert "symbolic link" in link.text
    assert "larger than 4 MiB" in large.text


async def test_a_full_disk_is_an_outcome(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(path: str, data: bytes, **_: Any) -> None:
        raise SandboxFileError("no_space", path)

    monkeypatch.setattr(desk.sandbox, "write_file", full)
    result = await desk.call("write_file", path="a", content="")
    assert (result.outcome, result.error) == (Outcome.DISK_FULL, True)


async def test_sessions_are_of_the_snapshot(desk: Desk) -> None:
    await desk.call("python", code="n = 1")
    state = [json.loads(json.dumps(kit.snapshot())) for kit in desk.kits]
    desk.kits = [PythonKit(), BashKit(), FilesKit()]
    for kit, snapshot in zip(desk.kits, state, strict=True):
        kit.restore(desk.sandbox, TASK, snapshot)
    assert (await desk.call("python", code="n")).text == "result: 1"
