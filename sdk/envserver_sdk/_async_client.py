"""The client, written once and asynchronously.

`_sync_client.py` is generated from the signatures here and in `_async_episode.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from envserver_sdk._async_episode import AsyncCheckpoint, AsyncEpisode, AsyncGroup, step_all
from envserver_sdk._lazy import lazy_import
from envserver_sdk._link import Link, given
from envserver_sdk._settings import Timeouts, Tls
from envserver_sdk._trajectories import read_trajectories, write_export
from envserver_sdk.errors import Problem

if TYPE_CHECKING:
    from envserver_sdk import models
    from envserver_sdk.models import (
        AutoCheckpoints,
        CheckpointList,
        EnvironmentInfo,
        EnvironmentList,
        EpisodeInfo,
        EpisodeList,
        EpisodeStarted,
        EpisodeState,
        GroupStarted,
        Health,
        Recovery,
        StepResult,
        Stragglers,
        TaskList,
        Trajectory,
    )
else:
    models = lazy_import("envserver_sdk.models")

C = TypeVar("C", bound=AsyncEpisode | AsyncGroup)


class Creating(Awaitable[C], Generic[C]):
    """Something on its way: `episode = await ...`, or `async with ... as episode` to have it closed."""

    def __init__(self, begin: Callable[[], Awaitable[C]]) -> None:
        self._begin = begin
        self._begun: C | None = None

    def __await__(self) -> Generator[Any, None, C]:
        return self._begin().__await__()

    async def __aenter__(self) -> C:
        self._begun = await self._begin()
        return self._begun

    async def __aexit__(self, *_: object) -> None:
        if self._begun is not None:
            await self._begun.close()


class AsyncClient:
    """A connection to one server, for any number of episodes at a time.

    With `binary` it speaks MessagePack in place of JSON: an observation's pictures come as bytes, a quarter smaller.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        *,
        timeouts: Timeouts | None = None,
        tls: Tls | None = None,
        binary: bool = False,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url is {url!r}, must begin with http:// or https://")
        self.url = url.rstrip("/")
        self.timeouts = timeouts or Timeouts()
        self._link = Link(self.url, api_key, self.timeouts, tls or Tls(), binary=binary)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Episodes live on until they are closed or their leases end. Idempotent."""
        await self._link.close()

    def create(
        self,
        environment: str,
        *,
        task: str | None = None,
        task_set: str | None = None,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        ttl_s: float | None = None,
        idle_timeout_s: float | None = None,
        checkpoints: AutoCheckpoints | Mapping[str, Any] | None = None,
        recovery: Recovery | str | None = None,
        pause_after_s: float | None = None,
        hibernate_after_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Creating[AsyncEpisode]:
        """Make an episode and begin it; what is left out is chosen by the server (a task: by the seed).

        `checkpoints` has the server save it by itself (`{"every_steps": 5}`), and with `recovery="restore"` a lost
        world goes on from the last of those. Between two steps it is frozen after `pause_after_s` and goes to disk
        after `hibernate_after_s`; the next step wakes it.

        A node without room, and a quota that fills up again, are asked again when they say so, within
        `Timeouts.create_s`. Cancelling closes the episode, should it still come to be.

        Raises: NotFound, InvalidRequest, Overloaded, QuotaExceeded, InfraError.
        """
        params = given(
            environment=environment, task=task, task_set=task_set, seed=seed, options=options, limits=limits,
            ttl_s=ttl_s, idle_timeout_s=idle_timeout_s, checkpoints=checkpoints, recovery=recovery,
            pause_after_s=pause_after_s, hibernate_after_s=hibernate_after_s, metadata=metadata,
        )  # fmt: skip

        async def begin() -> AsyncEpisode:
            started = await self._link.begin(models.EpisodeStarted, "create", params, self._end_episode)
            return AsyncEpisode(self._link, started)

        return Creating(begin)

    def group(
        self,
        environment: str,
        *,
        n: int,
        stragglers: Stragglers | Mapping[str, Any] | None = None,
        task: str | None = None,
        task_set: str | None = None,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        ttl_s: float | None = None,
        idle_timeout_s: float | None = None,
        checkpoints: AutoCheckpoints | Mapping[str, Any] | None = None,
        recovery: Recovery | str | None = None,
        pause_after_s: float | None = None,
        hibernate_after_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Creating[AsyncGroup]:
        """Make `n` episodes of one task that begin in the same state: all of them or none.

        With `stragglers={"finished": k, "grace_s": s}` those that still run so long after `k` have finished are
        truncated. The rest is as in `create`.

        Raises: as `create`.
        """
        params = given(
            environment=environment, n=n, stragglers=stragglers, task=task, task_set=task_set, seed=seed,
            options=options, limits=limits, ttl_s=ttl_s, idle_timeout_s=idle_timeout_s, checkpoints=checkpoints,
            recovery=recovery, pause_after_s=pause_after_s, hibernate_after_s=hibernate_after_s, metadata=metadata,
        )  # fmt: skip

        async def begin() -> AsyncGroup:
            started = await self._link.begin(models.GroupStarted, "create_group", params, self._end_group)
            return AsyncGroup(self._link, started)

        return Creating(begin)

    async def attach(self, episode_id: str) -> AsyncEpisode:
        """Go on with an episode that another client made. Raises: NotFound."""
        info = await self.get(episode_id)
        started = models.EpisodeStarted(
            episode_id=episode_id,
            generation=info.generation,
            step_index=info.step_index,
            observation=info.observation or {},
            info={},
        )
        return AsyncEpisode(self._link, started)

    async def attach_group(self, group_id: str) -> AsyncGroup:
        """Go on with a group that another client made; `rejoin` of a member brings its last observation.

        Raises: NotFound.
        """
        info = await self._link.get(models.GroupInfo, f"/v1/groups/{group_id}")
        members = [
            models.EpisodeStarted(
                episode_id=each.episode_id, generation=each.generation, step_index=each.step_index, observation={},
                info={},
            )
            for each in info.episodes
        ]  # fmt: skip
        return AsyncGroup(self._link, models.GroupStarted(group_id=group_id, episodes=members))

    async def checkpoint(self, checkpoint_id: str) -> AsyncCheckpoint:
        """A checkpoint by its id, to fork or delete it. Raises: NotFound."""
        return AsyncCheckpoint(
            self._link, await self._link.get(models.CheckpointInfo, f"/v1/checkpoints/{checkpoint_id}")
        )

    async def checkpoints(
        self, *, episode_id: str | None = None, cursor: str | None = None, limit: int = 100
    ) -> CheckpointList:
        """One page of checkpoints, oldest first; those of one episode, or all. Raises: NotFound."""
        query = {"episode_id": episode_id, "cursor": cursor, "limit": limit}
        return await self._link.get(models.CheckpointList, "/v1/checkpoints", query)

    async def batch_step(self, steps: Sequence[tuple[AsyncEpisode, Any]]) -> list[StepResult | Problem]:
        """One step each of many episodes, in one message; a failed one is its problem, in its place."""
        return await step_all(self._link, steps)

    async def get(self, episode_id: str) -> EpisodeInfo:
        """State, usage, expiry and last observation of an episode. Raises: NotFound."""
        return await self._link.get(models.EpisodeInfo, f"/v1/episodes/{episode_id}")

    async def list(
        self,
        *,
        state: EpisodeState | None = None,
        environment: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> EpisodeList:
        """One page of episodes; closed ones only with `state`."""
        query = {"state": state, "environment": environment, "cursor": cursor, "limit": limit}
        return await self._link.get(models.EpisodeList, "/v1/episodes", query)

    async def trajectory(self, episode_id: str, *, generation: int | None = None) -> Trajectory:
        """An episode's record, of its current generation unless told otherwise, closed or not.

        Raises: NotFound, EpisodeNotLive for one that is beginning.
        """
        query = {"generation": generation}
        return await self._link.get(models.Trajectory, f"/v1/episodes/{episode_id}/trajectory", query)

    async def trajectories(
        self,
        *,
        environment: str | None = None,
        task_set: str | None = None,
        task: str | None = None,
        state: EpisodeState | str | None = None,
        group_id: str | None = None,
        created_after: float | None = None,
        created_before: float | None = None,
        min_reward: float | None = None,
        graded: bool | None = None,
        trainable: bool | None = None,
        generations: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[Trajectory]:
        """Every trajectory that passes the filters, in the order of the episodes' making, as they come.

        Times are Unix times, the earlier one inclusive; `generations="all"` has those too that a reset or restore
        replaced. A lost connection is gone on with behind the last one; `cursor` is the `cursor` of one had before.

        Raises: InvalidRequest, ConnectionFailed; InfraError in the place of one that the disk has not kept whole, whose
        `extra["cursor"]` leads on.
        """
        query = given(
            environment=environment, task_set=task_set, task=task, state=state, group_id=group_id,
            created_after=created_after, created_before=created_before, min_reward=min_reward, graded=graded,
            trainable=trainable, generations=generations, cursor=cursor, limit=limit,
        )  # fmt: skip
        async with aclosing(read_trajectories(self._link, query)) as found:
            async for trajectory in found:
                yield trajectory

    async def export(
        self,
        path: Path | str,
        *,
        format: str = "jsonl",
        environment: str | None = None,
        task_set: str | None = None,
        task: str | None = None,
        state: EpisodeState | str | None = None,
        group_id: str | None = None,
        created_after: float | None = None,
        created_before: float | None = None,
        min_reward: float | None = None,
        graded: bool | None = None,
        trainable: bool | None = None,
        generations: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> int:
        """Write trajectories to a file, `jsonl` or `parquet`; it appears once it is whole. Its size in bytes.

        The filters are those of `trajectories`. JSON Lines go on after a lost connection, Parquet does not.

        Raises: as `trajectories`; NotSupported where the server writes no Parquet; OSError.
        """
        query = given(
            format=format,
            environment=environment, task_set=task_set, task=task, state=state, group_id=group_id,
            created_after=created_after, created_before=created_before, min_reward=min_reward, graded=graded,
            trainable=trainable, generations=generations, cursor=cursor, limit=limit,
        )  # fmt: skip
        return await write_export(self._link, Path(path), query)

    async def environments(self) -> EnvironmentList:
        """The server's environments, and the tools, kits and protocols that each offers."""
        return await self._link.get(models.EnvironmentList, "/v1/environments")

    async def environment(self, name: str) -> EnvironmentInfo:
        """Schemas, limits and task sets of an environment. Raises: NotFound."""
        return await self._link.get(models.EnvironmentInfo, f"/v1/environments/{name}")

    async def tasks(
        self,
        environment: str,
        *,
        task_set: str | None = None,
        split: str = "all",
        cursor: str | None = None,
        limit: int = 100,
    ) -> TaskList:
        """One page of an environment's tasks. Raises: NotFound."""
        query = {"task_set": task_set, "split": split, "cursor": cursor, "limit": limit}
        return await self._link.get(models.TaskList, f"/v1/environments/{environment}/tasks", query)

    async def health(self) -> Health:
        """Whether the server is ready, and how full it is."""
        return models.Health.model_validate_json(await self._link.http.call("GET", "/v1/health", accept=(503,)))

    async def _end_episode(self, started: EpisodeStarted) -> None:
        await AsyncEpisode(self._link, started).close()

    async def _end_group(self, started: GroupStarted) -> None:
        await AsyncGroup(self._link, started).close()
