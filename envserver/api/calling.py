"""How any call is made: who may, for whom, once however often it is sent, and written into the audit log.

Each call first asks whether its caller may make it (`may`), and finds episodes through `own`, where those of other
tenants are as if they were not there. Calls that change something take an idempotency key; with one they run
detached from their request, and a repetition attaches.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Self

from pydantic import BaseModel

from envserver.access.keyring import Caller
from envserver.access.keys import Scope
from envserver.access.tenants import DEFAULT_TENANT
from envserver.episodes.entry import Entry
from envserver.episodes.episode import Episode
from envserver.episodes.idempotency import Call, Name, Reply
from envserver.episodes.manager import EpisodeManager, unknown_episode
from envserver.episodes.records import fingerprint
from envserver_sdk.errors import InvalidRequest, NotFound, Problem

PAGE_LIMIT = 1000


def encode(model: BaseModel) -> bytes:
    return model.__pydantic_serializer__.to_json(model)


class Calling:
    """Belongs to one event loop. As made it is nobody's and refuses all but health: `by` gives a caller's own."""

    def __init__(self, manager: EpisodeManager) -> None:
        self.manager = manager
        self.config = manager.services.config
        self.metrics = manager.services.metrics
        self._audit = manager.services.audit
        self._journal = manager.services.journal
        self._who = Caller("", manager.services.tenants.get(DEFAULT_TENANT), frozenset())

    def by(self, who: Caller) -> Self:
        """The same calls, made by `who`."""
        mine = object.__new__(type(self))
        mine.__dict__.update(self.__dict__, _who=who)
        return mine

    def may(self, scope: Scope) -> None:
        """Raises: Unauthorized, Forbidden."""
        try:
            self._who.require(scope)
        except Problem as problem:
            self._refused(problem.code, scope=scope.value)
            raise

    def own(self, episode_id: str) -> Entry:
        """The caller's episode. Raises: NotFound, for another tenant's too."""
        entry = self.manager.entry(episode_id)
        if entry.owner != self._who.tenant.name and not self._who.sees_all:
            self._refused(NotFound.code, episode_id=episode_id)
            raise unknown_episode(episode_id)
        return entry

    def own_live(self, episode_id: str) -> Episode:
        """Raises: NotFound, EpisodeClosed, EpisodeLost."""
        self.own(episode_id)
        return self.manager.episode(episode_id)

    # What calls that change something share

    async def _change(
        self,
        event: str,
        episode_id: str,
        key: str | None,
        request: BaseModel | bytes | None,
        call: Call,
        path: str | None = None,
        *,
        makes: bool = False,
    ) -> Reply:
        self.may(Scope.EPISODES)

        async def once(call_key: str | None) -> Reply:
            self.own(episode_id)
            with self._audited(event, {"episode_id": episode_id, "path": path}):
                return await call(call_key)

        return await self._keyed(" ".join((event, episode_id, path or "")), key, request, once, makes=makes)

    async def _keyed(
        self, scope: str, key: str | None, request: BaseModel | bytes | None, call: Call, *, makes: bool = False
    ) -> Reply:
        if key is None:
            return await call(None)
        if isinstance(request, bytes):
            mark = hashlib.blake2b(request, digest_size=16).digest()
        else:
            mark = fingerprint(request.model_dump(mode="json") if request is not None else None)
        tenant = self._who.tenant.name
        return await self.manager.services.once(tenant).run(Name(tenant, scope, key), mark, call, makes=makes)

    @contextlib.contextmanager
    def _audited(self, event: str, named: dict[str, str | None]) -> Iterator[None]:
        problem: str | None = None
        try:
            yield
        except BaseException as error:
            problem = error.code if isinstance(error, Problem) else type(error).__name__
            raise
        finally:
            who = {"tenant": self._who.tenant.name, "key": self._who.key_id}
            self._audit.record(event, **who, **named, problem=problem)

    def _refused(self, problem: str, **named: str) -> None:
        self._audit.refuse(tenant=self._who.tenant.name, key=self._who.key_id, problem=problem, **named)


def as_cursor(cursor: str | None) -> int | None:
    return int(cursor) if cursor and cursor.isdecimal() and len(cursor) < 18 else None


def as_limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_LIMIT:
        raise InvalidRequest(f"limit is {limit}, must be between 1 and {PAGE_LIMIT}")
    return limit
