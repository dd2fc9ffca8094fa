"""Beginning a world by taking recorded actions again: the weakest checkpoint, and the one that always works.

What an action observes may differ from what it observed then (time, chance, other programs' doing). The first
difference is reported in the `info` of the beginning, with both observations and the path to it; it is never hidden.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from environments.environment import JsonObject
from envserver.episodes.divergence import first_difference
from envserver.episodes.plan import Plan
from envserver.episodes.saved import Saved
from envserver.episodes.services import Services
from envserver.episodes.stepping import Attempt, Done, read_usage, run_step
from envserver.episodes.world import World, begin_world
from envserver_sdk.errors import InfraError


async def replay_world(services: Services, plan: Plan, generation: int, saved: Saved) -> World:
    """Reset with the same seed and take the recorded actions. Raises: as `begin_world`; InfraError when one fails."""
    state = saved.state
    world = await begin_world(services, plan, generation, state.seed, state.options)
    try:
        divergence = await _take(services, world, state.actions)
    except BaseException:
        await services.destroy(world.sandbox)
        raise
    world.info = {**world.info, "replayed_steps": len(state.actions), "divergence": divergence}
    world.snapshot = world.environment.snapshot()
    world.first_index, world.reward = saved.row.step_index, state.reward
    return world


async def _take(services: Services, world: World, actions: list[Any]) -> JsonObject | None:
    divergence: JsonObject | None = None
    for index, (action, timeout_s, observed) in enumerate(actions, start=1):
        done = await _step(services, world, action, timeout_s)
        if done.world_over or done.submitted or done.terminated or done.truncated:
            raise InfraError(f"the replay ended at step {index} of {len(actions)}: {done.outcome.value}")
        world.observation = done.observation
        observation = from_json(done.observation)
        if divergence is None and (difference := first_difference(observed, observation)) is not None:
            divergence = {
                "step_index": index, "path": difference.path, "recorded": observed, "replayed": observation,
            }  # fmt: skip
    return divergence


async def _step(services: Services, world: World, action: Any, timeout_s: float) -> Done:
    series = world.sandbox.reserve_series()
    done = await run_step(services, world, action, Attempt(series, timeout_s, read_usage(world)))
    world.sandbox.settle_series(series)
    return done
