"""The containment suite holds on both runtimes, and each of its probes is seen to fail where its control is missing."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from envserver.probes import CATALOGUE, Category, Control, Place, Probe, Report, run
from envserver.probes.inside import main as inside
from envserver.probes.inside.probing import PROBES as INSIDE
from envserver.probes.kept import RUNTIMES
from envserver.probes.runner import OUTSIDE
from envserver.runtimes.base import Runtime
from envserver.runtimes.crun import CrunRuntime
from envserver.runtimes.docker import DockerRuntime
from tests.conftest import Node
from tests.security.loosened import REMOVALS

HERE = Path(__file__).parent
MAKE: dict[str, Callable[[Path], Runtime]] = {"crun": CrunRuntime, "docker": DockerRuntime}
REPRESENTATIVE = ("SYSTEM_CALLS", "PRIVILEGES", "NETWORK", "SOCKET_MEMORY", "UIDS", "SIGNALS", "AGENT")
BROKEN = re.compile(r"the probes ended by |\w+Error: |nothing was said|no answer in time")
"""An outcome that says that the attempt was not made; it must not count as noticing."""


def removable(runtime: str, control: str) -> list[str]:
    """Names of the probes that must notice."""
    return [name for name, probe in CATALOGUE.items() if probe.control.name == control and runtime not in probe.kept]


# --- the catalogue --------------------------------------------------------------------------------------------


def test_there_are_enough_probes_of_every_category() -> None:
    assert len(CATALOGUE) >= 250
    counts = [sum(probe.category is category for probe in CATALOGUE.values()) for category in Category]
    assert min(counts) >= 8, counts


def test_every_attempt_is_in_the_catalogue_and_every_entry_is_an_attempt() -> None:
    assert inside.MODULES, "importing them fills the table"
    assert {name for name, probe in CATALOGUE.items() if probe.place is not Place.OUTSIDE} == set(INSIDE)
    assert {name for name, probe in CATALOGUE.items() if probe.place is Place.OUTSIDE} == set(OUTSIDE)


@pytest.mark.parametrize("probe", list(CATALOGUE.values()), ids=lambda probe: probe.name)
def test_a_probe_says_what_passes_and_how_it_was_seen_to_fail_or_why_not(probe: Probe) -> None:
    assert probe.passes
    assert probe.tries[0].islower()
    assert not probe.tries.endswith(".")
    assert all(difference.reason and difference.passes for difference in probe.differs.values())
    assert all(probe.kept.values())
    assert probe.control.name in REMOVALS or set(probe.kept) == set(RUNTIMES)


def test_no_removal_is_without_a_probe() -> None:
    for control in set(REMOVALS) - {"nothing"}:
        assert any(removable(runtime, control) for runtime in RUNTIMES), control


# --- the suite --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=RUNTIMES)
def report(request: pytest.FixtureRequest, node: Node) -> Report:
    async def probe() -> Report:
        runtime = MAKE[request.param](node.run)
        try:
            return await run(runtime, node.run)
        finally:
            await runtime.close()

    return asyncio.run(probe())


@pytest.mark.node
def test_every_control_holds(report: Report) -> None:
    assert [report.cells(result) for result in report.failures] == []
    assert {result.probe.name for result in report.results} == set(CATALOGUE)


@pytest.mark.node
def test_it_stays_within_its_time_and_a_neighbour_is_stepped_throughout(report: Report) -> None:
    assert report.duration_s < 90
    assert len(report.neighbour.during) >= 10


@pytest.mark.node
def test_the_program_reports_and_its_status_tells(node: Node, tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    options = ["--run", str(node.run), "--runtime", "crun", "--only", "capabilities", "--only", "leak_files", "--json"]
    command = [sys.executable, "-m", "envserver.cli", "probe", *options, "--markdown", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["ok"], document["totals"]) == (True, {"pass": 2, "FAIL": 0, "not applicable": 0})
    assert [probe["name"] for probe in document["probes"]] == ["capabilities", "leak_files"]
    assert "## leakage" in page.read_text()


# --- with a control missing -----------------------------------------------------------------------------------


def _without(node: Node, runtime: str, control: str, names: Iterable[str]) -> dict[str, str]:
    command = ["docker", "exec", "-i", node.container, "python", "-", runtime, control, *names]
    with (HERE / "loosened.py").open() as program:
        done = subprocess.run(command, stdin=program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _cases() -> Iterable[object]:
    for runtime in RUNTIMES:
        for control in REMOVALS:
            if control != "nothing" and removable(runtime, control):
                marks = () if runtime == "crun" and control in REPRESENTATIVE else (pytest.mark.full,)
                yield pytest.param(runtime, control, marks=(pytest.mark.node, *marks), id=f"{runtime}-{control}")


@pytest.mark.parametrize(("runtime", "control"), list(_cases()))
def test_each_probe_notices_that_its_control_is_missing(node: Node, runtime: str, control: str) -> None:
    names = removable(runtime, control)
    outcomes = _without(node, runtime, control, names)
    assert {name: outcome for name, outcome in outcomes.items() if BROKEN.match(outcome)} == {}
    assert {name: outcomes[name] for name in names if outcomes[name] in CATALOGUE[name].passing(runtime)} == {}


@pytest.mark.node
@pytest.mark.parametrize("runtime", ["crun", pytest.param("docker", marks=pytest.mark.full)])
def test_the_same_way_of_probing_finds_every_control_in_place(node: Node, runtime: str) -> None:
    names = [name for control in Control for name in removable(runtime, control.name)]
    outcomes = _without(node, runtime, "nothing", names)
    assert {name: said for name, said in outcomes.items() if said not in CATALOGUE[name].passing(runtime)} == {}
