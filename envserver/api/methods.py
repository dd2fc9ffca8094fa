"""The methods of the WebSocket, by name: each takes its parameters apart and makes the call that HTTP makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from envserver.api.calls import Calls
from envserver.api.codecs import Codec
from envserver.api.parsing import parse_model
from envserver.episodes.idempotency import Reply
from envserver.runtimes.base import OutputListener
from envserver_sdk import models
from envserver_sdk.errors import InvalidRequest, NotFound

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class FileReply:
    """A file's bytes, which each codec carries in its own way."""

    path: str
    data: bytes


@dataclass
class Call:
    """One call as it arrived."""

    calls: Calls
    codec: Codec
    params: JsonObject
    stream: Callable[[], OutputListener]
    """Makes the listener that sends a step's output as events."""
    held: AsyncExitStack
    """Ends when the answer is on its way."""

    def take(self, name: str, kind: type[Any], default: Any = None, *, required: bool = False) -> Any:
        """Take a parameter out. Raises: InvalidRequest."""
        value = self.params.pop(name, default)
        if value is None and not required:
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InvalidRequest(f"{name}: a {kind.__name__} is required")
        return value

    @property
    def episode_id(self) -> str:
        value: str = self.take("episode_id", str, required=True)
        return value

    @property
    def key(self) -> str | None:
        value: str | None = self.take("idempotency_key", str)
        return value

    def rest(self) -> None:
        """Nothing else may be left. Raises: InvalidRequest."""
        if self.params:
            raise InvalidRequest(f"unknown parameters: {', '.join(sorted(self.params))[:200]}")


async def _create(call: Call) -> Reply:
    key = call.key
    return await call.calls.create(parse_model(models.CreateEpisode, call.params), key)


async def _step(call: Call) -> Reply:
    episode_id = call.episode_id
    listener = call.stream() if call.take("stream", bool) else None
    return await call.calls.step(episode_id, parse_model(models.StepRequest, call.params), listener)


async def _get_step(call: Call) -> Reply:
    episode_id = call.episode_id
    query = parse_model(models.GetStep, call.params)
    return await call.calls.get_step(episode_id, query.index, query.generation, query.wait_s)


async def _batch_step(call: Call) -> Reply:
    return await call.calls.batch_step(parse_model(models.BatchStep, call.params))


async def _reset(call: Call) -> Reply:
    episode_id, key = call.episode_id, call.key
    return await call.calls.reset(episode_id, parse_model(models.ResetEpisode, call.params), key)


async def _grade(call: Call) -> Reply:
    episode_id, key = call.episode_id, call.key
    call.rest()
    return await call.calls.grade(episode_id, key)


async def _close(call: Call) -> Reply:
    episode_id, key = call.episode_id, call.key
    call.rest()
    return await call.calls.close(episode_id, key)


async def _pause(call: Call) -> Reply:
    episode_id, key = call.episode_id, call.key
    call.rest()
    return await call.calls.rest(episode_id, models.EpisodeState.PAUSED, key)


async def _hibernate(call: Call) -> Reply:
    episode_id, key = call.episode_id, call.key
    call.rest()
    return await call.calls.rest(episode_id, models.EpisodeState.HIBERNATED, key)


async def _resume(call: Call) -> Reply:
    episode_id, key = call.episode_id, call.key
    call.rest()
    return await call.calls.resume(episode_id, key)


async def _checkpoint(call: Call) -> Reply:
    episode_id, key = call.episode_id, call.key
    return await call.calls.checkpoint(episode_id, parse_model(models.CreateCheckpoint, call.params), key)


async def _checkpoints(call: Call) -> Reply:
    query = parse_model(models.ListCheckpoints, call.params)
    return await call.calls.checkpoints(query.episode_id, query.cursor, query.limit)


async def _get_checkpoint(call: Call) -> Reply:
    checkpoint_id = call.take("checkpoint_id", str, required=True)
    call.rest()
    return await call.calls.get_checkpoint(checkpoint_id)


