"""One episode, its checkpoints, and groups of episodes, as the asynchronous client sees them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from envserver_sdk._lazy import lazy_import
from envserver_sdk._link import Link, given, new_key
from envserver_sdk._pauses import pauses
from envserver_sdk.errors import (
    CallTimeout,
    EnvserverClientError,
    EpisodeNotLive,
    NotFound,
    Overloaded,
    Problem,
    ShuttingDown,
    problem_from_document,
)
from envserver_sdk.pictures import Picture, pictures_of

if TYPE_CHECKING:
    from envserver_sdk import models
    from envserver_sdk.models import (
        CheckpointInfo,
        CheckpointKind,
        EpisodeInfo,
        EpisodesStarted,
        EpisodeStarted,
        GradeResult,
        GroupInfo,
        GroupStarted,
        JsonObject,
        StepResult,
        Stragglers,
        Trajectory,
    )
else:
    models = lazy_import("envserver_sdk.models")

PENDING = 202
BEGINNING = ("queued", "starting")
"""States in which an episode is on its way."""

OnOutput = Callable[[str, str], None]
"""Called with ("stdout" | "stderr", text) as a step's output arrives; what counts is the observation."""


class AsyncEpisode:
    """One episode. Steps are named by index, so a step that failed to arrive is simply taken again."""

    def __init__(self, link: Link, started: EpisodeStarted) -> None:
        self._link = link
        self.episode_id = started.episode_id
        self.generation = started.generation
        self.step_index = started.step_index
        """Of the last finished step; 0 before the first."""
        self.observation: JsonObject = started.observation
        """The last one."""
        self.info: JsonObject = started.info
        """Of the beginning: task, task set, seed and what the environment adds."""
        self.messages: list[JsonObject] = []
        """The conversation so far, in the shape of the episode's protocol: what the model is asked with next.

        Kept here, not on the server: a fork made through this object has its own copy, and `restore` goes back with it.
        Empty for an episode without a protocol; see `Trajectory` for the conversation of another client's.
        """
        self.tool_schemas: list[JsonObject] = []
        """The tools as the protocol's chat template or API takes them; they may change from step to step."""
        self.mcp_url = f"{link.url}/v1/episodes/{self.episode_id}/mcp"
        """Where any MCP client lists and calls the episode's tools. It is sent the API key as this client is.

        A step that was taken there is none of this object's: `rejoin` before the next one here.
        """
        self._hear(started.observation)

    @property
    def pictures(self) -> list[Picture]:
        """Those of the last observation, as bytes; `Picture.array` has the pixels."""
        return pictures_of(self.observation)

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
        """Take the next step: any JSON value that the environment understands. A sleeping episode wakes for it.

        `timeout_s` limits the policy's own work. Should this raise `CallTimeout` or `ConnectionFailed`, the same
        call again attaches to the step or fetches its record: it never runs twice, a restart of the server included.
        After a step with `recovery` this stands where the recovered episode does, and the next call goes on there.

        Raises: EpisodeEnded, EpisodeClosed, EpisodeLost, InvalidRequest; StaleGeneration when the world was replaced
        between two steps, see `rejoin`; Overloaded when the node has no room to wake it.
        """
        give_up_at = asyncio.get_running_loop().time() + self._link.timeouts.step_s
        params = self._step_params(action, timeout_s=timeout_s, metadata=metadata)
        params |= {"wait_s": self._link.timeouts.wait_s}
        listen = None
        if on_output is not None:
            params["stream"] = True
            listen = _listen(on_output)
        status, result = await self._ask_to_step(params, listen)
        if status == PENDING:
            result = await self._fetch(params["step_index"], give_up_at)
        return self._take(result)

    async def step_text(
        self,
        text: str,
        *,
        timeout_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_output: OnOutput | None = None,
    ) -> StepResult:
        """Take the next step by what a model said, raw: the episode's protocol finds the calls in it, or the answer.

        `messages` grows by it and by what comes back. For an episode made with `options={"protocol": ...}`.
        Raises: as `step`; TypeError for what is no text.
        """
        if not isinstance(text, str):
            raise TypeError(f"step_text takes a text, not {type(text).__name__}; step_message takes a whole message")
        message = {"role": "assistant", "content": text}
        return await self._say(text, message, timeout_s=timeout_s, metadata=metadata, on_output=on_output)

    async def step_message(
        self,
        message: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        on_output: OnOutput | None = None,
    ) -> StepResult:
        """The same for an assistant's message with calls beside its text: OpenAI's `tool_calls`, Anthropic's blocks."""
        if not isinstance(message, Mapping):
            raise TypeError(f"step_message takes a message, not {type(message).__name__}; step_text takes its text")
        said = dict(message)
        return await self._say(said, said, timeout_s=timeout_s, metadata=metadata, on_output=on_output)

    async def _say(self, said: Any, message: JsonObject, **settings: Any) -> StepResult:
        result = await self.step({"type": "message", "message": said}, **settings)
        self.messages.append(message)
        self._hear(result.observation)
        return result

    def _hear(self, observation: JsonObject) -> None:
        self.messages += observation.get("messages", ())
        self.tool_schemas = observation.get("tool_schemas", self.tool_schemas)

    async def grade(self) -> GradeResult:
        """End the episode and grade it; the same record ever after."""
        return await self._link.call(models.GradeResult, "grade", self._named(), self._link.timeouts.step_s)

    async def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> EpisodeStarted:
        """Begin again in a new container, as the next generation."""
        params = self._named(**given(seed=seed, options=options))
        started = self._stand(await self._link.begin(models.EpisodeStarted, "reset", params))
        self.messages = []
        self._hear(started.observation)
        return started

    async def checkpoint(self, kind: CheckpointKind | str = "auto", label: str | None = None) -> AsyncCheckpoint:
        """Save the episode as it stands after the running step, if one runs. It goes on.

        `auto` takes the strongest kind that works. Raises: CheckpointFailed, NotSupported, Overloaded, EpisodeEnded.
        """
        params = self._named(kind=kind, **given(label=label))
        info = await self._link.call(models.CheckpointInfo, "checkpoint", params, self._link.timeouts.step_s)
        return AsyncCheckpoint(self._link, info, self.messages, self.tool_schemas)

    async def fork(
        self, n: int = 1, *, kind: CheckpointKind | str = "auto", metadata: Mapping[str, Any] | None = None
    ) -> list[AsyncEpisode]:
        """`n` more episodes that go on from here, each its own way: all of them or none. This one goes on, too.

        Raises: as `checkpoint` and `AsyncCheckpoint.fork`.
        """
        checkpoint = await self.checkpoint(kind)
        try:
            return await checkpoint.fork(n, metadata=metadata)
        finally:
            with contextlib.suppress(EnvserverClientError):  # it ends with the episode's record
                await checkpoint.delete()

    async def restore(self, checkpoint: AsyncCheckpoint | str) -> EpisodeStarted:
        """Roll back to a checkpoint of this task, as the next generation; a step under way is dropped.

        Raises: NotFound, InvalidRequest for another task's, EpisodeClosed, Overloaded, InfraError.
        """
        checkpoint_id = checkpoint if isinstance(checkpoint, str) else checkpoint.checkpoint_id
        params = self._named(checkpoint_id=checkpoint_id)
        started = self._stand(await self._link.begin(models.EpisodeStarted, "restore", params))
        if not isinstance(checkpoint, str):
            self.messages, self.tool_schemas = list(checkpoint.messages), checkpoint.tool_schemas
        return started

    async def pause(self) -> EpisodeInfo:
        """Freeze it after the running step; the next step, or `resume`, thaws it.

        Raises: NotSupported, EpisodeEnded.
        """
        return await self._link.call(models.EpisodeInfo, "pause", self._named(), self._link.timeouts.step_s)

    async def hibernate(self) -> EpisodeInfo:
        """Put it on disk after the running step: memory and capacity are freed, and asked for again when it wakes.

        Raises: NotSupported, CheckpointFailed, EpisodeEnded.
        """
        return await self._link.call(models.EpisodeInfo, "hibernate", self._named(), self._link.timeouts.step_s)

    async def resume(self) -> EpisodeInfo:
        """Wake it without a step; of no consequence for one that is awake. Raises: Overloaded, EpisodeLost."""
        return await self._link.begin(models.EpisodeInfo, "resume", self._named())

    async def rejoin(self) -> EpisodeInfo:
        """Go on where the server has the episode: take over its generation, last step and last observation.

        For when somebody else moved it: `StaleGeneration` after the server recovered it between two steps, after
        another client's reset or restore. Steps after the checkpoint that it was recovered from are undone, so look
        at `step_index`. Waits while it begins. Raises: NotFound, CallTimeout after `Timeouts.create_s`.
        """
        loop, pause = asyncio.get_running_loop(), pauses()
        give_up_at = loop.time() + self._link.timeouts.create_s
        while (info := await self.status()).state in BEGINNING:
            if loop.time() > give_up_at:
                raise CallTimeout(f"episode {self.episode_id} is still {info.state}")
            await asyncio.sleep(next(pause))
        self.generation, self.step_index = info.generation, info.step_index
        if info.observation is not None:
            self.observation = info.observation
        return info

    async def close(self) -> None:
        """Close the episode on the server and free what it holds. Idempotent."""
        with contextlib.suppress(NotFound):  # closed so long ago that the server has forgotten it
            await self._link.call(models.EpisodeInfo, "close", self._named(), self._link.timeouts.call_s)

    async def status(self) -> EpisodeInfo:
        """State, usage and expiry."""
        return await self._link.get(models.EpisodeInfo, f"/v1/episodes/{self.episode_id}")

    async def trajectory(self, *, generation: int | None = None) -> Trajectory:
        """Its record so far, of the server's current generation unless told otherwise. Raises: NotFound."""
        query = {"generation": generation}
        return await self._link.get(models.Trajectory, f"/v1/episodes/{self.episode_id}/trajectory", query)

    async def read_file(self, path: str) -> bytes:
        """A file of the container. Raises: FileProblem."""
        return await self._link.http.call("GET", f"/v1/episodes/{self.episode_id}/files", query={"path": path})

    async def write_file(self, path: str, data: bytes) -> None:
        """Create or replace a file of the container. Raises: FileProblem."""
        await self._link.http.call(
            "PUT",
            f"/v1/episodes/{self.episode_id}/files",
            query={"path": path},
            content=data,
            headers={"Content-Type": "application/octet-stream", "Idempotency-Key": new_key()},
        )

    def _named(self, **params: Any) -> dict[str, Any]:
        return {"episode_id": self.episode_id, **params}

    def _stand(self, started: EpisodeStarted) -> EpisodeStarted:
        self.generation, self.step_index = started.generation, started.step_index
        self.observation, self.info = started.observation, started.info
        return started

    def _step_params(
        self, action: Any, *, timeout_s: float | None = None, metadata: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        named = self._named(generation=self.generation, step_index=self.step_index + 1)
        return {**named, "action": action, **given(timeout_s=timeout_s, metadata=metadata)}

    async def _ask_to_step(
        self, params: dict[str, Any], listen: Callable[[dict[str, Any]], None] | None
    ) -> tuple[int, Any]:
        """Again while the episode begins, as after a recovery, and while the node has no room to wake it."""
        loop, pause, timeouts = asyncio.get_running_loop(), pauses(), self._link.timeouts
        give_up_at = loop.time() + timeouts.create_s
        while True:
            try:
                return await self._link.socket.call("step", params, timeout_s=timeouts.step_s, on_event=listen)
            except (EpisodeNotLive, Overloaded) as problem:
                pause_s = float(problem.extra.get("retry_after_s", next(pause)))
                begins = problem.extra.get("state", BEGINNING[0]) in BEGINNING
                if not begins or loop.time() + pause_s > give_up_at:
                    raise
            await asyncio.sleep(pause_s)

    async def _fetch(self, index: int, give_up_at: float) -> JsonObject:
        """Ask for a step's record until it is there. Raises: CallTimeout."""
        loop, timeouts = asyncio.get_running_loop(), self._link.timeouts
        while (left_s := give_up_at - loop.time()) > 0:
            params = self._named(index=index, generation=self.generation, wait_s=min(timeouts.wait_s, left_s))
            status, result = await self._link.socket.call("get_step", params, timeout_s=left_s + timeouts.call_s)
            if status != PENDING:
                record: JsonObject = result
                return record
        raise CallTimeout(f"step {index}: not done within {timeouts.step_s:g} s")

    def _take(self, result: JsonObject) -> StepResult:
        step = models.StepResult.model_validate(result)
        self.step_index, self.observation = step.step_index, step.observation
        if (recovery := step.recovery) is not None:
            self.generation, self.step_index = recovery["generation"], recovery["step_index"]
            self.observation = recovery.get("observation", step.observation)
        return step

    async def _take_batched(self, action: Any, document: JsonObject) -> StepResult | Problem:
        """What became of a step of a batch; one that has to be asked for again goes on alone."""
        try:
            if document.get("status") == "running":
                give_up_at = asyncio.get_running_loop().time() + self._link.timeouts.step_s
                document = await self._fetch(document["step_index"], give_up_at)
            if "observation" in document:
                return self._take(document)
            problem = problem_from_document(document)
            if isinstance(problem, EpisodeNotLive | Overloaded | ShuttingDown):
                return await self.step(action)
        except Problem as raised:
            return raised
        return problem


class AsyncCheckpoint:
    """A saved state of an episode; it outlives the episode, until it is deleted or forgotten by the server."""

    def __init__(
        self,
        link: Link,
        info: CheckpointInfo,
        messages: Sequence[JsonObject] = (),
        tool_schemas: Sequence[JsonObject] = (),
    ) -> None:
        self._link = link
        self.messages: list[JsonObject] = list(messages)
        """The conversation that it was taken in, where this client had it."""
        self.tool_schemas: list[JsonObject] = list(tool_schemas)
        """The tools that there were then."""
        self.checkpoint_id = info.checkpoint_id
        self.kind = info.kind
        """What is saved: `process`, `filesystem` or `replay`."""
        self.info = info
        """Its size, its pause, and the step that it was taken after."""

    async def fork(
        self,
        n: int = 1,
        *,
        ttl_s: float | None = None,
        idle_timeout_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        stragglers: Stragglers | Mapping[str, Any] | None = None,
    ) -> list[AsyncEpisode]:
        """`n` episodes that go on from here, each its own way: all of them or none.

        What is left out is as the checkpoint's episode had it. With `stragglers` they are a group, of which those that
        still run are truncated at last, as in `AsyncClient.group`; `status()` of each has its `group_id`. A full node
        is asked again within `Timeouts.create_s`. Cancelling closes them, should they still come to be.

        Raises: NotFound, Overloaded, QuotaExceeded, InfraError.
        """
        options = given(ttl_s=ttl_s, idle_timeout_s=idle_timeout_s, metadata=metadata, stragglers=stragglers)
        params = {"checkpoint_id": self.checkpoint_id, "n": n, **options}
        started = await self._link.begin(models.EpisodesStarted, "fork", params, self._undo)
        episodes = [AsyncEpisode(self._link, each) for each in started.episodes]
        for episode in episodes:
            episode.messages, episode.tool_schemas = list(self.messages), list(self.tool_schemas)
        return episodes

    async def delete(self) -> None:
        """Free what it holds. Episodes that were forked from it live on. Idempotent."""
        params = {"checkpoint_id": self.checkpoint_id}
        with contextlib.suppress(NotFound):
            await self._link.call(models.CheckpointInfo, "delete_checkpoint", params, self._link.timeouts.call_s)

    async def _undo(self, started: EpisodesStarted) -> None:
        closing = (AsyncEpisode(self._link, each).close() for each in started.episodes)
        await asyncio.gather(*closing, return_exceptions=True)


class AsyncGroup:
    """Episodes of one task that began in the same state; a sequence of them, in a fixed order."""

    def __init__(self, link: Link, started: GroupStarted) -> None:
        self._link = link
        self.group_id = started.group_id
        self.kind = started.kind
        """Of the checkpoint by which they were made alike; None for a group of one, and where it is not known."""
        self.episodes = [AsyncEpisode(link, each) for each in started.episodes]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, index: int) -> AsyncEpisode:
        return self.episodes[index]

    def __iter__(self) -> Iterator[AsyncEpisode]:
        return iter(self.episodes)

    async def status(self) -> GroupInfo:
        """State and usage of every member. Raises: NotFound."""
        return await self._link.get(models.GroupInfo, f"/v1/groups/{self.group_id}")

    async def close(self) -> None:
        """Close every member and free what they hold. Idempotent."""
        with contextlib.suppress(NotFound):
            params = {"group_id": self.group_id}
            await self._link.call(models.GroupInfo, "close_group", params, self._link.timeouts.call_s)


async def step_all(link: Link, steps: Sequence[tuple[AsyncEpisode, Any]]) -> list[StepResult | Problem]:
    """One step each of many episodes, in one message; a failed one is its problem, in its place."""
    entries = [episode._step_params(action) for episode, action in steps]
    _, result = await link.socket.call("batch_step", {"steps": entries}, timeout_s=link.timeouts.step_s)
    taken: list[Awaitable[StepResult | Problem]] = [
        episode._take_batched(action, document)
        for (episode, action), document in zip(steps, result["results"], strict=True)
    ]
    return list(await asyncio.gather(*taken))


def _listen(on_output: OnOutput) -> Callable[[dict[str, Any]], None]:
    def listen(event: dict[str, Any]) -> None:
        if event.get("type") == "output":
            on_output(event["stream"], event["text"])

    return listen
