"""Many episodes from one state: forks of a checkpoint, and groups that begin alike.

All of them or none: capacity is asked for once for all, so that two groups never wait for each other's half, the
journal takes all rows in one transaction, and when one member cannot begin, all are closed.

A group is reset once. Its first member is saved as it stands then, by the strongest kind that works here, and the
others are forked from that; where only a replay works, they are reset with the same seed instead, which is what a
replay of no actions is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace

from pydantic_core import to_json

from envserver import clock, failpoints
from envserver.episodes.admission import Charge
from envserver.episodes.durable import written
from envserver.episodes.encoding import encode_all, encode_group
from envserver.episodes.episode import Episode
from envserver.episodes.group import Group
from envserver.episodes.journal.rows import GroupRow
from envserver.episodes.manager import EpisodeManager, new_episode_id
from envserver.episodes.plan import Plan
from envserver.episodes.saved import How, Origin, Saved
from envserver.episodes.saving import Wish, delete_checkpoint
from envserver_sdk.errors import EpisodeLost, EpisodeNotLive, InfraError, Problem
from envserver_sdk.models import CheckpointKind, CreateGroup, ForkCheckpoint, Stragglers

_Write = Callable[[], asyncio.Task[None]]


class Forks:
    """Belongs to one manager."""

    def __init__(self, manager: EpisodeManager) -> None:
        self._manager = manager
        self._services = manager.services

    async def fork(self, saved: Saved, request: ForkCheckpoint, owner: str, call_key: str | None = None) -> bytes:
        """An encoded `EpisodesStarted`; with a rule for stragglers the forks are a group. Raises: as `create`."""
        row = None if request.stragglers is None else _group_row(owner, request.n, request.stragglers, call_key)
        plan = await self._plan_of(saved, request, owner, call_key)
        plan = replace(plan, group_id=row.group_id if row else None)
        episodes = self._make([plan, *(replace(plan, episode_id=new_episode_id()) for _ in range(request.n - 1))])
        await self._admit(episodes)
        failpoints.hit("server.fork.admitted")
        write = self._manager.write_down(episodes, row)
        try:
            body = encode_all(await self._begin_each(episodes, Origin.of(How.FORK, saved), write))
            await self._keep_group(row, episodes, body, request.stragglers)
        except BaseException:
            await close_all(episodes, "create_failed")
            raise
        return body

    async def _plan_of(self, saved: Saved, request: ForkCheckpoint, owner: str, call_key: str | None) -> Plan:
        state, catalog = saved.state, self._manager.catalog
        choice = await catalog.choose(state.environment, state.task_set, state.task, state.seed)
        rules = Plan.decode_rules(state.rules.encode(), choice.environment.spec, choice.task)
        if request.ttl_s is not None:
            rules["ttl_s"] = request.ttl_s
            rules["sandbox_ttl_s"] = request.ttl_s + self._services.config.sandbox_ttl_margin_s
        if request.idle_timeout_s is not None:
            rules["idle_timeout_s"] = request.idle_timeout_s
        return Plan(
            episode_id=new_episode_id(),
            environment_name=state.environment,
            environment=choice.environment,
            task_set=choice.task_set,
            task=choice.task,
            owner=owner,
            metadata=request.metadata or state.metadata,
            parent_checkpoint=saved.row.checkpoint_id,
            call_key=call_key,
            journal_id=self._services.journal.journal_id,
            **rules,
        )

    # Groups

    async def create_group(self, request: CreateGroup, owner: str, call_key: str | None = None) -> bytes:
        """An encoded `GroupStarted`. Raises: as `EpisodeManager.create`."""
        row = _group_row(owner, request.n, request.stragglers, call_key)
        group_id = row.group_id
        choice, plan = await self._manager.plan(request, owner, group_id=group_id)
        plans = [plan, *(replace(plan, episode_id=new_episode_id()) for _ in range(request.n - 1))]
        episodes = self._make(plans)
        await self._admit(episodes)
        write = self._manager.write_down(episodes, row)
        try:
            bodies, kind = await self._begin_alike(episodes, Origin(How.CREATE, choice.seed, request.options), write)
            failpoints.hit("server.group.begun")
            body = encode_group(group_id, kind, bodies)
            await self._keep_group(row, episodes, body, request.stragglers)
        except BaseException:
            await close_all(episodes, "create_failed")
            raise
        return body

    async def _keep_group(
        self, row: GroupRow | None, episodes: list[Episode], body: bytes, stragglers: Stragglers | None
    ) -> None:
        if row is not None:
            await written(self._services.journal.save_group(row.group_id, durable=True, started=body))
            self._manager.add_group(Group(self._services, row, episodes, stragglers))

    async def _begin_alike(
        self, episodes: list[Episode], origin: Origin, write: _Write
    ) -> tuple[list[bytes], CheckpointKind | None]:
        first, rest = episodes[0], episodes[1:]
        bodies = await self._begin_each([first], origin, write)
        if not rest:
            return bodies, None
        try:
            row = await first.checkpoint(Wish(fleeting=True))
        except (EpisodeLost, EpisodeNotLive) as problem:  # nobody knows of it yet: to its caller nothing is lost
            raise InfraError("the first member ended while the group began") from problem
        kind = CheckpointKind(row.kind)
        alike = origin if kind is CheckpointKind.REPLAY else Origin.of(How.FORK, Saved.of(row))
        try:
            return bodies + await self._begin_each(rest, alike, write), kind
        finally:
            await delete_checkpoint(self._services, row)  # nobody was told of it

    # What both share

    def _make(self, plans: Sequence[Plan]) -> list[Episode]:
        episodes: list[Episode] = []
        try:
            for plan in plans:
                episodes.append(self._manager.make(plan))  # noqa: PERF401  # those made before a refusal are discarded
        except Problem:
            for episode in episodes:
                episode.discard()
            raise
        return episodes

    async def _admit(self, episodes: list[Episode]) -> None:
        admission = self._services.admission
        try:
            waiter = admission.join(Charge.of(episodes[0].plan.limits, len(episodes)))
            tickets = (await admission.wait(waiter)).split()
        except BaseException:
            for episode in episodes:
                episode.discard()
            raise
        for episode, ticket in zip(episodes, tickets, strict=True):
            episode.admit(ticket)
            self._manager.add(episode)

    async def _begin_each(self, episodes: list[Episode], origin: Origin, write: _Write) -> list[bytes]:
        begun = [episode.start(origin, write) for episode in episodes]
        try:
            return list(await asyncio.gather(*(asyncio.shield(each) for each in begun)))
        except asyncio.CancelledError:
            cut_short = [each for each, task in zip(episodes, begun, strict=True) if task.cancelled()]
            if cut_short:  # closed, or the server stopped, while it began
                raise cut_short[0].disturbance() from None
            raise


async def close_all(episodes: Sequence[Episode], reason: str) -> None:
    """Whatever becomes of each."""
    await asyncio.gather(*(episode.close(reason) for episode in episodes), return_exceptions=True)


def _group_row(owner: str, size: int, stragglers: Stragglers | None, call_key: str | None) -> GroupRow:
    rule = stragglers.model_dump() if stragglers else None
    return GroupRow(
        group_id="gr_" + secrets.token_hex(12),
        owner=owner,
        created_at=clock.wall(),
        size=size,
        settings=to_json({"stragglers": rule}),
        call_key=call_key,
    )
