"""A crun that fails is gone, with all that it had started, before anything of its is removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from envserver.launcher import crun
from envserver.launcher.crun import Crun, SandboxFailedError

FAILS_WITH_A_CHILD = """#!/bin/sh
python3 -c 'import time; held = bytearray(300 << 20); open("{ready}", "w").close(); time.sleep(60)' &
echo $! > {pid}
until [ -e {ready} ]; do sleep 0.01; done
{end}
"""


@pytest.fixture
def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "errors").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def install(directory: Path, end: str) -> None:
    program = directory / "crun"
    program.write_text(FAILS_WITH_A_CHILD.format(ready=directory / "ready", pid=directory / "pid", end=end))
    program.chmod(0o755)


def is_alive(directory: Path) -> bool:
    pid = int((directory / "pid").read_text())
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_what_a_failed_crun_started_has_ended_when_the_failure_is_told(failing: Path) -> None:
    install(failing, "exit 3")  # the child's memory takes the kernel some time to give back
    with pytest.raises(SandboxFailedError, match="status 3"):
        Crun(failing / "crun-root", failing / "errors")("run", "x")
    assert not is_alive(failing)


def test_a_crun_that_hangs_is_ended_with_its_children(failing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(failing, "sleep 60")
    monkeypatch.setattr(crun, "TIMEOUT_S", 1.0)
    began = time.monotonic()
    with pytest.raises(SandboxFailedError, match="status -9"):
        Crun(failing / "crun-root", failing / "errors")("run", "x")
    assert time.monotonic() - began < 10
    assert not is_alive(failing)
