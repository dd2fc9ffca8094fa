"""A gym environment whose program runs on this machine, and the program's own half without a process."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from environments.gym import GymEnvironment
from environments.gym.guest.host import Host
from tests.unit.environments.gym import simulators
from tests.unit.local_sandbox import LocalSandbox

Begin = Callable[..., Awaitable[GymEnvironment]]
Ask = Callable[..., dict[str, Any]]


class TroubledEnvironment(GymEnvironment):
    """Has the misbehaving environments, too."""

    sources = (*GymEnvironment.sources, simulators.__name__)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[LocalSandbox]:
    local = LocalSandbox(tmp_path / "sandbox", python=sys.executable)
    yield local
    await local.destroy()


@pytest.fixture
def begin(sandbox: LocalSandbox) -> Begin:
    async def make(env_id: str, seed: int = 0, **options: Any) -> GymEnvironment:
        environment = TroubledEnvironment()
        task = TroubledEnvironment.task_sets()["gymnasium"].get(env_id)
        environment.first = await environment.reset(sandbox, task, seed, options)  # type: ignore[attr-defined]
        return environment

    return make


def ask_of(env_id: str, seed: int = 0, **options: Any) -> tuple[Ask, dict[str, Any]]:
    """What asks a program that has made this environment, and its first answer."""
    host = Host()
    given = {"kwargs": {}, "render": False, "text": False, "max_episode_steps": None, "modules": [], **options}
    first = host.answer({"op": "make", "id": env_id, "seed": seed, **given})

    def ask(op: str, **members: Any) -> dict[str, Any]:
        how = {name: members.pop(name, False) for name in ("autoreset", "infos")}
        return host.answer({"op": op, **members, **({"how": how} if op == "step_many" else {})})

    return ask, first
