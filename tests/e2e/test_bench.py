"""The short form of `make bench`: every figure is there; how fast is for the long form to say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.conftest import ServerProcess

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

BESIDE = {"docker create + start + exec true", "docker exec true"}
FIGURES = {
    "cold create → first observation",
    "cold create → first 1+1",
    "warm create → first observation",
    "warm create → first 1+1",
    "step over WebSocket: true in bash",
    "step over WebSocket: 1+1 in Python",
    "step over HTTP: true in bash",
    "steps/s, 4 in flight",
    "step, 4 in flight",
    "create + step + close, 4 at a time",
    "20 live episodes, a step a second each",
    "memory of the machine, an episode of these",
}
ROOTS_BESIDE = {"bare namespaces + overlay + exec true"}
ROOTS_FIGURES = {
    "agent, idle episode",
    "agent and keepers, with both sessions",
    "our processes, per idle episode",
}


@pytest.mark.usefixtures("nothing_left")
def test_the_bench_prints_every_figure_as_json(make_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    server = make_server(ENVSERVER_POOL_SIZE="1")
    command = [sys.executable, "-m", "envserver.cli", "bench", "--short", "--url", server.url]
    result = subprocess.run(
        [*command, "--file", str(tmp_path / "bench.json")], cwd=ROOT, check=True, capture_output=True, text=True
    )
    server.stop()
    document = json.loads((tmp_path / "bench.json").read_text())
    assert document["machine"]["cpus"] == os.cpu_count()
    beside = {figure["name"]: figure for figure in document["beside"]}
    assert set(beside) == BESIDE | (ROOTS_BESIDE if os.geteuid() == 0 else set())
    (figures,) = ({figure["name"]: figure for figure in listed} for listed in document["nodes"].values())
    assert set(figures) == FIGURES | (ROOTS_FIGURES if os.geteuid() == 0 else set())
    for name, figure in {**beside, **figures}.items():
        measured = [figure["value"]] if "value" in figure else [figure["p50_ms"], figure["p99_ms"], figure["count"]]
        # What the machine's memory does meanwhile is not ours alone: with few episodes it may even grow.
        assert all(number > 0 or figure.get("unit") == "MB" for number in measured), name
        assert name in result.stdout, "the table shows it too"
