"""Browsers that misbehave cost their neighbours no step, and leave nothing: briefly here, for ten minutes in full."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from tests.conftest import Node
from tests.e2e.conftest import nothing_left as nothing_left  # a fixture of theirs
from tests.e2e.helpers import sandboxes
from tests.load.browsers import Report, play
from tests.load.own_pages import own_server
from tests.load.pests import PESTS

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

SPARE_BYTES = 64 << 20
"""What a node may hold more of than before: caches that are the kernel's to drop, a log's lines."""
HELD = """
import json, os
from pathlib import Path
from envserver.launcher.node import NodeConfig
def browsers():
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield "chromium" in (process / "cmdline").read_bytes().decode("latin-1").split("\\0")[0]
        except OSError:
            pass
group = "envserver/" + NodeConfig().name
# Of processes alone: what the kernel keeps of files is its own to drop.
stats = [*Path("/sys/fs/cgroup").glob(f"memory/{group}/memory.stat"),
         *Path("/sys/fs/cgroup").glob(f"{group}/memory.stat")]
fields = [line.split() for each in stats for line in each.read_text().splitlines()]
disk = os.statvfs("/var/lib/envserver/layers")
memory = sum(int(size) for name, size in fields if name in ("total_rss", "anon"))
print(json.dumps({"browsers": sum(browsers()), "memory": memory,
                  "disk": (disk.f_blocks - disk.f_bfree) * disk.f_frsize}))
"""


def held(node: Node) -> dict[str, int]:
    """Browsers' processes, bytes of the sandboxes' memory, bytes of their layers."""
    counted: dict[str, int] = json.loads(node.docker("exec", node.container, "python3", "-c", HELD))
    return counted


@pytest.fixture
def everything_back(node: Node, nothing_left: None) -> Iterator[None]:
    """Besides what any test leaves behind: processes of Chromium, memory, disk. Destroying goes on after its answer."""
    before = held(node)
    assert before["browsers"] == 0
    yield
    give_up_at = time.monotonic() + 15
    while (after := held(node)) and time.monotonic() < give_up_at:
        if after["browsers"] == 0 and all(after[name] <= before[name] + SPARE_BYTES for name in ("memory", "disk")):
            break
        time.sleep(0.2)
    assert after["browsers"] == 0
    assert after["memory"] <= before["memory"] + SPARE_BYTES
    assert after["disk"] <= before["disk"] + SPARE_BYTES


async def run(node: Node, seconds: float, *, walkers: int, typists: int, pace_s: float) -> Report:
    async with own_server(node, PESTS) as client:
        report = await play(client, seconds, walkers=walkers, typists=typists, pace_s=pace_s)
        assert sandboxes(node) == []
    print(report.steps, report.harms, report.rewards, f"slowest {report.slowest_s:.1f} s")  # noqa: T201
    assert report.failed == [], "\n".join(report.failed[:5])
    assert {reward for rewards in report.rewards.values() for reward in rewards} == {1.0}, report.rewards
    assert set(report.rewards) >= {"spinner", "leaker", "opener"}, "they were good for something in the end"
    for harm in ("a page that hangs is closed", "a page that leaks crashes", "popups are closed"):
        assert report.harms[harm], f"no pest came to this: {harm}"
    assert report.harms["policy_timeout"]
    return report


@pytest.mark.usefixtures("everything_back")
async def test_a_browser_that_misbehaves_costs_its_neighbour_no_step(node: Node) -> None:
    await run(node, 3.0, walkers=1, typists=0, pace_s=0.0)


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("everything_back")
async def test_eight_browsers_live_for_ten_minutes_beside_all_pests(node: Node) -> None:
    report = await asyncio.wait_for(run(node, 600.0, walkers=3, typists=2, pace_s=1.5), 900)
    assert report.harms["policy_oom"]
    assert sum(report.steps.values()) > 1000
    assert report.slowest_s < 30.0
