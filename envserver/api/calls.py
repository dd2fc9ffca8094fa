"""Every call, once: what HTTP and the WebSocket both mean by it.

A call takes a checked model and gives a `Reply`: a status as in HTTP, and the encoded body. Calls that change
something take an idempotency key; with one they run detached from their request, and a repetition attaches.

Each call first asks whether its caller may make it (`may`), and finds episodes through `own`, where
those of other tenants are as if they were not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import TypeVar

from pydantic import BaseModel

from envserver.access.keyring import Caller
from envserver.access.keys import Scope
from envserver.access.tenants import DEFAULT_TENANT
from envserver.api.budget import ByteBudget
from envserver.api.problems import as_problem, encode_problem
from envserver.episodes.durable import written
from envserver.episodes.encoding import encode_pending
from envserver.episodes.entry import Entry
from envserver.episodes.episode import Episode
from envserver.episodes.forks import Forks
from envserver.episodes.group import Group
from envserver.episodes.idempotency import Call, Name, Reply
from envserver.episodes.journal.rows import CheckpointRow
from envserver.episodes.manager import EpisodeManager, unknown_episode, unknown_group
from envserver.episodes.records import StepRecord, fingerprint
from envserver.episodes.saved import Saved, checkpoint_info
from envserver.episodes.saving import Wish, delete_checkpoint
from envserver.episodes.trajectory import Record, encode_record, read_record
from envserver.export.jsonl import write_jsonl
from envserver.export.parquet import import_pyarrow, write_parquet
from envserver.export.selection import Selection
from envserver.runtimes.base import OutputListener, Runtime, SandboxError, SandboxFileError
from envserver_sdk.errors import EpisodeNotLive, InfraError, InvalidRequest, NotFound, PayloadTooLarge, Problem
from envserver_sdk.models import (
    BatchStep,
    BatchStepEntry,
    CheckpointList,
    CreateCheckpoint,
    CreateEpisode,
    CreateGroup,
    EnvironmentList,
    EpisodeState,
    FileInfo,
    ForkCheckpoint,
    GroupInfo,
    Health,
    ListTrajectories,
    ResetEpisode,
    RestoreEpisode,
    StepRequest,
)

T = TypeVar("T")

MAX_PATH_LENGTH = 4096
PAGE_LIMIT = 1000
READINESS_S = 5.0
SMALL_FILE_BYTES = 1 << 20
"""Room for so much is taken before the size of a file is known."""
VERSION = version("envserver")


def encode(model: BaseModel) -> bytes:
    return model.__pydantic_serializer__.to_json(model)


class Calls:
    """Belongs to one event loop. As made it is nobody's and refuses all but health: `by` gives a caller's own."""

    def __init__(self, manager: EpisodeManager) -> None:
        self.manager = manager
        self.config = config = manager.services.config
        self.metrics = manager.services.metrics
        self._audit = manager.services.audit
        self._journal = manager.services.journal
        self._who = Caller("", manager.services.tenants.get(DEFAULT_TENANT), frozenset())
        self._forks = Forks(manager)
        self.files = ByteBudget(config.files_bytes, config.file_timeout_s)
        self._readiness = Readiness(manager.services.runtime)

    def by(self, who: Caller) -> Calls:
        """The same calls, made by `who`."""
        mine = object.__new__(Calls)
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
                episode_id=episode_id, owner=owner, after=_cursor(cursor), limit=_limit(limit) + 1
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
        page = self.manager.page(state=state, environment=environment, cursor=cursor, limit=_limit(limit), owner=owner)
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
        return Reply(encode(EnvironmentList(environments=self.manager.catalog.names())))

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
        return Reply(encode(await self.manager.catalog.tasks(name, task_set, split, cursor, _limit(limit))))

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


def _cursor(cursor: str | None) -> int | None:
    return int(cursor) if cursor and cursor.isdecimal() and len(cursor) < 18 else None


def _limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_LIMIT:
        raise InvalidRequest(f"limit is {limit}, must be between 1 and {PAGE_LIMIT}")
    return limit
