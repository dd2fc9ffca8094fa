"""The chaos campaign in short: some seeds that walk through part of the failpoints, among all other faults."""

from __future__ import annotations

import os

import pytest

from tests.chaos.campaign import KEPT, run_campaign
from tests.chaos.table import Report, render

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

SEEDS = (3, 11, 18, 24)
"""A launcher killed while it saves and while it hibernates, a server killed while it saves and while it steps."""


@pytest.mark.skipif(os.geteuid() != 0, reason="kills what runs in containers, and mounts a small file system")
def test_no_promise_is_broken_whatever_is_killed() -> None:
    report = Report()
    run_campaign(SEEDS, report, None, at_most=12, lasts_s=5.0)
    assert not report.broken, render(report, KEPT)
    assert sum(report.count("fired").values()) >= len(SEEDS), "too little was killed to show anything"
    assert report.sum("steps") > 0
