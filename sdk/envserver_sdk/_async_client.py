"""The client, written once and asynchronously; `_sync_client.py` is generated from the signatures here.

Creates, steps, resets, grades and closes go over the one WebSocket; looking around and files are ordinary HTTP
requests. What is repeated for the caller: anything after a lost connection (safe, because every call has a
name), a step that takes longer than one wait, and a create that the node had no room for.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

from envserver_sdk._http import Http
from envserver_sdk._lazy import lazy_import
from envserver_sdk._settings import Timeouts, Tls
from envserver_sdk._socket import Socket
from envserver_sdk.errors import (
    CallTimeout,
    EnvserverClientError,
    NotFound,
    Overloaded,
    Problem,
    QuotaExceeded,
    problem_from_document,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

    from envserver_sdk import models
    from envserver_sdk.models import (
        EnvironmentInfo,
        EnvironmentList,
        EpisodeInfo,
        EpisodeList,
        EpisodeStarted,
        EpisodeState,
        GradeResult,
        Health,
        JsonObject,
        StepResult,
        TaskList,
    )
else:
    models = lazy_import("envserver_sdk.models")

M = TypeVar("M", bound="BaseModel")

PENDING = 202

OnOutput = Callable[[str, str], None]
"""Called with ("stdout" | "stderr", text) as a step's output arrives; what counts is the observation."""


def _new_key() -> str:
    return uuid.uuid4().hex


def _given(**params: Any) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}


class CreatingEpisode(Awaitable["AsyncEpisode"]):
    """An episode on its way: `episode = await ...`, or `async with ... as episode` to have it closed."""

    def __init__(self, begin: Callable[[], Awaitable[AsyncEpisode]]) -> None:
        self._begin = begin
        self._episode: AsyncEpisode | None = None

    def __await__(self) -> Generator[Any, None, AsyncEpisode]:
        return self._begin().__await__()

    async def __aenter__(self) -> AsyncEpisode:
        self._episode = await self._begin()
        return self._episode

    async def __aexit__(self, *_: object) -> None:
        if self._episode is not None:
            await self._episode.close()


