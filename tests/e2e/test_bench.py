"""The short form of `make bench`: every figure is there; how fast is for the long form to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import ServerProcess

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

FIGURES = {
    "docker create + start + exec true",
    "docker exec true",
    "cold create → first observation",
    "cold create → first 1+1",
    "step over WebSocket: true in bash",
    "step over WebSocket: 1+1 in Python",
    "step over HTTP: true in bash",
    "steps/s, 4 in flight",
    "step, 4 in flight",
    "create + step + close, 4 at a time",
}
ROOTS_FIGURES = {
    "bare namespaces + overlay + exec true",
    "agent, idle episode",
    "agent and keepers, with both sessions",
    "our processes, per idle episode",
}


@pytest.mark.usefixtures("nothing_left")
def test_the_bench_prints_every_figure_as_json(server: ServerProcess, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "envserver.cli", "bench", "--short", "--url", server.url]
    result = subprocess.run(
        [*command, "--file", str(tmp_path / "bench.json")], cwd=ROOT, check=True, capture_output=True, text=True
    )
    document = json.loads((tmp_path / "bench.json").read_text())
    assert document["machine"]["cpus"] == os.cpu_count()
    figures = {figure["name"]: figure for figure in document["figures"]}
    assert set(figures) == FIGURES | (ROOTS_FIGURES if os.geteuid() == 0 else set())
    for name, figure in figures.items():
        measured = [figure["value"]] if "value" in figure else [figure["p50_ms"], figure["p99_ms"], figure["count"]]
        assert all(number > 0 for number in measured), name
        assert name in result.stdout, "the table shows it too"
