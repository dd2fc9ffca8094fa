"""The steps that led to a state, across forks and restores: a world's own, and before them its ancestors'.

Found in one trip to the journal's reading thread, however many worlds there are.
"""

from __future__ import annotations

from collections.abc import Sequence

from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.rows import GenerationRow, StepRow
from envserver.episodes.journal.store import Reads
from envserver.episodes.journal.tables import GENERATIONS

MAX_ANCESTORS = 10_000


async def steps_since_reset(journal: Journal, episode_id: str, generation: int, last: int) -> list[StepRow]:
    """Finished steps up to index `last`, from the reset on, as far as they are recorded, in their order."""
    return await journal.read(lambda reads: steps_of(reads, ancestry(reads, episode_id, generation), last))


def ancestry(reads: Reads, episode_id: str, generation: int) -> list[GenerationRow]:
    """This world's row and those of the worlds that it goes on from, nearest first; ends where none is recorded."""
    found: list[GenerationRow] = []
    known: dict[str, dict[int, GenerationRow]] = {}
    while len(found) < MAX_ANCESTORS:
        if episode_id not in known:  # an episode that is rolled back again and again is its own ancestor
            rows = reads.rows(GENERATIONS, "WHERE episode_id = ?", (episode_id,))
            known[episode_id] = {row.generation: row for row in rows}
        if generation not in known[episode_id]:
            return found
        found.append(row := known[episode_id][generation])
        if row.parent_episode is None or row.parent_generation is None:
            return found
        episode_id, generation = row.parent_episode, row.parent_generation
    return found


def steps_of(reads: Reads, worlds: Sequence[GenerationRow], last: int) -> list[StepRow]:
    """Finished steps up to index `last` of an ancestry, in their order."""
    found: list[list[StepRow]] = []
    for world in worlds:
        own = reads.steps(world.episode_id, world.generation, world.first_index + 1, last)
        found.append([step for step in own if step.result is not None])
        last = world.first_index
    return [step for own in reversed(found) for step in own]
