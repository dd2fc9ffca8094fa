"""The example of docs/tasks.md, made from its blocks, is a sound set and passes the gate."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from environments.folders import load_task_set
from tests.conftest import ROOT
from tests.docs.blocks import find_blocks
from tests.e2e.conftest import ServerProcess, make_server, make_server_on

__all__ = ["make_server", "make_server_on"]

DOCUMENT = ROOT / "docs" / "tasks.md"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """Each block under a line that is nothing but a path is that file."""
    lines = DOCUMENT.read_text().splitlines()
    for block in find_blocks(DOCUMENT):
        named = re.fullmatch(r"`(greetings/\S+)`", lines[block.line - 3])
        if named:
            path = tmp_path / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    return tmp_path / "greetings"


def test_the_example_is_a_sound_set(example: Path) -> None:
    loaded = load_task_set(example)
    assert (loaded.name, loaded.task_ids(), loaded.task_ids("train")) == ("greetings", ("hello",), ("hello",))
    assert loaded.get("hello").limits == {"memory_bytes": 128 << 20}
    assert list(loaded.get("hello").files) == ["/workspace/languages.json"]
    assert len(list(example.rglob("*.*"))) == 6


@pytest.mark.node
def test_the_example_passes_the_gate(example: Path, make_server: Callable[..., ServerProcess]) -> None:
    server = make_server(ENVSERVER_TASKS=str(example))
    command = [sys.executable, "-m", "envserver.cli", "tasks", "check", str(example), "--url", server.url, "--json"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [entry["ok"] for entry in json.loads(said.stdout)] == [True]
