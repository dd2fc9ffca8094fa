"""What the server counts, for `GET /metrics`, and the monitor of its own event loop.

One `Metrics` object a server, with a registry of its own, so that two servers in one process (tests) do not
mix. Labels are names from closed sets (environments, outcomes, phases), never ids.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SHORT = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_LAG = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)

LAG_INTERVAL_S = 0.1


class Metrics:
    """The server's instruments. Times are seconds."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.loop_lag = Histogram(
            "envserver_loop_lag_seconds", "How late the event loop ran a timer", buckets=_LAG, registry=registry
        )
        self.queue_length = Gauge("envserver_queue_length", "Creates that wait for capacity", registry=registry)
        self.queue_wait = Histogram(
            "envserver_queue_wait_seconds", "Time that a create waited for capacity", buckets=_SHORT, registry=registry
        )
        self.episodes = Gauge("envserver_episodes", "Episodes by state", ["state"], registry=registry)
        self.create_phase = Histogram(
            "envserver_create_seconds",
            "Time of each phase of a create or reset: queue, sandbox, reset",
            ["environment", "phase"],
            buckets=_SHORT,
            registry=registry,
        )
        self.pool = Gauge("envserver_pool", "Warm sandboxes", registry=registry)
        self.pool_claims = Counter(
            "envserver_pool_claims",
            "Sandboxes asked for: a hit found one warm",
            ["environment", "result"],
            registry=registry,
        )
        self.steps = Histogram(
            "envserver_step_seconds",
            "Time of a step, grading not included",
            ["environment", "outcome"],
            buckets=_SHORT,
            registry=registry,
        )
        self.gradings = Histogram(
            "envserver_grading_seconds",
            "Time of a grading from its turn on",
            ["grader", "verdict"],
            buckets=_SHORT,
            registry=registry,
        )
        self.checkpoints = Histogram(
            "envserver_checkpoint_pause_seconds",
            "How long an episode stood still for a checkpoint",
            ["kind"],
            buckets=_SHORT,
            registry=registry,
        )
        self.sleeps = Counter(
            "envserver_sleeps", "Episodes paused or hibernated, or found so at the start", ["state"], registry=registry
        )
        self.recoveries = Counter(
            "envserver_recoveries",
            "What became of episodes whose server or sandbox had ended: attached, restored, restarted, lost",
            ["result"],
            registry=registry,
        )
        self.problems = Counter("envserver_problems", "Problem documents sent", ["code"], registry=registry)
        self.closed = Counter("envserver_episodes_closed", "Episodes closed, by reason", ["reason"], registry=registry)
        self.destroy_failures = Counter(
            "envserver_destroy_failures", "Sandboxes that could not be destroyed at once", registry=registry
        )
        self.dropped_bytes = Counter(
            "envserver_stream_dropped_bytes", "Streamed output that a slow reader did not get", registry=registry
        )

    def render(self) -> bytes:
        """The Prometheus text exposition."""
        return generate_latest(self.registry)

    async def watch_loop(self) -> None:
        """Measure how late the loop runs, for ever; cancel to stop."""
        while True:
            due = perf_counter() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self.loop_lag.observe(max(0.0, perf_counter() - due))
