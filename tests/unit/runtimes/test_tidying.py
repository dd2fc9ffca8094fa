"""What nobody knows of any more is removed, also where the launcher is killed while that is tried."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from envserver.guest.connection import GuestGoneError
from envserver.runtimes import tidying
from envserver.runtimes.base import RuntimeUnavailableError, SandboxGoneError, SandboxSpec
from envserver.runtimes.crun.runtime import CrunRuntime
from envserver.runtimes.launcher import LauncherAwayError
from envserver.runtimes.tidying import Tidying


class Undone:
    """Fails so often, then does it."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.names: list[str] = []

    async def __call__(self, name: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.names.append(name)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidying, "POLL_S", 0.001)


async def test_it_is_said_again_until_a_launcher_hears_it() -> None:
    tidied, undone = Tidying(), Undone(LauncherAwayError("killed"), LauncherAwayError("not there yet"))
    await tidied.undo(undone, "a")
    assert undone.names == []
    await tidied.close()
    assert undone.names == ["a"]


async def test_what_a_launcher_refuses_is_not_said_again() -> None:
    tidied, undone = Tidying(), Undone(SandboxGoneError("unknown"))
    with pytest.raises(SandboxGoneError):
        await tidied.undo(undone, "a")
    await tidied.close()
    assert undone.names == []


async def test_a_server_that_leaves_does_not_wait_for_a_launcher_that_stays_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tidying, "_LEAVE_S", 0.05)
    tidied, undone = Tidying(), Undone(*[LauncherAwayError("gone")] * 10_000)
    await tidied.undo(undone, "a")
    await asyncio.wait_for(tidied.close(), 2)
    assert undone.failures


async def test_nobody_waits_for_a_launcher_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidying, "LAUNCHER_S", 0.02)
    with pytest.raises(LauncherAwayError):
        await Tidying().surely(Undone(*[LauncherAwayError("gone")] * 10_000), "a")


class ScriptedLauncher:
    """Makes one sandbox or checkpoint, when it is let; is away for the first destroys."""

    def __init__(self) -> None:
        self.may_make = asyncio.Event()
        self.destroyed: list[str] = []
        self.away = 2

    async def call(self, op: str, **arguments: Any) -> dict[str, Any]:
        if op in ("create", "restore"):
            await self.may_make.wait()
            return {"sandbox_id": "made", "socket": "s", "cgroup": {}, "image": "i", "limits": {}}
        assert op in ("destroy", "destroy_checkpoint")
        if self.away:
            self.away -= 1
            raise LauncherAwayError("killed")
        self.destroyed.append(arguments.get("sandbox_id") or arguments["checkpoint_id"])
        return {}

    def close(self) -> None:
        pass


class Made:
    sandbox_id = "made"

    async def detach(self) -> None:
        pass


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[CrunRuntime, ScriptedLauncher]:
    runtime, launcher = CrunRuntime(tmp_path), ScriptedLauncher()
    monkeypatch.setattr(runtime, "_launcher", launcher)
    return runtime, launcher


async def test_a_sandbox_that_nobody_waits_for_any_more_goes_though_its_launcher_is_killed(
    scripted: tuple[CrunRuntime, ScriptedLauncher], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, launcher = scripted

    async def dialled(*_: Any) -> Any:
        return Made()

    monkeypatch.setattr(runtime, "_dial", dialled)
    making = asyncio.ensure_future(runtime.create(SandboxSpec("i")))
    await asyncio.sleep(0)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    launcher.may_make.set()
    await asyncio.sleep(0.01)
    await runtime.close()
    assert launcher.destroyed == ["made"]


async def test_a_sandbox_that_does_not_answer_goes_though_its_launcher_is_killed(
    scripted: tuple[CrunRuntime, ScriptedLauncher], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, launcher = scripted

    async def silent(*_: Any) -> Any:
        raise RuntimeUnavailableError("it does not answer") from GuestGoneError("silent")

    monkeypatch.setattr(runtime, "_dial", silent)
    launcher.may_make.set()
    with pytest.raises(RuntimeUnavailableError, match="does not answer"):
        await runtime.create(SandboxSpec("i"))
    await runtime.close()
    assert launcher.destroyed == ["made"]
