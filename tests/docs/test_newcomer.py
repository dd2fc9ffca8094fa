"""benchmarks/newcomer.py, without the minutes that a node takes: its phases are make's, and nothing stays behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.newcomer import PHASES
from tests.conftest import ROOT

DEMO = """
demo:
	@mkdir .venv && touch .venv/.installed
	@echo python3 -m venv .venv
	@echo .venv/bin/envserver images build; echo "base: unchanged"; echo "code: built in 9 s"
	@echo docker compose up -d; echo $(PROJECT) $(ENVSERVER_PORT) $(URL)$(ENVSERVER_URL) > $(SEEN)
	@echo .venv/bin/envserver demo --url here
	@{last}
down:
	@pwd > $(SEEN).down
"""


def _run(tmp_path: Path, last: str) -> subprocess.CompletedProcess[str]:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "Makefile").write_text(DEMO.format(last=last))
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["add", "Makefile"], [*author, "commit", "--quiet", "--message", "a"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    (tmp_path / "temporary").mkdir()
    elsewhere = {"URL": "http://elsewhere", "ENVSERVER_URL": "http://elsewhere", "ENVSERVER_PORT": "8000"}
    places = {"SEEN": str(tmp_path / "seen"), "TMPDIR": str(tmp_path / "temporary")}
    environment = {**os.environ, **elsewhere, **places}
    command = [sys.executable, "-m", "benchmarks.newcomer", "--source", str(repository)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_phases_begin_with_what_make_prints() -> None:
    command = ["make", "--dry-run", "--always-make", "demo"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    found = [[index for index, line in enumerate(printed) if mark.search(line)] for _, mark in PHASES]
    assert all(len(indexes) == 1 for indexes in found), found
    assert found == sorted(found)


def test_the_path_ends_with_its_times_and_leaves_nothing(tmp_path: Path) -> None:
    done = _run(tmp_path, "echo '  reward 1.0   outcome ok'")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["clone", "venv", "images", "up", "first_reward", "total", "images_built"]
    assert found["images_built"] == ["code"]
    project, port = (tmp_path / "seen").read_text().split()
    assert project != "envserver"
    assert port != "8000"
    assert (tmp_path / "seen.down").exists()
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("last", ["echo no verdict", "false"])
def test_a_path_without_a_reward_fails_with_the_reason_and_leaves_nothing(tmp_path: Path, last: str) -> None:
    done = _run(tmp_path, last)
    assert (done.returncode, done.stdout) == (1, "")
    assert ("there was no reward" if last != "false" else "status 2") in done.stderr
    assert "docker compose up -d" in done.stderr
    assert (tmp_path / "seen.down").exists()
    assert list((tmp_path / "temporary").iterdir()) == []
