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
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from envserver.access.keyring import Caller
from envserver.access.keys import Scope
from envserver.access.tenants import DEFAULT_TENANT
from envserver.api.budget import ByteBudget
from envserver.api.problems import as_problem, encode_problem
from envserver.episodes.encoding import encode_pending
from envserver.episodes.entry import Entry
from envserver.episodes.episode import Episode
from envserver.episodes.idempotency import IdempotencyStore
from envserver.episodes.manager import EpisodeManager, unknown_episode
from envserver.episodes.records import StepRecord, fingerprint
from envserver.runtimes.base import OutputListener, Runtime, SandboxError, SandboxFileError
from envserver_sdk.errors import InfraError, InvalidRequest, NotFound, PayloadTooLarge, Problem
from envserver_sdk.models import (
    BatchStep,
    BatchStepEntry,
    CreateEpisode,
    EnvironmentList,
    EpisodeState,
    FileInfo,
    Health,
    ResetEpisode,
    StepRequest,
)

T = TypeVar("T")

MAX_PATH_LENGTH = 4096
PAGE_LIMIT = 1000
READINESS_S = 5.0
SMALL_FILE_BYTES = 1 << 20
"""Room for so much is taken before the size of a file is known."""
VERSION = version("envserver")


class Reply(NamedTuple):
    """What a call answers."""

    body: bytes
    status: int = 200


def encode(model: BaseModel) -> bytes:
    return model.__pydantic_serializer__.to_json(model)


class Calls:
    """Belongs to one event loop. As made it is nobody's and refuses all but health: `by` gives a caller's own."""

    def __init__(self, manager: EpisodeManager) -> None:
        self.manager = manager
        self.config = config = manager.services.config
        self.metrics = manager.services.metrics
        self._audit = manager.services.audit
        self._who = Caller("", manager.services.tenants.get(DEFAULT_TENANT), frozenset())
        self._once: defaultdict[str, IdempotencyStore] = defaultdict(
            lambda: IdempotencyStore(config.idempotency_entries, config.idempotency_bytes, config.idempotency_age_s)
        )
        """By tenant: keys of one meet no other's, and push no other's out."""
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

        async def call() -> Reply:
            named = {"environment": request.environment, "task_set": request.task_set, "task": request.task}
            with self._audited("create", named):
                on_made = lambda episode: named.update(episode_id=episode.episode_id)  # noqa: E731
                return Reply(await self.manager.create(request, self._who.tenant.name, on_made), 201)

        return await self._keyed("create", key, request, call)

    async def reset(self, episode_id: str, request: ResetEpisode, key: str | None = None) -> Reply:
        async def call() -> Reply:
            return Reply(await self.manager.reset(episode_id, request.seed, request.options))

        return await self._change("reset", episode_id, key, request, call)

    async def close(self, episode_id: str, key: str | None = None) -> Reply:
        async def call() -> Reply:
            await self.manager.close(episode_id)
            return Reply(encode(self.manager.entry(episode_id).info()))

        return await self._change("close", episode_id, key, None, call)

    async def grade(self, episode_id: str, key: str | None = None) -> Reply:
        async def call() -> Reply:
            return Reply(encode(await self.manager.episode(episode_id).grade()))

        return await self._change("grade", episode_id, key, None, call)

    async def get(self, episode_id: str) -> Reply:
        self.may(Scope.READ)
        return Reply(encode(self.own(episode_id).info()))

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
        return await self._answer(episode.step(request, listener), wait_s, listener)

    async def get_step(self, episode_id: str, index: int, generation: int | None = None, wait_s: float = 0.0) -> Reply:
        self.may(Scope.READ)
        return await self._answer(self.own_live(episode_id).record(index, generation), wait_s)

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

    # Files

    async def read_file(self, episode_id: str, path: str, held: AsyncExitStack) -> bytes:
        """Its room in memory is given back when `held` ends, which is when its bytes have been sent."""
        self.may(Scope.READ)
        sandbox = self.own_live(episode_id).sandbox()
        _checked_path(path)
        small, large = min(SMALL_FILE_BYTES, self.config.max_file_bytes), self.config.max_file_bytes
        await held.enter_async_context(self.files.hold(small))
        try:
            return await self._in_time(sandbox.read_file(path, max_bytes=small))
        except SandboxFileError as error:
            if error.code != "too_large" or small == large:
                raise
        await held.aclose()
        await held.enter_async_context(self.files.hold(large))
        return await self._in_time(sandbox.read_file(path, max_bytes=large))

    async def write_file(self, episode_id: str, path: str, data: bytes, key: str | None = None) -> Reply:
        if len(data) > self.config.max_file_bytes:
            raise PayloadTooLarge(f"a file may have at most {self.config.max_file_bytes} bytes")
        _checked_path(path)

        async def call() -> Reply:
            sandbox = self.manager.episode(episode_id).sandbox()
            await self._in_time(sandbox.write_file(path, data))
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
        call: Callable[[], Coroutine[Any, Any, Reply]],
        path: str | None = None,
    ) -> Reply:
        self.may(Scope.EPISODES)

        async def once() -> Reply:
            self.own(episode_id)
            with self._audited(event, {"episode_id": episode_id, "path": path}):
                return await call()

        return await self._keyed(" ".join((event, episode_id, path or "")), key, request, once)

    async def _keyed(
        self,
        scope: str,
        key: str | None,
        request: BaseModel | bytes | None,
        call: Callable[[], Coroutine[Any, Any, Reply]],
    ) -> Reply:
        if key is None:
            return await call()
        if isinstance(request, bytes):
            mark = hashlib.blake2b(request, digest_size=16).digest()
        else:
            mark = fingerprint(request.model_dump(mode="json") if request is not None else None)
        return await self._once[self._who.tenant.name].run(scope, key, mark, call, lambda reply: len(reply.body))

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


def _limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_LIMIT:
        raise InvalidRequest(f"limit is {limit}, must be between 1 and {PAGE_LIMIT}")
    return limit