async def _delete_checkpoint(call: Call) -> Reply:
    checkpoint_id, key = call.take("checkpoint_id", str, required=True), call.key
    call.rest()
    return await call.calls.delete_checkpoint(checkpoint_id, key)


async def _fork(call: Call) -> Reply:
    checkpoint_id, key = call.take("checkpoint_id", str, required=True), call.key
    return await call.calls.fork(checkpoint_id, parse_model(models.ForkCheckpoint, call.params), key)


async def _restore(call: Call) -> Reply:
    episode_id, key = call.episode_id, call.key
    return await call.calls.restore(episode_id, parse_model(models.RestoreEpisode, call.params), key)


async def _create_group(call: Call) -> Reply:
    key = call.key
    return await call.calls.create_group(parse_model(models.CreateGroup, call.params), key)


async def _get_group(call: Call) -> Reply:
    group_id = call.take("group_id", str, required=True)
    call.rest()
    return await call.calls.get_group(group_id)


async def _close_group(call: Call) -> Reply:
    group_id, key = call.take("group_id", str, required=True), call.key
    call.rest()
    return await call.calls.close_group(group_id, key)


async def _get(call: Call) -> Reply:
    episode_id = call.episode_id
    call.rest()
    return await call.calls.get(episode_id)


async def _list(call: Call) -> Reply:
    query = parse_model(models.ListEpisodes, call.params)
    return await call.calls.list(query.state, query.environment, query.cursor, query.limit)


async def _trajectory(call: Call) -> Reply:
    episode_id = call.episode_id
    return await call.calls.trajectory(episode_id, parse_model(models.GetTrajectory, call.params).generation)


async def _read_file(call: Call) -> FileReply:
    episode_id, path = call.episode_id, call.take("path", str, required=True)
    call.rest()
    return FileReply(path, await call.calls.read_file(episode_id, path, call.held))


async def _write_file(call: Call) -> Reply:
    episode_id, key, path = call.episode_id, call.key, call.take("path", str, required=True)
    data = call.codec.file_data(call.params)
    call.rest()
    return await call.calls.write_file(episode_id, path, data, key)


async def _environments(call: Call) -> Reply:
    call.rest()
    return await call.calls.environments()


async def _environment(call: Call) -> Reply:
    name = call.take("name", str, required=True)
    call.rest()
    return await call.calls.environment(name)


async def _tasks(call: Call) -> Reply:
    name = call.take("name", str, required=True)
    query = parse_model(models.ListTasks, call.params)
    return await call.calls.tasks(name, query.task_set, query.split, query.cursor, query.limit)


async def _health(call: Call) -> Reply:
    call.rest()
    return await call.calls.health()


METHODS: dict[str, Callable[[Call], Awaitable[Reply | FileReply]]] = {
    "create": _create,
    "step": _step,
    "get_step": _get_step,
    "batch_step": _batch_step,
    "reset": _reset,
    "grade": _grade,
    "close": _close,
    "pause": _pause,
    "resume": _resume,
    "hibernate": _hibernate,
    "checkpoint": _checkpoint,
    "checkpoints": _checkpoints,
    "get_checkpoint": _get_checkpoint,
    "delete_checkpoint": _delete_checkpoint,
    "fork": _fork,
    "restore": _restore,
    "create_group": _create_group,
    "get_group": _get_group,
    "close_group": _close_group,
    "get": _get,
    "list": _list,
    "trajectory": _trajectory,
    "read_file": _read_file,
    "write_file": _write_file,
    "environments": _environments,
    "environment": _environment,
    "tasks": _tasks,
    "health": _health,
}


async def dispatch(method: Any, call: Call) -> Reply | FileReply:
    """Raises: NotFound for a method that is none, and whatever the call raises."""
    handler = METHODS.get(method) if isinstance(method, str) else None
    if handler is None:
        raise NotFound(f"there is no method {str(method)[:64]!r}")
    return await handler(call)
