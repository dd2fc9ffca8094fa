"""How a world begins: reset, restored from a checkpoint, or replayed."""

from __future__ import annotations

from envserver.episodes.plan import Plan
from envserver.episodes.replay import replay_world
from envserver.episodes.saved import Origin
from envserver.episodes.services import Services
from envserver.episodes.world import World, begin_world, restore_world
from envserver_sdk.models import CheckpointKind


async def begin(services: Services, plan: Plan, generation: int, origin: Origin) -> World:
    """Raises: as `begin_world`, `restore_world` and `replay_world`."""
    if origin.saved is None:
        return await begin_world(services, plan, generation, origin.seed, origin.options)
    if origin.saved.kind is CheckpointKind.REPLAY:
        return await replay_world(services, plan, generation, origin.saved)
    return await restore_world(services, plan, generation, origin.saved)