class AsyncClient:
    """A connection to one server, for any number of episodes at a time."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        *,
        timeouts: Timeouts | None = None,
        tls: Tls | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url is {url!r}, must begin with http:// or https://")
        self.url = url.rstrip("/")
        self.timeouts = timeouts or Timeouts()
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._socket = Socket(self.url, headers, self.timeouts, tls or Tls())
        self._http = Http(self.url, headers, self.timeouts, tls or Tls())
        self._abandoned: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Episodes live on until they are closed or their leases end. Idempotent."""
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=self.timeouts.call_s)
        await self._socket.close()
        await self._http.close()

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
        metadata: Mapping[str, Any] | None = None,
    ) -> CreatingEpisode:
        """Make an episode and begin it; what is left out is chosen by the server (a task: by the seed).

        A node without room, and a quota that fills up again, are asked again when they say so, within
        `Timeouts.create_s`. Cancelling closes the episode, should it still come to be.

        Raises: NotFound, InvalidRequest, Overloaded, QuotaExceeded, InfraError.
        """
        params = _given(
            environment=environment, task=task, task_set=task_set, seed=seed, options=options, limits=limits,
            ttl_s=ttl_s, idle_timeout_s=idle_timeout_s, metadata=metadata,
        )  # fmt: skip

        async def begin() -> AsyncEpisode:
            return AsyncEpisode(self, await self._begin("create", params))

        return CreatingEpisode(begin)

    async def attach(self, episode_id: str) -> AsyncEpisode:
        """Go on with an episode that another client made. Raises: NotFound."""
        info = await self.get(episode_id)
        started = models.EpisodeStarted(
            episode_id=episode_id, generation=info.generation, step_index=info.step_index, observation={}, info={}
        )
        return AsyncEpisode(self, started)

    async def batch_step(self, steps: Sequence[tuple[AsyncEpisode, Any]]) -> list[StepResult | Problem]:
        """One step each of many episodes, in one message; a failed one is its problem, in its place."""
        entries = [episode._step_params(action) for episode, action in steps]
        _, result = await self._socket.call("batch_step", {"steps": entries}, timeout_s=self.timeouts.step_s)
        return list(
            await asyncio.gather(
                *(
                    episode._take_batched(document)
                    for (episode, _), document in zip(steps, result["results"], strict=True)
                )
            )
        )

    async def get(self, episode_id: str) -> EpisodeInfo:
        """State, usage and expiry of an episode. Raises: NotFound."""
        return await self._get(models.EpisodeInfo, f"/v1/episodes/{episode_id}")

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
        return await self._get(models.EpisodeList, "/v1/episodes", query)

    async def environments(self) -> EnvironmentList:
        """The names of the server's environments."""
        return await self._get(models.EnvironmentList, "/v1/environments")

    async def environment(self, name: str) -> EnvironmentInfo:
        """Schemas, limits and task sets of an environment. Raises: NotFound."""
        return await self._get(models.EnvironmentInfo, f"/v1/environments/{name}")

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
        return await self._get(models.TaskList, f"/v1/environments/{environment}/tasks", query)

    async def health(self) -> Health:
        """Whether the server is ready, and how full it is."""
        return models.Health.model_validate_json(await self._http.call("GET", "/v1/health", accept=(503,)))

    async def _get(self, model: type[M], path: str, query: dict[str, Any] | None = None) -> M:
        return model.model_validate_json(await self._http.call("GET", path, query=query))

    async def _call(self, model: type[M], method: str, params: dict[str, Any], timeout_s: float) -> M:
        params = {**params, "idempotency_key": _new_key()}
        _, result = await self._socket.call(method, params, timeout_s=timeout_s)
        return model.model_validate(result)

    async def _begin(self, method: str, params: dict[str, Any]) -> EpisodeStarted:
        """Create or reset; comes again while the node is full."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self.timeouts.create_s
        refusal: Overloaded | QuotaExceeded | None = None
        while True:
            try:
                return await self._ask_to_begin(method, params, max(0.001, give_up_at - loop.time()))
            except (Overloaded, QuotaExceeded) as problem:
                if isinstance(problem, QuotaExceeded) and "retry_after_s" not in problem.extra:
                    raise  # waiting alone gives nothing back
                refusal = problem
            except CallTimeout:
                if refusal is not None:
                    raise refusal from None
                raise
            pause_s = float(refusal.extra.get("retry_after_s", 1.0)) * random.uniform(1.0, 1.25)
            if loop.time() + pause_s > give_up_at:
                raise refusal
            await asyncio.sleep(pause_s)

    async def _ask_to_begin(self, method: str, params: dict[str, Any], timeout_s: float) -> EpisodeStarted:
        """Once. A create that is cancelled is carried through, since only an episode with an id can be closed."""
        asking = asyncio.ensure_future(self._call(models.EpisodeStarted, method, params, timeout_s))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            if method == "create":
                abandoned = asyncio.ensure_future(self._close_when_begun(asking))
                self._abandoned.add(abandoned)
                abandoned.add_done_callback(self._abandoned.discard)
            raise

    async def _close_when_begun(self, asking: asyncio.Future[EpisodeStarted]) -> None:
        with contextlib.suppress(EnvserverClientError):
            await AsyncEpisode(self, await asking).close()


class AsyncEpisode:
    """One episode. Steps are named by index, so a step that failed to arrive is simply taken again."""

    def __init__(self, client: AsyncClient, started: EpisodeStarted) -> None:
        self._client = client
        self.episode_id = started.episode_id
        self.generation = started.generation
        self.step_index = started.step_index
        """Of the last finished step; 0 before the first."""
        self.observation: JsonObject = started.observation
        """The last one."""
        self.info: JsonObject = started.info
        """Of the beginning: task, task set, seed and what the environment adds."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def step(
        self,
        action: Any,
        *,
        timeout_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_output: OnOutput | None = None,
    ) -> StepResult:
        """Take the next step: any JSON value that the environment understands.

        `timeout_s` limits the policy's own work. Should this raise `CallTimeout` or `ConnectionFailed`, the same
        call again attaches to the step or fetches its record: it never runs twice.

        Raises: EpisodeEnded, EpisodeClosed, EpisodeLost, StaleGeneration, InvalidRequest.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._client.timeouts.step_s
        params = self._step_params(action, timeout_s=timeout_s, metadata=metadata)
        params |= {"wait_s": self._client.timeouts.wait_s}
        listen = None
        if on_output is not None:
            params["stream"] = True
            listen = _listen(on_output)
        status, result = await self._client._socket.call(
            "step", params, timeout_s=self._client.timeouts.step_s, on_event=listen
        )
        if status == PENDING:
            result = await self._fetch(params["step_index"], give_up_at)
        return self._take(result)

    async def grade(self) -> GradeResult:
        """End the episode and grade it; the same record ever after."""
        return await self._client._call(
            models.GradeResult, "grade", {"episode_id": self.episode_id}, self._client.timeouts.step_s
        )

    async def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> EpisodeStarted:
        """Begin again in a new container, as the next generation."""
        params = {"episode_id": self.episode_id, **_given(seed=seed, options=options)}
        started = await self._client._begin("reset", params)
        self.generation, self.step_index = started.generation, started.step_index
        self.observation, self.info = started.observation, started.info
        return started

    async def close(self) -> None:
        """Close the episode on the server and free what it holds. Idempotent."""
        params = {"episode_id": self.episode_id}
        with contextlib.suppress(NotFound):  # closed so long ago that the server has forgotten it
            await self._client._call(models.EpisodeInfo, "close", params, self._client.timeouts.call_s)

    async def status(self) -> EpisodeInfo:
        """State, usage and expiry."""
        return await self._client.get(self.episode_id)

    async def read_file(self, path: str) -> bytes:
        """A file of the container. Raises: FileProblem."""
        return await self._client._http.call("GET", f"/v1/episodes/{self.episode_id}/files", query={"path": path})

    async def write_file(self, path: str, data: bytes) -> None:
        """Create or replace a file of the container. Raises: FileProblem."""
        await self._client._http.call(
            "PUT",
            f"/v1/episodes/{self.episode_id}/files",
            query={"path": path},
            content=data,
            headers={"Content-Type": "application/octet-stream", "Idempotency-Key": _new_key()},
        )

    def _step_params(
        self, action: Any, *, timeout_s: float | None = None, metadata: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        named = {"episode_id": self.episode_id, "generation": self.generation, "step_index": self.step_index + 1}
        return {**named, "action": action, **_given(timeout_s=timeout_s, metadata=metadata)}

    async def _fetch(self, index: int, give_up_at: float) -> JsonObject:
        """Ask for a step's record until it is there. Raises: CallTimeout."""
        loop, timeouts = asyncio.get_running_loop(), self._client.timeouts
        while (left_s := give_up_at - loop.time()) > 0:
            params = {
                "episode_id": self.episode_id,
                "index": index,
                "generation": self.generation,
                "wait_s": min(timeouts.wait_s, left_s),
            }
            status, result = await self._client._socket.call("get_step", params, timeout_s=left_s + timeouts.call_s)
            if status != PENDING:
                record: JsonObject = result
                return record
        raise CallTimeout(f"step {index}: not done within {timeouts.step_s:g} s")

    def _take(self, result: JsonObject) -> StepResult:
        step = models.StepResult.model_validate(result)
        self.step_index, self.observation = step.step_index, step.observation
        return step

    async def _take_batched(self, document: JsonObject) -> StepResult | Problem:
        try:
            if document.get("status") == "running":
                give_up_at = asyncio.get_running_loop().time() + self._client.timeouts.step_s
                document = await self._fetch(document["step_index"], give_up_at)
            return self._take(document) if "observation" in document else problem_from_document(document)
        except Problem as problem:
            return problem


def _listen(on_output: OnOutput) -> Callable[[dict[str, Any]], None]:
    def listen(event: dict[str, Any]) -> None:
        if event.get("type") == "output":
            on_output(event["stream"], event["text"])

    return listen
