"""Every call, once: what HTTP and the WebSocket both mean by it.

A call takes a checked model and gives a `Reply`: a status as in HTTP, and the encoded body. Calls that change
something take an idempotency key; with one they run detached from their request, and a repetition attaches.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from importlib.metadata import version
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel

from envserver.api.problems import as_problem, encode_problem
from envserver.episodes.encoding import encode_pending
from envserver.episodes.idempotency import IdempotencyStore
from envserver.episodes.manager import EpisodeManager
from envserver.episodes.records import StepRecord, fingerprint
from envserver.runtimes.base import OutputListener, SandboxError
from envserver_sdk.errors import InfraError, InvalidRequest, PayloadTooLarge
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
VERSION = version("envserver")


class Reply(NamedTuple):
    """What a call answers."""

    body: bytes
    status: int = 200


def encode(model: BaseModel) -> bytes:
    return model.__pydantic_serializer__.to_json(model)


class Calls:
    """Belongs to one event loop."""

    def __init__(self, manager: EpisodeManager) -> None:
        self.manager = manager
        self.config = config = manager.services.config
        self.metrics = manager.services.metrics
        self._once = IdempotencyStore(config.idempotency_entries, config.idempotency_bytes, config.idempotency_age_s)
        self._ready_until = 0.0

    # Episodes

    async def create(self, request: CreateEpisode, key: str | None = None) -> Reply:
        """With a key, a dropped request leaves the create running for its repetition; without, nothing is left."""

        async def call() -> Reply:
            return Reply(await self.manager.create(request), 201)

        return await self._keyed("create", key, request, call)

    async def reset(self, episode_id: str, request: ResetEpisode, key: str | None = None) -> Reply:
        async def call() -> Reply:
            return Reply(await self.manager.reset(episode_id, request.seed, request.options))

        return await self._keyed(f"reset {episode_id}", key, request, call)

    async def close(self, episode_id: str, key: str | None = None) -> Reply:
        async def call() -> Reply:
            await self.manager.close(episode_id)
            return Reply(encode(self.manager.entry(episode_id).info()))

        return await self._keyed(f"close {episode_id}", key, None, call)

    async def grade(self, episode_id: str, key: str | None = None) -> Reply:
        async def call() -> Reply:
            return Reply(encode(await self.manager.episode(episode_id).grade()))

        return await self._keyed(f"grade {episode_id}", key, None, call)

    async def get(self, episode_id: str) -> Reply:
        return Reply(encode(self.manager.entry(episode_id).info()))

    async def list(
        self,
        state: EpisodeState | None = None,
        environment: str | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Reply:
        page = self.manager.page(state=state, environment=environment, cursor=cursor, limit=_limit(limit))
        return Reply(encode(page))

    # Steps

    async def step(self, episode_id: str, request: StepRequest, listener: OutputListener | None = None) -> Reply:
        episode = self.manager.episode(episode_id)
        wait_s = request.wait_s
        if wait_s is None:
            wait_s = episode.step_timeout_s(request) + self.config.step_margin_s
        return await self._answer(episode.step(request, listener), wait_s, listener)

    async def get_step(self, episode_id: str, index: int, generation: int | None = None, wait_s: float = 0.0) -> Reply:
        return await self._answer(self.manager.episode(episode_id).record(index, generation), wait_s)

    async def _answer(self, record: StepRecord, wait_s: float, listener: OutputListener | None = None) -> Reply:
        try:
            done = await record.wait(min(wait_s, self.config.max_wait_s))
        finally:
            if listener is not None and listener in record.listeners:
                record.listeners.remove(listener)
        return Reply(record.result) if done else Reply(encode_pending(record), 202)

    async def batch_step(self, request: BatchStep) -> Reply:
        """All at once; a step's problem stands in its place and touches no other."""
        bodies = await asyncio.gather(*(self._batched(entry) for entry in request.steps))
        return Reply(b'{"results":[%s]}' % b",".join(bodies))

    async def _batched(self, entry: BatchStepEntry) -> bytes:
        try:
            return (await self.step(entry.episode_id, entry)).body
        except Exception as error:
            return encode_problem(as_problem(error), self.metrics)

    # Files

    async def read_file(self, episode_id: str, path: str) -> bytes:
        sandbox = self.manager.episode(episode_id).sandbox()
        return await self._in_time(sandbox.read_file(_checked_path(path), max_bytes=self.config.max_file_bytes))

    async def write_file(self, episode_id: str, path: str, data: bytes, key: str | None = None) -> Reply:
        if len(data) > self.config.max_file_bytes:
            raise PayloadTooLarge(f"a file may have at most {self.config.max_file_bytes} bytes")
        _checked_path(path)

        async def call() -> Reply:
            sandbox = self.manager.episode(episode_id).sandbox()
            await self._in_time(sandbox.write_file(path, data))
            return Reply(encode(FileInfo(path=path, size_bytes=len(data))))

        return await self._keyed(f"write_file {episode_id} {path}", key, data, call)

    async def _in_time(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self.config.file_timeout_s):
                return await work
        except TimeoutError:
            raise InfraError(f"the file operation took longer than {self.config.file_timeout_s:g} s") from None

    # Environments and the server

    async def environments(self) -> Reply:
        return Reply(encode(EnvironmentList(environments=self.manager.catalog.names())))

    async def environment(self, name: str) -> Reply:
        return Reply(encode(await self.manager.catalog.describe(name)))

    async def tasks(
        self,
        name: str,
        task_set: str | None = None,
        split: str = "all",
        cursor: str | None = None,
        limit: int = 100,
    ) -> Reply:
        return Reply(encode(await self.manager.catalog.tasks(name, task_set, split, cursor, _limit(limit))))

    async def health(self) -> Reply:
        """`ok`, `draining`, or `unavailable` when the runtime does not answer."""
        services = self.manager.services
        admission, states = services.admission, self.manager.count_states()
        status = "draining" if self.manager.draining else "ok" if await self._runtime_answers() else "unavailable"
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

    async def _runtime_answers(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now < self._ready_until:
            return True
        try:
            async with asyncio.timeout(READINESS_S):
                await self.manager.services.runtime.list()
        except (SandboxError, TimeoutError, OSError):
            return False
        self._ready_until = now + READINESS_S
        return True

    def render_metrics(self) -> bytes:
        states = self.manager.count_states()
        for state in EpisodeState:
            self.metrics.episodes.labels(state.value).set(states[state])
        return self.metrics.render()

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
        return await self._once.run(scope, key, mark, call, lambda reply: len(reply.body))


def _checked_path(path: str) -> str:
    if not path.startswith("/") or "\0" in path or len(path) > MAX_PATH_LENGTH:
        raise InvalidRequest("path must be absolute, without NUL, and at most 4096 characters long")
    return path


def _limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_LIMIT:
        raise InvalidRequest(f"limit is {limit}, must be between 1 and {PAGE_LIMIT}")
    return limit
