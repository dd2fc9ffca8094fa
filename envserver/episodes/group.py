"""A group as it lives on after its beginning: who belongs to it, and when its stragglers are no longer waited for."""

from __future__ import annotations

import asyncio
import contextlib

from envserver import clock
from envserver.episodes.durable import written
from envserver.episodes.episode import Episode
from envserver.episodes.journal.rows import GroupRow
from envserver.episodes.services import Services
from envserver.episodes.standing import Standing
from envserver.logs import get_logger
from envserver_sdk.errors import InfraError
from envserver_sdk.models import EpisodeState, Stragglers

log = get_logger(__name__)

OVER = frozenset({EpisodeState.ENDED, EpisodeState.CLOSED, EpisodeState.FAILED, EpisodeState.LOST})


class Group:
    """Belongs to one event loop."""

    def __init__(
        self, services: Services, row: GroupRow, members: list[Episode], stragglers: Stragglers | None
    ) -> None:
        """`members` are those that are not closed yet."""
        self.group_id = row.group_id
        self.owner = row.owner
        self.created_at = row.created_at
        self.episode_ids = [member.episode_id for member in members]
        self._services = services
        self._stragglers = stragglers
        self._running = {member.episode_id: member for member in members if member.state not in OVER}
        self._open = {member.episode_id for member in members}
        self._size = row.size
        self._timer: asyncio.TimerHandle | None = None
        for member in members:
            member.on_ended = self._ended
        self._look()

    def _ended(self, member: Standing) -> None:
        self._running.pop(member.episode_id, None)
        if member.state is EpisodeState.CLOSED:
            self._open.discard(member.episode_id)
            if not self._open:
                self._services.spawn(self._close())
        self._look()

    async def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with contextlib.suppress(InfraError):  # the next server finds that all of them are closed
            await written(self._services.journal.save_group(self.group_id, closed_at=clock.wall()))

    def _look(self) -> None:
        rule, finished = self._stragglers, self._size - len(self._running)
        if rule is not None and self._timer is None and self._running and finished >= rule.finished:
            self._timer = asyncio.get_running_loop().call_later(rule.grace_s, self._truncate)

    def _truncate(self) -> None:
        log.info("stragglers_truncated", group_id=self.group_id, count=len(self._running))
        for member in list(self._running.values()):
            member.truncate("straggler")
