"""The steps that led to a state, across forks and restores: a world's own, and before them its ancestors'."""

from __future__ import annotations

from collections.abc import Sequence

from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.rows import GenerationRow, StepRow

MAX_ANCESTORS = 10_000


async def ancestry(journal: Journal, episode_id: str, generation: int) -> list[GenerationRow]:
    """This world's row and those of the worlds that it goes on from, nearest first; ends where none is recorded."""
    found: list[GenerationRow] = []
    known: dict[str, dict[int, GenerationRow]] = {}
    while len(found) < MAX_ANCESTORS:
        if episode_id not in known:  # an episode that is rolled back again and again is its own ancestor
            known[episode_id] = {row.generation: row for row in await journal.generations(episode_id)}
        if generation not in known[episode_id]:
            return found
        found.append(row := known[episode_id][generation])
        if row.parent_episode is None or row.parent_generation is None:
            return found
        episode_id, generation = row.parent_episode, row.parent_generation
    return found


async def steps_since_reset(journal: Journal, episode_id: str, generation: int, last: int) -> list[StepRow]:
    """Finished steps up to index `last`, from the reset on, as far as they are recorded, in their order."""
    return await steps_of(journal, await ancestry(journal, episode_id, generation), last)


async def steps_of(journal: Journal, worlds: Sequence[GenerationRow], last: int) -> list[StepRow]:
    """The same for an ancestry."""
    steps: list[StepRow] = []
    for world in worlds:
        own = await journal.steps(world.episode_id, world.generation, world.first_index + 1, last)
        steps[:0] = [step for step in own if step.result is not None]
        last = world.first_index
    return steps
