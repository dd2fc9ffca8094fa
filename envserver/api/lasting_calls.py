"""Calls that put an episode to rest, save it, and begin others from what was saved."""

from __future__ import annotations

import asyncio

from envserver.access.keys import Scope
from envserver.api.calling import Calling, as_cursor, as_limit, encode
from envserver.episodes.durable import written
from envserver.episodes.forks import Forks
from envserver.episodes.group import Group
from envserver.episodes.idempotency import Reply
from envserver.episodes.journal.rows import CheckpointRow
from envserver.episodes.manager import EpisodeManager, unknown_group
from envserver.episodes.saved import Saved, checkpoint_info
from envserver.episodes.saving import Wish, delete_checkpoint
from envserver_sdk.errors import NotFound
from envserver_sdk.models import (
    CheckpointList,
    CreateCheckpoint,
    CreateGroup,
    EpisodeState,
    ForkCheckpoint,
    GroupInfo,
    RestoreEpisode,
)


class LastingCalls(Calling):
    """Rest, checkpoints, forks and groups."""

    def __init__(self, manager: EpisodeManager) -> None:
        super().__init__(manager)
        self._forks = Forks(manager)

    # Rest

    async def rest(self, episode_id: str, state: EpisodeState, key: str | None = None) -> Reply:
        """Pause or hibernate."""

        async def call(_: str | None) -> Reply:
            await (episode := self.manager.episode(episode_id)).rest(state)
            return Reply(encode(episode.info()))

        return await self._change("pause" if state is EpisodeState.PAUSED else "hibernate", episode_id, key, None, call)

    async def resume(self, episode_id: str, key: str | None = None) -> Reply:
        async def call(_: str | None) -> Reply:
            await (episode := self.manager.episode(episode_id)).resume()
            return Reply(encode(episode.info()))

        return await self._change("resume", episode_id, key, None, call)

    # Checkpoints

    async def checkpoint(self, episode_id: str, request: CreateCheckpoint, key: str | None = None) -> Reply:
        kind = None if request.kind == "auto" else request.kind

        async def call(call_key: str | None) -> Reply:
            wish = Wish(kind, request.label, call_key=call_key)
            return Reply(encode(checkpoint_info(await self.manager.episode(episode_id).checkpoint(wish))), 201)

        return await self._change("checkpoint", episode_id, key, request, call, makes=True)

    async def checkpoints(self, episode_id: str | None = None, cursor: str | None = None, limit: int = 100) -> Reply:
        self.may(Scope.READ)
        if episode_id is not None:
            self.own(episode_id)
        owner = None if self._who.sees_all else self._who.tenant.name
        rows = await written(
            self._journal.checkpoints(
                episode_id=episode_id, owner=owner, after=as_cursor(cursor), limit=as_limit(limit) + 1
            )
        )
        shown = rows[:limit]
        next_cursor = str(shown[-1].position) if len(rows) > limit else None
        return Reply(
            encode(CheckpointList(checkpoints=[checkpoint_info(row) for row in shown], next_cursor=next_cursor))
        )

    async def get_checkpoint(self, checkpoint_id: str) -> Reply:
        self.may(Scope.READ)
        return Reply(encode(checkpoint_info(await self._own_checkpoint(checkpoint_id))))

    async def delete_checkpoint(self, checkpoint_id: str, key: str | None = None) -> Reply:
        """Episodes that were forked from it live on."""
        self.may(Scope.EPISODES)

        async def call(_: str | None) -> Reply:
            row = await self._own_checkpoint(checkpoint_id)
            with self._audited("delete_checkpoint", {"checkpoint_id": checkpoint_id, "episode_id": row.episode_id}):
                await delete_checkpoint(self.manager.services, row)
            return Reply(encode(checkpoint_info(row)))

        return await self._keyed(f"delete_checkpoint {checkpoint_id}", key, None, call)

    async def fork(self, checkpoint_id: str, request: ForkCheckpoint, key: str | None = None) -> Reply:
        self.may(Scope.EPISODES)

        async def call(call_key: str | None) -> Reply:
            saved = Saved.of(await self._own_checkpoint(checkpoint_id))
            with self._audited("fork", {"checkpoint_id": checkpoint_id, "episode_id": saved.row.episode_id}):
                return Reply(await self._forks.fork(saved, request, self._who.tenant.name, call_key), 201)

        return await self._keyed(f"fork {checkpoint_id}", key, request, call, makes=True)

    async def restore(self, episode_id: str, request: RestoreEpisode, key: str | None = None) -> Reply:
        async def call(call_key: str | None) -> Reply:
            saved = Saved.of(await self._own_checkpoint(request.checkpoint_id))
            return Reply(await self.manager.restore(episode_id, saved, call_key))

        return await self._change("restore", episode_id, key, request, call, makes=True)

    async def _own_checkpoint(self, checkpoint_id: str) -> CheckpointRow:
        row = await written(self._journal.checkpoint(checkpoint_id))
        if row is None or row.deleted_at is not None or (row.owner != self._who.tenant.name and not self._who.sees_all):
            raise NotFound(f"there is no checkpoint {checkpoint_id[:64]!r}")
        return row

    # Groups

    async def create_group(self, request: CreateGroup, key: str | None = None) -> Reply:
        self.may(Scope.EPISODES)

        async def call(call_key: str | None) -> Reply:
            named = {"environment": request.environment, "task_set": request.task_set, "task": request.task}
            with self._audited("create_group", named):
                return Reply(await self._forks.create_group(request, self._who.tenant.name, call_key), 201)

        return await self._keyed("create_group", key, request, call, makes=True)

    async def get_group(self, group_id: str) -> Reply:
        self.may(Scope.READ)
        return Reply(encode(self._group_info(self._own_group(group_id))))

    async def close_group(self, group_id: str, key: str | None = None) -> Reply:
        """Close every member."""
        self.may(Scope.EPISODES)

        async def call(_: str | None) -> Reply:
            group = self._own_group(group_id)
            with self._audited("close_group", {"group_id": group_id}):
                await asyncio.gather(*(self.manager.close(each) for each in group.episode_ids))
            return Reply(encode(self._group_info(group)))

        return await self._keyed(f"close_group {group_id}", key, None, call)

    def _own_group(self, group_id: str) -> Group:
        group = self.manager.group(group_id)
        if group.owner != self._who.tenant.name and not self._who.sees_all:
            raise unknown_group(group_id)
        return group

    def _group_info(self, group: Group) -> GroupInfo:
        members = [self.manager.find(each) for each in group.episode_ids]
        infos = [each.info() for each in members if each is not None]
        return GroupInfo(group_id=group.group_id, created_at=group.created_at, episodes=infos)
