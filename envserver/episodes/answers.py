"""Keyed calls of an earlier server get their answers again: as they were written down, or told from what they made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from envserver.episodes.encoding import encode_all
from envserver.episodes.episode import Episode
from envserver.episodes.idempotency import Name, Reply, given
from envserver.episodes.journal.rows import EpisodeRow
from envserver.episodes.saved import checkpoint_info
from envserver.episodes.services import Services


async def answer_calls(
    services: Services, episodes: Sequence[Episode], rows: Sequence[EpisodeRow], started: Mapping[str, bytes]
) -> None:
    """`rows` are of all episodes that were open, `started` what was told of current worlds, by episode.

    Raises: JournalError.
    """
    for call in await services.journal.calls(0.0):  # all that sweeps left: by the wall clock an hour may be any time
        name = Name.parse(call.call_key)
        answer: Awaitable[Reply] | None = None
        if call.body is not None and call.status is not None:
            answer = given(Reply(call.body, call.status))
        else:
            answer = await _answer(services, call.call_key, name.scope.split()[0], episodes, rows, started)
        if answer is not None:
            services.once(name.tenant).know(name, call.fingerprint, answer)


async def _answer(
    services: Services,
    call_key: str,
    op: str,
    episodes: Sequence[Episode],
    rows: Sequence[EpisodeRow],
    started: Mapping[str, bytes],
) -> Awaitable[Reply] | None:
    """What a call made that was not answered; None where it made nothing, or nothing whole."""
    if op in ("reset", "restore"):
        return _answer_replaced(call_key, episodes, started)
    if op == "create_group":
        groups = [row for row in await services.journal.groups() if row.call_key == call_key and row.started]
        return given(Reply(groups[0].started or b"", 201)) if groups else None
    if op == "checkpoint":
        taken = [row for row in await services.journal.checkpoints() if row.call_key == call_key]
        return given(Reply(checkpoint_info(taken[0]).model_dump_json().encode(), 201)) if taken else None
    made = [each for each in episodes if each.plan.call_key == call_key]
    # Of the world that the call began: another one may have taken its place since, or be about to.
    first = [row for each in made for row in (await services.journal.generations(each.episode_id))[:1]]
    bodies = [row.started for row in first if row.started is not None]
    if not made or len(bodies) < sum(row.call_key == call_key for row in rows):
        for each in made:
            await each.close("interrupted")
        return None
    return given(Reply(bodies[0] if op == "create" else encode_all(bodies), 201))


def _answer_replaced(
    call_key: str, episodes: Sequence[Episode], started: Mapping[str, bytes]
) -> Awaitable[Reply] | None:
    for each in episodes:
        if each.origin is not None and each.origin.call_key == call_key:
            if each.starting is not None:
                return _begun(each.starting)
            if each.episode_id in started:
                return given(Reply(started[each.episode_id]))
    return None


async def _begun(starting: asyncio.Task[bytes]) -> Reply:
    return Reply(await asyncio.shield(starting))
