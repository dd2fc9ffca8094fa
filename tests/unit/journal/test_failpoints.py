"""Killed at the moments that matter, a journal opens again with what it acknowledged."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from envserver.episodes.journal import Journal
from envserver.failpoints import FAILPOINTS
from tests.unit.journal.killed import SETTINGS
from tests.unit.journal.test_kill import ROOT, check

POINTS = sorted(name for name in FAILPOINTS if name.startswith("journal."))


def _run(directory: Path, failpoints: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.unit.journal.killed", directory, "1"],
        cwd=ROOT,
        env={**os.environ, "ENVSERVER_FAILPOINTS": failpoints},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("nth", [1, 7])
@pytest.mark.parametrize("point", POINTS)
async def test_a_kill_there_loses_nothing(tmp_path: Path, point: str, nth: int) -> None:
    journal = await asyncio.to_thread(Journal.open, tmp_path, SETTINGS)
    await journal.close()
    process = await asyncio.to_thread(_run, tmp_path, f"{point}=kill@{nth}")
    assert process.returncode == -signal.SIGKILL
    acknowledged: dict[int, int] = {}
    for line in process.stdout.splitlines():
        task, index = map(int, line.split())
        acknowledged[task] = index
    await check(tmp_path, acknowledged)
