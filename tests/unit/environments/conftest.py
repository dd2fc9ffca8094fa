"""A code environment over a sandbox on this machine, for inputs of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from environments.code import CodeEnvironment
from environments.environment import StepContext, Transition
from environments.tasks import GraderSpec, Task
from tests.unit.local_sandbox import LocalSandbox

Step = Callable[..., Awaitable[Transition]]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[LocalSandbox]:
    local = LocalSandbox(tmp_path / "sandbox")
    yield local
    await local.destroy()


@pytest.fixture
async def environment(sandbox: LocalSandbox) -> CodeEnvironment:
    made = CodeEnvironment()
    task = Task("t", "Do it.", GraderSpec("worker"), ("/workspace/solution.py",), files={"/workspace/given.txt": b"x"})
    await made.reset(sandbox, task, 0, {})
    return made


@pytest.fixture
def step(environment: CodeEnvironment) -> Step:
    async def take(type_: str, timeout_s: float = 20.0, **members: Any) -> Transition:
        return await environment.step({"type": type_, **members}, StepContext(timeout_s))

    return take
