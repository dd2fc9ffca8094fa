"""The arithmetic of `top`: rates and percentiles of the time between two readings."""

from __future__ import annotations

from typing import Any

import pytest

from envserver.cli.top import Reading, between, parse_metrics, percentile_ms
from envserver.metrics import Metrics

INF = float("inf")


def reading(at_s: float, steps: int, buckets: dict[float, int]) -> Reading:
    return Reading(at_s, {}, {}, 0, steps, buckets)


def test_a_percentile_is_interpolated_within_its_bucket() -> None:
    buckets = {0.001: 50, 0.002: 90, 0.004: 100, INF: 100}
    assert percentile_ms(buckets, 0.5) == 1.0
    assert percentile_ms(buckets, 0.7) == 1.5
    assert percentile_ms(buckets, 0.99) == pytest.approx(3.8)


def test_steps_beyond_the_last_bound_count_as_that_bound() -> None:
    assert percentile_ms({0.001: 0, 0.002: 1, INF: 100}, 0.99) == 2.0


def test_no_step_has_no_percentile() -> None:
    assert percentile_ms({0.001: 0, INF: 0}, 0.5) is None
    assert percentile_ms({}, 0.5) is None


def test_what_is_shown_is_of_the_time_in_between() -> None:
    before = reading(10.0, 100, {0.001: 100, 0.01: 100, INF: 100})
    after = reading(12.0, 150, {0.001: 100, 0.01: 150, INF: 150})
    steps = between(before, after)["steps"]
    assert (steps["per_s"], steps["p50_ms"]) == (25.0, 5.5)
    assert steps["since_start"]["p50_ms"] < 1.0


def test_a_server_that_was_restarted_counts_from_its_start() -> None:
    before = reading(10.0, 1000, {0.001: 1000, INF: 1000})
    after = reading(11.0, 3, {0.001: 3, INF: 3})
    assert between(before, after)["steps"]["per_s"] == 3.0


def test_the_servers_own_metrics_are_read() -> None:
    metrics = Metrics()
    metrics.steps.labels("code", "ok").observe(0.003)
    metrics.steps.labels("code", "policy_oom").observe(0.2)
    metrics.episodes.labels("live").set(4)
    metrics.queue_length.set(2)
    health: dict[str, Any] = {"status": "ok"}
    read = parse_metrics(metrics.render().decode(), health, 1.0)
    assert (read.steps, read.queue_length, read.episodes) == (2, 2, {"live": 4})
    assert read.outcomes == {"ok": 1, "policy_oom": 1}
    assert (read.buckets[0.005], read.buckets[INF]) == (1, 2)
