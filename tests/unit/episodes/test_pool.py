"""The warm pool: what is claimed, what is kept, and when it gives way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from envserver.episodes import pool
from envserver.episodes.pool import PURPOSE_POOL
from envserver.runtimes.base import CapacityError, RuntimeUnavailableError, SandboxGoneError
from envserver_sdk.models import EpisodeState, LimitsRequest
from tests.unit.episodes.helpers import begin, step, until
from tests.unit.fixtures import MakeManager
from tests.unit.scripted import Gates, ScriptedRuntime, ScriptedSandbox


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "TICK_S", 0.01)
    monkeypatch.setattr(pool, "BUSY_POLL_S", 0.001)


def warm(runtime: ScriptedRuntime) -> Sequence[ScriptedSandbox]:
    return runtime.labelled(PURPOSE_POOL)


async def test_a_second_create_of_a_kind_is_worth_a_warm_sandbox(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    manager = make_manager(pool_size=4)
    await begin(manager)
    assert not warm(runtime)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 3)  # as many as within that second
    await asyncio.sleep(0.05)
    assert len(warm(runtime)) == 3


async def test_a_warm_sandbox_becomes_the_episodes_own(make_manager: MakeManager, runtime: ScriptedRuntime) -> None:
    manager = make_manager(pool_size=1)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 1)
    claimed, made = warm(runtime)[0], runtime.counts["create"]
    runtime.hold = asyncio.Event()  # no sandbox can be made now
    episode = await begin(manager)
    assert runtime.counts["claim"] == 1
    assert runtime.counts["create"] <= made + 1  # the next warm one may have been begun
    assert claimed.spec.labels["episode"] == episode.episode_id
    assert claimed.spec.labels["purpose"] == "episode"
    assert (await step(episode, {"type": "echo", "value": 7})).observation["value"] == 7
    runtime.hold.set()
    await episode.close("deleted")
    assert claimed.sandbox_id not in runtime.sandboxes  # and nobody uses it again


async def test_reset_takes_a_warm_sandbox_too(make_manager: MakeManager, runtime: ScriptedRuntime) -> None:
    manager = make_manager(pool_size=1)
    episode, _ = await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 1)
    claimed = warm(runtime)[0]
    await manager.reset(episode.episode_id, 1, {})
    assert claimed.spec.labels["generation"] == "2"


async def test_other_limits_are_another_kind(make_manager: MakeManager, runtime: ScriptedRuntime) -> None:
    manager = make_manager(pool_size=1)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 1)
    kept = warm(runtime)[0]
    await begin(manager, limits=LimitsRequest(pids=99))
    assert runtime.counts["claim"] == 0
    assert kept in warm(runtime)


async def test_an_episode_that_may_outlive_a_warm_sandbox_gets_a_fresh_one(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    manager = make_manager(pool_size=1, default_ttl_s=3600.0)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 1)
    await begin(manager, ttl_s=7200.0)
    assert runtime.counts["claim"] == 0


async def test_a_dead_warm_sandbox_is_never_handed_out(make_manager: MakeManager, runtime: ScriptedRuntime) -> None:
    manager = make_manager(pool_size=1)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 1)
    dead = warm(runtime)[0]
    dead.dead = True
    episode = await begin(manager)
    assert await episode.sandbox() is not dead
    await until(lambda: dead.sandbox_id not in runtime.sandboxes)


@pytest.mark.parametrize("failure", [SandboxGoneError("of another image"), RuntimeUnavailableError("no launcher")])
async def test_a_claim_that_fails_costs_time_and_nothing_else(
    make_manager: MakeManager, runtime: ScriptedRuntime, failure: Exception
) -> None:
    manager = make_manager(pool_size=1)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 1)
    lost = warm(runtime)[0]
    runtime.fail_claims = [failure]
    episode = await begin(manager)
    assert episode.state is EpisodeState.LIVE
    assert lost.sandbox_id not in runtime.sandboxes


async def test_a_full_node_gives_the_pool_to_the_episode(make_manager: MakeManager, runtime: ScriptedRuntime) -> None:
    manager = make_manager(pool_size=2)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 2)
    runtime.fail_creates = [CapacityError("no uid range left")]
    await begin(manager, limits=LimitsRequest(pids=99))
    assert not warm(runtime)
    assert len(runtime.sandboxes) == 3


async def test_no_warm_sandbox_is_made_while_an_episode_begins(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    manager = make_manager(pool_size=4)
    await begin(manager)
    runtime.hold = asyncio.Event()
    runtime.creating.clear()
    beginning = [asyncio.ensure_future(begin(manager)) for _ in range(2)]
    await runtime.creating.wait()
    await asyncio.sleep(0.05)
    assert runtime.counts["create"] == 3  # the three episodes'
    runtime.hold.set()
    await asyncio.gather(*beginning)
    await until(lambda: len(warm(runtime)) == 3)


async def test_the_pool_is_given_up_when_memory_gets_short(
    make_manager: MakeManager, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(pool_size=2, min_available_memory_bytes=1000)
    free = 1_000_000
    monkeypatch.setattr(manager.services.pool, "_available", lambda: free)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 2)
    free = 1999  # episodes may still begin, above 1000
    await until(lambda: not warm(runtime))
    await begin(manager)
    await asyncio.sleep(0.05)
    assert not warm(runtime)


async def test_old_warm_sandboxes_are_replaced(
    make_manager: MakeManager, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = make_manager(pool_size=1)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) == 1)
    old = warm(runtime)[0]
    monkeypatch.setattr(pool, "MAX_AGE_S", 0.0)
    await until(lambda: old.sandbox_id not in runtime.sandboxes)


async def test_shutdown_leaves_no_warm_sandbox(make_manager: MakeManager, runtime: ScriptedRuntime) -> None:
    manager = make_manager(pool_size=2)
    await asyncio.gather(begin(manager), begin(manager))
    await until(lambda: len(warm(runtime)) >= 1)
    await manager.shutdown(5.0)
    assert not runtime.sandboxes


async def test_warm_sandboxes_of_a_server_that_was_killed_are_destroyed(
    make_manager: MakeManager, runtime: ScriptedRuntime
) -> None:
    killed = make_manager(pool_size=1)
    await asyncio.gather(begin(killed), begin(killed))
    await until(lambda: len(warm(runtime)) == 1)
    await make_manager(pool_size=0).adopt()
    assert not warm(runtime)


async def test_a_pool_of_size_none_keeps_nothing(
    make_manager: MakeManager, runtime: ScriptedRuntime, gates: Gates
) -> None:
    manager = make_manager(pool_size=0)
    await asyncio.gather(*(begin(manager) for _ in range(5)))
    await asyncio.sleep(0.02)
    assert len(runtime.sandboxes) == 5
