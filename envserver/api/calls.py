"""Every call, once: what HTTP and the WebSocket both mean by it.

A call takes a checked model and gives a `Reply`: a status as in HTTP, and the encoded body. `calling.py` has what all
of them share, `lasting_calls.py` those of checkpoints, groups and rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TypeVar

from envserver.access.keys import Scope
from envserver.api.budget import ByteBudget
from envserver.api.calling import as_limit, encode
from envserver.api.lasting_calls import LastingCalls
from envserver.api.problems import as_problem, encode_problem
from envserver.episodes.durable import written
from envserver.episodes.encoding import encode_pending
from envserver.episodes.idempotency import Reply
from envserver.episodes.manager import EpisodeManager, unknown_episode
from envserver.episodes.records import StepRecord
from envserver.episodes.trajectory import Record, encode_record, read_record
from envserver.export.jsonl import write_jsonl
from envserver.export.parquet import import_pyarrow, write_parquet
from envserver.export.selection import Selection
from envserver.runtimes.base import OutputListener, Runtime, SandboxError, SandboxFileError
from envserver_sdk.errors import EpisodeNotLive, InfraError, InvalidRequest, NotFound, PayloadTooLarge
from envserver_sdk.models import (
    BatchStep,
    BatchStepEntry,
    CreateEpisode,
    EpisodeState,
    FileInfo,
    Health,
    ListTrajectories,
    ResetEpisode,
    StepRequest,
)

T = TypeVar("T")

MAX_PATH_LENGTH = 4096
READINESS_S = 5.0
SMALL_FILE_BYTES = 1 << 20
"""Room for so much is taken before the size of a file is known."""
VERSION = version("envserver")


class Calls(LastingCalls):
    """All of them."""

    def __init__(self, manager: EpisodeManager) -> None:
        super().__init__(manager)
        self.files = ByteBudget(self.config.files_bytes, self.config.file_timeout_s)
        self._readiness = Readiness(manager.services.runtime)

    # Episodes

    async def create(self, request: CreateEpisode, key: str | None = None) -> Reply:
        """With a key, a dropped request leaves the create running for its repetition; without, nothing is left."""
        self.may(Scope.EPISODES)

        async def call(call_key: str | None) -> Reply:
            named = {"environment": request.environment, "task_set": request.task_set, "task": request.task}
            with self._audited("create", named):
                on_made = lambda episode: named.update(episode_id=episode.episode_id)  # noqa: E731
                return Reply(await self.manager.create(request, self._who.tenant.name, on_made, call_key), 201)

        return await self._keyed("create", key, request, call, makes=True)

    async def reset(self, episode_id: str, request: ResetEpisode, key: str | None = None) -> Reply:
        async def call(call_key: str | None) -> Reply:
            return Reply(await self.manager.reset(episode_id, request.seed, request.options, call_key))

        return await self._change("reset", episode_id, key, request, call, makes=True)

    async def close(self, episode_id: str, key: str | None = None) -> Reply:
        async def call(_: str | None) -> Reply:
            await self.manager.close(episode_id)
            return Reply(encode(self.manager.entry(episode_id).info()))

        return await self._change("close", episode_id, key, None, call)

    async def grade(self, episode_id: str, key: str | None = None) -> Reply:
        async def call(_: str | None) -> Reply:
            return Reply(encode(await self.manager.episode(episode_id).grade()))

        return await self._change("grade", episode_id, key, None, call)

    async def get(self, episode_id: str) -> Reply:
        self.may(Scope.READ)
        return Reply(encode(self.own(episode_id).observed()))

    async def list(
        self,
        state: EpisodeState | None = None,
        environment: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Reply:
        self.may(Scope.READ)
        owner = None if self._who.sees_all else self._who.tenant.name
        page = self.manager.page(
            state=state, environment=environment, cursor=cursor, limit=as_limit(limit), owner=owner
        )
        return Reply(encode(page))

    # Steps

    async def step(self, episode_id: str, request: StepRequest, listener: OutputListener | None = None) -> Reply:
        self.may(Scope.EPISODES)
        episode = self.own_live(episode_id)
        wait_s = request.wait_s
        if wait_s is None:
            wait_s = episode.step_timeout_s(request) + self.config.step_margin_s
        await episode.recall(request.step_index)
        return await self._answer(episode.step(request, listener), wait_s, listener)

    async def get_step(self, episode_id: str, index: int, generation: int | None = None, wait_s: float = 0.0) -> Reply:
        self.may(Scope.READ)
        episode = self.own_live(episode_id)
        await episode.recall(index)
        return await self._answer(episode.record(index, generation), wait_s)

    async def _answer(self, record: StepRecord, wait_s: float, listener: OutputListener | None = None) -> Reply:
        try:
            done = await record.wait(min(wait_s, self.config.max_wait_s))
        finally:
            if listener is not None and listener in record.listeners:
                record.listeners.remove(listener)
        return Reply(record.result) if done else Reply(encode_pending(record), 202)

    async def batch_step(self, request: BatchStep) -> Reply:
        """All at once; a step's problem stands in its place and touches no other."""
        self.may(Scope.EPISODES)
        bodies = await asyncio.gather(*(self._batched(entry) for entry in request.steps))
        return Reply(b'{"results":[%s]}' % b",".join(bodies))

    async def _batched(self, entry: BatchStepEntry) -> bytes:
        try:
            return (await self.step(entry.episode_id, entry)).body
        except Exception as error:
            return encode_problem(as_problem(error), self.metrics)

    # Trajectories

    async def trajectory(self, episode_id: str, generation: int | None = None) -> Reply:
        record = await self.record(episode_id, generation)
        return Reply(await asyncio.to_thread(lambda: b"".join(encode_record(record))))

    async def record(self, episode_id: str, generation: int | None = None) -> Record:
        """Of a generation, as long as the journal remembers it, which is longer than the registry does.

        Raises: NotFound, EpisodeNotLive for one that is beginning, InfraError.
        """
        self.may(Scope.READ)
        row = await written(self._journal.episode(episode_id))
        if row is None or (row.owner != self._who.tenant.name and not self._who.sees_all):
            if row is not None:
                self._refused(NotFound.code, episode_id=episode_id)
            raise unknown_episode(episode_id)
        record = await written(read_record(self._journal, row, generation))
        if record is not None:
            return record
        if generation in (None, row.generation) and row.state in (EpisodeState.STARTING, EpisodeState.QUEUED):
            raise EpisodeNotLive(f"episode {episode_id} has not begun: it is {row.state}", state=row.state)
        raise NotFound(f"episode {episode_id} has no generation {generation or row.generation} that began")

    async def trajectories(self, wanted: ListTrajectories) -> AsyncGenerator[bytes, None]:
        """An export's bytes, made as they are taken. Raises: NotSupported; then JournalError."""
        self.may(Scope.READ)
        owner = None if self._who.sees_all else self._who.tenant.name
        selection = Selection(self._journal, owner, wanted)
        if wanted.format == "jsonl":
            return write_jsonl(selection)
        return write_parquet(selection, await import_pyarrow())

    # Files

    async def read_file(self, episode_id: str, path: str, held: AsyncExitStack) -> bytes:
        """Its room in memory is given back when `held` ends, which is when its bytes have been sent."""
        self.may(Scope.READ)
        episode = self.own_live(episode_id)
        _checked_path(path)
        small, large = min(SMALL_FILE_BYTES, self.config.max_file_bytes), self.config.max_file_bytes
        await held.enter_async_context(self.files.hold(small))
        try:
            return await episode.in_sandbox(lambda box: self._in_time(box.read_file(path, max_bytes=small)))
        except SandboxFileError as error:
            if error.code != "too_large" or small == large:
                raise
        await held.aclose()
        await held.enter_async_context(self.files.hold(large))
        return await episode.in_sandbox(lambda box: self._in_time(box.read_file(path, max_bytes=large)))

    async def write_file(self, episode_id: str, path: str, data: bytes, key: str | None = None) -> Reply:
        if len(data) > self.config.max_file_bytes:
            raise PayloadTooLarge(f"a file may have at most {self.config.max_file_bytes} bytes")
        _checked_path(path)

        async def call(_: str | None) -> Reply:
            episode = self.manager.episode(episode_id)
            await episode.in_sandbox(lambda box: self._in_time(box.write_file(path, data)))
            return Reply(encode(FileInfo(path=path, size_bytes=len(data))))

        return await self._change("write_file", episode_id, key, data, call, path)

    async def _in_time(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self.config.file_timeout_s):
                return await work
        except TimeoutError:
            raise InfraError(f"the file operation took longer than {self.config.file_timeout_s:g} s") from None

    # Environments and the server

    async def environments(self) -> Reply:
        self.may(Scope.READ)
        return Reply(encode(await self.manager.catalog.overview()))

    async def environment(self, name: str) -> Reply:
        self.may(Scope.READ)
        return Reply(encode(await self.manager.catalog.describe(name)))

    async def tasks(
        self,
        name: str,
        task_set: str | None = None,
        split: str = "all",
        cursor: str | None = None,
        limit: int = 100,
    ) -> Reply:
        self.may(Scope.READ)
        return Reply(encode(await self.manager.catalog.tasks(name, task_set, split, cursor, as_limit(limit))))

    async def health(self) -> Reply:
        """`ok`, `draining`, or `unavailable` when the runtime does not answer."""
        services = self.manager.services
        admission, states = services.admission, self.manager.count_states()
        status = "draining" if self.manager.draining else "ok" if await self._readiness.check() else "unavailable"
        health = Health(
            status=status,
            version=VERSION,
            runtime=services.runtime.name,
            runtime_reason=services.runtime.reason,
            live_episodes=states[EpisodeState.LIVE],
            queued_episodes=admission.queued,
            capacity={
                "memory_bytes": admission.memory_bytes,
                "used_memory_bytes": admission.used_memory_bytes,
                "cpus": admission.cpus,
                "used_cpus": admission.used_cpus,
                "max_episodes": self.config.max_episodes,
                "admitted_episodes": admission.admitted,
            },
        )
        return Reply(encode(health), 200 if status == "ok" else 503)

    def render_metrics(self) -> bytes:
        self.may(Scope.METRICS)
        states = self.manager.count_states()
        for state in EpisodeState:
            self.metrics.episodes.labels(state.value).set(states[state])
        return self.metrics.render()


class Readiness:
    """Whether the runtime answers, asked at most every `READINESS_S` while it does."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._until = 0.0

    async def check(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._until:
            return True
        try:
            async with asyncio.timeout(READINESS_S):
                await self._runtime.list()
        except (SandboxError, TimeoutError, OSError):
            return False
        self._until = now + READINESS_S
        return True


def _checked_path(path: str) -> str:
    if not path.startswith("/") or "\0" in path or len(path) > MAX_PATH_LENGTH:
        raise InvalidRequest("path must be absolute, without NUL, and at most 4096 characters long")
    return path
