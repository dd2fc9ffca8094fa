"""Starting a browser again: after what is left of the one before, and without a profile that cannot be used."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error

from environments.browser.guest import chromium
from environments.browser.guest.chromium import Chromium, end_processes

OPTIONS = {"viewport": {"width": 640, "height": 480}, "locale": "en-US", "timezone": "UTC"}


class ScriptedBrowser:
    browser = None

    async def grant_permissions(self, _: list[str]) -> None: ...

    async def add_init_script(self, _: str) -> None: ...


class ScriptedPlaywright:
    """Refuses a profile in which a file says that it is spoilt; else leaves one behind. Its process never ends."""

    alive = True

    async def playwright(self) -> ScriptedPlaywright:
        return self

    def __init__(self) -> None:
        self.chromium = self
        self.found: list[list[str]] = []

    async def launch_persistent_context(self, profile: Path, **_: Any) -> ScriptedBrowser:
        self._open(profile)
        return ScriptedBrowser()

    def _open(self, profile: Path) -> None:
        self.found.append(sorted(each.name for each in profile.glob("*") if each.name != "Default"))
        if (profile / "spoilt").exists():
            raise Error("it does not start")
        profile.mkdir(exist_ok=True)
        (profile / "kept").touch()


@pytest.fixture
def playwright() -> ScriptedPlaywright:
    return ScriptedPlaywright()


@pytest.fixture
def made(playwright: ScriptedPlaywright, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chromium:
    monkeypatch.setattr(chromium, "HOME", tmp_path)
    return Chromium(playwright, 1, "")  # type: ignore[arg-type]  # as much of one as is used


async def test_a_profile_serves_the_next_start_without_the_locks_of_the_last(
    made: Chromium, playwright: ScriptedPlaywright, tmp_path: Path
) -> None:
    await made.start(OPTIONS)
    (tmp_path / "profile" / "SingletonLock").symlink_to("nowhere")
    _, kept = await made.start_again(OPTIONS)
    assert (kept, made.starts, playwright.found) == (True, 2, [[], ["kept"]])


async def test_no_profile_asks_for_a_dictionary_or_whether_a_password_is_known(made: Chromium, tmp_path: Path) -> None:
    preferences = tmp_path / "profile" / "Default" / "Preferences"
    await made.start(OPTIONS)
    first = json.loads(preferences.read_text())
    (tmp_path / "profile" / "spoilt").touch()
    preferences.unlink()
    await made.start_again(OPTIONS)
    assert first == json.loads(preferences.read_text())
    assert first["spellcheck"] == {"blocked_dictionaries": ["en-US"]}
    assert first["profile"] == {"password_manager_enabled": False, "password_manager_leak_detection": False}
    assert first["credentials_enable_service"] is False


async def test_a_profile_that_cannot_be_used_is_made_anew_and_that_is_told(
    made: Chromium, playwright: ScriptedPlaywright, tmp_path: Path
) -> None:
    await made.start(OPTIONS)
    (tmp_path / "profile" / "spoilt").touch()
    _, kept = await made.start_again(OPTIONS)
    assert (kept, made.starts, playwright.found) == (False, 2, [[], ["kept", "spoilt"], []])


async def test_another_episode_finds_nothing_of_this_one(
    made: Chromium, playwright: ScriptedPlaywright, tmp_path: Path
) -> None:
    await made.start(OPTIONS)
    await made.start_again(OPTIONS)
    await made.start(OPTIONS)
    assert playwright.found[-1] == []
    assert made.starts == 1


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "import sys; print(1, flush=True); sys.stdin.read()", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.read(1)  # its arguments are its own then
        try:
            yield running
        finally:
            running.kill()


def test_processes_of_the_profile_are_ended_and_no_others(tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    with (
        process("--type=renderer", f"--user-data-dir={profile}", "x") as left,
        process(f"--type=zygote --user-data-dir={profile} x") as written_over,
        process(f"--user-data-dir={profile}2") as other,
    ):
        end_processes(profile)
        assert left.wait(0.5) == -9
        assert written_over.wait(0.5) == -9
        assert other.poll() is None
