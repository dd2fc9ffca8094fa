"""Worlds over a sandbox on this machine, whose simulators are those of the packages installed here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from environments.environment import JsonObject, StepContext
from environments.tasks import GraderSpec, Task
from environments.tools.tool import ToolContext, ToolResult
from environments.tools.worlds import session
from environments.tools.worlds.bfcl import data
from environments.tools.worlds.kit import WorldKit
from envserver.runtimes.base import SandboxSpec
from tests.unit.local_sandbox import LocalSandbox

FILES: JsonObject = {
    "root": {
        "workspace": {
            "type": "directory",
            "contents": {
                "a.txt": {"type": "file", "content": "one\ntwo"},
                "docs": {"type": "directory", "contents": {}},
            },
        }
    }
}
WORLD: JsonObject = {
    "program": "bfcl",
    "spec": {
        "classes": ["GorillaFileSystem", "MathAPI"],
        "config": {"GorillaFileSystem": FILES},
        "long_context": False,
    },
}
ROOT = "GorillaFileSystem.root"

Call = Callable[..., Awaitable[ToolResult]]


def file_task(**grader: Any) -> Task:
    """A task in a small file system. The members are the grader's."""
    described = [*data.class_tools("GorillaFileSystem"), *data.class_tools("MathAPI")]
    hidden = {"world": {**WORLD, "tools": described, "since": {"rm": 2}}}
    grading = GraderSpec("world", {"world": WORLD, **grader})
    return Task("files", "Tidy up.", grading, public={"tools": ["world"]}, hidden=hidden)


@pytest.fixture(autouse=True)
def simulators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PATHS", (str(data.folder().parent.parent),))


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[LocalSandbox]:
    local = LocalSandbox(tmp_path / "sandbox")
    yield local
    await local.destroy()


@pytest.fixture
async def kit(sandbox: LocalSandbox) -> WorldKit:
    made = WorldKit()
    await made.begin(sandbox, file_task(), 0)
    return made


@pytest.fixture
def call(sandbox: LocalSandbox, kit: WorldKit) -> Call:
    return caller(kit, sandbox)


def caller(kit: Any, sandbox: LocalSandbox, timeout_s: float = 20.0) -> Call:
    """Calls the kit's tools as a toolbox does."""

    async def make(tool: str, **arguments: Any) -> ToolResult:
        context = ToolContext(sandbox, StepContext(timeout_s), 0)
        result: ToolResult = await kit.tools[tool].call(context, arguments)
        return result

    return make


@pytest.fixture
def make_sandbox(tmp_path: Path) -> Iterator[Callable[[SandboxSpec], Awaitable[LocalSandbox]]]:
    """What a grader makes sandboxes with; all of them must be gone in the end."""
    made: list[LocalSandbox] = []

    async def make(spec: SandboxSpec) -> LocalSandbox:
        made.append(LocalSandbox(tmp_path / f"grading{len(made)}", spec))
        return made[-1]

    yield make
    assert all(each.destroyed for each in made)
