"""Failpoints: the registry and the code agree, and what is armed fires where, when and as often as it was told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from envserver import failpoints

ROOT = Path(failpoints.__file__).parent
NAME = "launcher.checkpoint.dumped"
HIT_THRICE = (
    f"from envserver import failpoints\nfor n in range(3):\n    failpoints.hit({NAME!r})\n    print(n, flush=True)"
)


def hits(**environment: str) -> subprocess.CompletedProcess[str]:
    """A process that comes to one failpoint three times, and prints how often it got past."""
    command = [sys.executable, "-c", HIT_THRICE]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_the_registry_names_what_the_code_hits_and_nothing_else() -> None:
    found = [
        name for file in ROOT.rglob("*.py") for name in re.findall(r'failpoints\.hit\("([^"]+)"\)', file.read_text())
    ]
    assert set(found) == failpoints.FAILPOINTS


def test_nothing_happens_where_nothing_is_armed() -> None:
    assert hits().stdout == "0\n1\n2\n"


def test_the_process_dies_at_the_nth_hit() -> None:
    done = hits(ENVSERVER_FAILPOINTS=f"{NAME}=kill@2")
    assert (done.stdout, done.returncode) == ("0\n", -signal.SIGKILL)


def test_an_error_is_raised_once() -> None:
    done = hits(ENVSERVER_FAILPOINTS=f"{NAME}=raise@3, launcher.create.started=kill")
    assert done.stdout == "0\n1\n"
    assert f"OSError: failpoint {NAME}" in done.stderr


@pytest.mark.parametrize("wrong", ["no.such.point=kill", f"{NAME}=explode", f"{NAME}=kill@soon"])
def test_what_names_no_failpoint_is_refused_at_the_start(wrong: str) -> None:
    assert "ValueError" in hits(ENVSERVER_FAILPOINTS=wrong).stderr


def test_a_file_arms_a_process_that_runs_and_fires_once_for_all(tmp_path: Path) -> None:
    file = tmp_path / "armed"
    assert hits(ENVSERVER_FAILPOINTS_FILE=str(file)).stdout == "0\n1\n2\n"
    file.write_text(f"{NAME}=kill@2\n")
    assert hits(ENVSERVER_FAILPOINTS_FILE=str(file)).returncode == -signal.SIGKILL
    assert (tmp_path / "armed.fired").read_text() == NAME
    assert hits(ENVSERVER_FAILPOINTS_FILE=str(file)).stdout == "0\n1\n2\n"
    (tmp_path / "armed.fired").unlink()
    assert hits(ENVSERVER_FAILPOINTS_FILE=str(file)).stdout == "0\n"
