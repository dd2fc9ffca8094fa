"""`make chaos`: one seed after the other on one node, each history checked; exit status 1 for a broken promise.

    python -m tests.chaos --seeds 200 --first-seed 1 [--json FILE]

A seed decides what clients do and what is broken, and about when; not the scheduling of processes. So a replay takes
the same way and may not meet the same moment: the saved history is the evidence, the replay a means to look closer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from envserver.episodes.journal.errors import JournalError
from tests.chaos.checker import Violation, check
from tests.chaos.faults import Injector, Plan, plan_of
from tests.chaos.history import History
from tests.chaos.left import read_journal
from tests.chaos.proxy import ChaosProxy
from tests.chaos.sdk_wire import SdkWire
from tests.chaos.server import QUOTA_BYTES, ChaosNode, Server
from tests.chaos.table import Report, render
from tests.chaos.wire import HttpWire, WebSocketWire, Wire
from tests.chaos.workload import Client, OutOfTimeError, Shared, document_of
from tests.conftest import ROOT, started_node

KEPT = ROOT / ".build" / "chaos"
FAILPOINTS_IN_NODE = "/run/envserver/failpoints"
SMALL_DISK_BYTES = 48 << 20
DRAIN_S = 40.0
"""How long everything may take to be answered once the workload's time is up."""


@dataclass
class Outcome:
    """What one seed came to."""

    plan: Plan
    history: History
    violations: list[Violation] = field(default_factory=list)
    took_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """One line of the report."""
        history = self.history
        return {
            "seed": self.plan.seed,
            "clients": self.plan.clients,
            "took_s": round(self.took_s, 1),
            "calls": len(history.calls),
            "answered": sum(1 for call in history.calls if call.status),
            "episodes": len(history.final.episodes),
            "steps": len(history.final.steps),
            "faults": [fault.kind for fault in history.faults],
            "armed": [name for name, _ in self.plan.failpoints],
            "fired": history.fired,
            "recoveries": [[start.answered_s, start.attached_s, start.episodes] for start in history.starts[1:]],
            "violations": [[each.invariant, each.what] for each in self.violations],
        }


async def run_seed(node: ChaosNode, plan: Plan) -> Outcome:
    """One seed, from a fresh journal to what is left of it."""
    began = time.monotonic()

    def now() -> float:
        return time.monotonic() - began

    history = History(plan.seed)
    history.final.before, history.final.forgetful = node.baseline, plan.forgetful
    directory = Path(tempfile.mkdtemp(prefix="envserver-chaos-"))
    settings = {"ENVSERVER_POOL_SIZE": str(plan.pool)}
    if plan.forgetful:
        settings |= {"ENVSERVER_JOURNAL_EPISODES": "1", "ENVSERVER_JOURNAL_SWEEP_S": "0.2"}
    server = Server(node, directory, history, now, **settings)
    try:
        if "fill_disk" in plan.kinds:
            server.on_small_disk(SMALL_DISK_BYTES)
        await server.start()
        await _play(plan, node, server, history, now)
        await server.stop()
        read_journal(await asyncio.to_thread(server.copy_journal), history.final)
        history.final.after = await asyncio.to_thread(node.settled)
        if node.has_more(history.final.after):
            history.final.left = await asyncio.to_thread(node.describe)
    except (TimeoutError, OutOfTimeError, JournalError, sqlite3.Error) as error:
        history.final.unfinished.append(f"the seed's end: {error!r}")
        history.final.after = history.final.before
    finally:
        await server.destroy()
        server.read_log(history.final)
        KEPT.mkdir(parents=True, exist_ok=True)
        server.keep_log(KEPT / "server.log")
        await asyncio.to_thread(node.clear)
        shutil.rmtree(directory, ignore_errors=True)
    return Outcome(plan, history, check(history), now())


async def _play(plan: Plan, node: ChaosNode, server: Server, history: History, now: Any) -> None:
    """The workload under its faults, and then everything to its end without any."""
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(ChaosProxy(server.port))
        shared = Shared(history, now, rests_at=now() + plan.lasts_s, ends_at=now() + plan.lasts_s + DRAIN_S)
        clients = [_client(number, plan, server, proxy, shared) for number in range(plan.clients)]
        for client in clients:
            stack.push_async_callback(client.leave)
        injector = Injector(plan, node, server, proxy, history, now)
        breaking = asyncio.create_task(injector.run())
        try:
            await asyncio.gather(*(client.live(plan.operations) for client in clients))
        finally:
            breaking.cancel()
            await asyncio.gather(breaking, return_exceptions=True)
            await injector.mend()
        await asyncio.gather(*(client.finish() for client in clients))
        await clients[0].forget_all()
        await _look_around(server, history, clients[0])


def _client(number: int, plan: Plan, server: Server, proxy: ChaosProxy, shared: Shared) -> Client:
    rng = random.Random(plan.seed * 1000 + number)
    http = HttpWire(proxy.url, server.api_key)
    socket: Wire = WebSocketWire(proxy.url, server.api_key)
    sdk: Wire = SdkWire(proxy.url, server.api_key, http)
    wires = rng.choice([[http, socket], [socket, http], [sdk, http]])
    return Client(number, rng, wires, http, shared, plan.favours, groups=plan.wants_groups)


async def _look_around(server: Server, history: History, client: Client) -> None:
    """What the server thinks that it has, now that everything is closed."""
    final = history.final
    listed = document_of(await client.insist("list", {"limit": 1000}))
    final.open_episodes = [f"{each['episode_id']} {each['state']}" for each in listed["episodes"]]
    final.capacity = (await asyncio.to_thread(server.health))["capacity"]  # type: ignore[assignment]
    whole = {"environment": "code", "task": "HumanEval/0", "limits": {"disk_bytes": QUOTA_BYTES}}
    answer = await client.insist("create", whole, "whole-quota")
    final.quota_free = answer.status == 201
    if final.quota_free:
        await client.insist("close", {"episode_id": document_of(answer)["episode_id"]}, "whole-quota-close")


def run_campaign(seeds: Sequence[int], report: Report, lines: TextIO | None, **options: Any) -> None:
    """All seeds on one node. Raises: what `started_node` does."""
    with started_node(failpoints=FAILPOINTS_IN_NODE) as started:
        node = ChaosNode(started)
        for seed in seeds:
            outcome = asyncio.run(run_seed(node, plan_of(seed, **options)))
            if outcome.violations:
                (KEPT / f"seed-{seed}.launcher.log").write_text(node.log_since(outcome.took_s))
                outcome.history.save(KEPT / f"seed-{seed}.json")
                shutil.copyfile(KEPT / "server.log", KEPT / f"seed-{seed}.log")
                node.baseline = node.inventory()  # so that one seed's remains are not every later one's
            line = json.dumps(outcome.as_dict())
            report.add(outcome.as_dict())
            if lines is not None:
                lines.write(line + "\n")
                lines.flush()
            _say(line)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None, help="append a line a seed to this file")
    parser.add_argument("--check", type=Path, default=None, help="only check a saved history again")
    options = parser.parse_args()
    if options.check is not None:
        violations = check(History.load(options.check))
        for each in violations:
            _say(f"{each.invariant}: {each.what}")
        return bool(violations)
    if os.geteuid() != 0:
        parser.error("needs root: it kills what runs in containers, and mounts a small file system")
    report = Report()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    if options.json is None:
        run_campaign(seeds, report, None)
    else:
        with options.json.open("a") as lines:
            run_campaign(seeds, report, lines)
    _say(render(report, KEPT))
    return 0 if report.passed else 1
