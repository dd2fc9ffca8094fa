"""`envserver top`: health, capacity, episodes and steps of a running server, again and again.

Rates and percentiles are of the time between two readings of `/metrics`: the server's histograms only ever grow, so the
difference of two is what happened in between. A percentile is interpolated within its bucket, as Prometheus does it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envserver.cli.options import DEFAULT_URL, ApiKey, AsJson, Url

if TYPE_CHECKING:
    from rich.console import RenderableType

    from envserver_sdk import Client

app = typer.Typer()

STEPS = "envserver_step_seconds"


@dataclass(frozen=True)
class Reading:
    """One look at a server. Buckets count steps of at most so many seconds, as Prometheus does."""

    at_s: float
    health: dict[str, Any]
    episodes: dict[str, int]
    queue_length: int
    steps: int
    buckets: dict[float, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)


def parse_metrics(text: str, health: dict[str, Any], at_s: float) -> Reading:
    """The parts of a Prometheus exposition that are shown."""
    from prometheus_client.parser import text_string_to_metric_families

    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    buckets: Counter[float] = Counter()
    outcomes: Counter[str] = Counter()
    for sample in samples:
        if sample.name == f"{STEPS}_bucket":
            buckets[float(sample.labels["le"])] += int(sample.value)
        elif sample.name == f"{STEPS}_count":
            outcomes[sample.labels["outcome"]] += int(sample.value)
    return Reading(
        at_s,
        health,
        {s.labels["state"]: int(s.value) for s in samples if s.name == "envserver_episodes"},
        next((int(s.value) for s in samples if s.name == "envserver_queue_length"), 0),
        outcomes.total(),
        dict(buckets),
        dict(outcomes),
    )


def percentile_ms(buckets: dict[float, int], share: float) -> float | None:
    """Milliseconds below which `share` of the counted steps lie; None of no step.

    Steps beyond the last bound count as that bound: more is not known of them.
    """
    total = buckets.get(float("inf"), 0)
    if total <= 0:
        return None
    wanted, low, below = share * total, 0.0, 0
    for bound in sorted(buckets):
        if buckets[bound] >= wanted:
            if bound == float("inf"):
                break
            within = (wanted - below) / (buckets[bound] - below) if buckets[bound] > below else 1.0
            return round((low + (bound - low) * within) * 1000, 3)
        low, below = bound, buckets[bound]
    return round(low * 1000, 3)


def between(before: Reading, after: Reading) -> dict[str, Any]:
    """What `top` shows, as JSON. A server that was restarted in between counts from its start."""
    known = before if before.steps <= after.steps else Reading(before.at_s, {}, {}, 0, 0)
    window = {bound: count - known.buckets.get(bound, 0) for bound, count in after.buckets.items()}
    span_s = max(1e-9, after.at_s - before.at_s)
    return {
        "health": after.health,
        "episodes": after.episodes,
        "queue_length": after.queue_length,
        "steps": {
            "total": after.steps,
            "per_s": round((after.steps - known.steps) / span_s, 2),
            "p50_ms": percentile_ms(window, 0.5),
            "p99_ms": percentile_ms(window, 0.99),
            "since_start": {
                "p50_ms": percentile_ms(after.buckets, 0.5),
                "p99_ms": percentile_ms(after.buckets, 0.99),
            },
            "outcomes": after.outcomes,
        },
    }


def _read(client: Client, url: str, api_key: str | None) -> Reading:
    from envserver.cli.remote import fetch

    health = client.health().model_dump(mode="json")
    return parse_metrics(fetch(url, api_key, "/v1/metrics").decode(), health, time.monotonic())


def _views(client: Client, url: str, api_key: str | None, interval_s: float) -> Iterator[dict[str, Any]]:
    before = _read(client, url, api_key)
    while True:
        time.sleep(interval_s)
        after = _read(client, url, api_key)
        yield between(before, after)
        before = after


@app.command()
def top(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    interval_s: Annotated[float, typer.Option(min=0.05, help="Time between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option(help="One look, then end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch a running server: health, capacity, episodes by state, steps per second and their times."""
    from envserver.cli.output import console, show
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        views = _views(client, url, api_key, interval_s)
        if once or as_json:
            for view in views:
                show(view, as_json, lambda view=view: _render(view))  # type: ignore[misc]
                if once:
                    return
        _live(views, console())


def _live(views: Iterator[dict[str, Any]], on: Any) -> None:
    from rich.live import Live

    with Live(console=on, screen=on.is_terminal, auto_refresh=False) as live:
        for view in views:
            live.update(_render(view), refresh=True)


def _render(view: dict[str, Any]) -> RenderableType:
    from rich.console import Group

    from envserver.cli.output import fields, size, table

    health, steps = view["health"], view["steps"]
    capacity = health["capacity"]
    head = {
        "server": f"{health['status']}, version {health['version']}, runtime {health['runtime']}",
        "memory of limits": f"{size(capacity['used_memory_bytes'])} of {size(capacity['memory_bytes'])}",
        "CPUs of limits": f"{capacity['used_cpus']:g} of {capacity['cpus']:g}",
        "episodes": f"{capacity['admitted_episodes']} of {capacity['max_episodes']}, {view['queue_length']} queued",
        "steps": f"{steps['total']}, {steps['per_s']:g}/s",
        "step time": f"p50 {_ms(steps['p50_ms'])}, p99 {_ms(steps['p99_ms'])}",
        "since the start": f"p50 {_ms(steps['since_start']['p50_ms'])}, p99 {_ms(steps['since_start']['p99_ms'])}",
    }
    states = [(name, count) for name, count in view["episodes"].items() if count]
    outcomes = sorted(steps["outcomes"].items())
    return Group(fields(head), table(("state", ">episodes"), states), table(("outcome", ">steps"), outcomes))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"
