"""The same calls through the SDK's public face, which names, resends and waits by itself; answers are its models."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from envserver_sdk import AsyncClient, AsyncEpisode, Timeouts
from envserver_sdk.errors import CallTimeout, ConnectionFailed, Problem
from tests.chaos.wire import Answer, HttpWire

_TIMEOUTS = Timeouts(connect_s=5, reconnect_s=60, call_s=30, create_s=45, step_s=45, wait_s=5)


class SdkWire:
    """One trainer's client. Keys are the SDK's own; what it has no call for goes over plain HTTP."""

    via = "sdk"

    def __init__(self, url: str, api_key: str, http: HttpWire) -> None:
        self._client = AsyncClient(url, api_key, timeouts=_TIMEOUTS)
        self._episodes: dict[str, AsyncEpisode] = {}
        self._http = http
        self._calls: dict[str, Callable[[dict[str, Any]], Awaitable[Answer]]] = {
            "create": self._create,
            "create_group": self._create_group,
            "fork": self._fork,
            "step": self._step,
            "get": self._get,
            "reset": self._reset,
            "restore": self._restore,
            "checkpoint": self._checkpoint,
            "delete_checkpoint": self._delete_checkpoint,
            "pause": self._pause,
            "hibernate": self._hibernate,
            "resume": self._resume,
            "grade": self._grade,
            "close": self._close,
        }

    async def send(self, op: str, params: dict[str, Any], key: str) -> Answer:
        """Once, which may be many times below. Raises: ConnectionError when the SDK gives up."""
        call = self._calls.get(op)
        if call is None:
            return await self._http.send(op, params, key)
        try:
            return await call(dict(params))
        except Problem as problem:
            return Answer(problem.status, json.dumps(problem.document()).encode())
        except (CallTimeout, ConnectionFailed) as error:
            raise ConnectionError(str(error)) from error

    async def close(self) -> None:
        await self._client.close()

    # Making

    def _met(self, episode: AsyncEpisode) -> dict[str, Any]:
        self._episodes[episode.episode_id] = episode
        return {
            "episode_id": episode.episode_id, "generation": episode.generation, "step_index": episode.step_index,
            "observation": episode.observation, "info": episode.info,
        }  # fmt: skip

    async def _create(self, params: dict[str, Any]) -> Answer:
        return _answer(self._met(await self._client.create(params.pop("environment"), **params)), 201)

    async def _create_group(self, params: dict[str, Any]) -> Answer:
        group = await self._client.group(params.pop("environment"), **params)
        return _answer({"group_id": group.group_id, "episodes": [self._met(each) for each in group]}, 201)

    async def _fork(self, params: dict[str, Any]) -> Answer:
        checkpoint = await self._client.checkpoint(params["checkpoint_id"])
        return _answer({"episodes": [self._met(each) for each in await checkpoint.fork(params["n"])]}, 201)

    # One episode

    async def _episode(self, params: dict[str, Any]) -> AsyncEpisode:
        episode_id = params.pop("episode_id")
        episode = self._episodes.get(episode_id)
        if episode is None:
            episode = self._episodes[episode_id] = await self._client.attach(episode_id)
        return episode

    async def _step(self, params: dict[str, Any]) -> Answer:
        episode = await self._episode(params)
        episode.generation, episode.step_index = params["generation"], params["step_index"] - 1
        result = await episode.step(params["action"], timeout_s=params.get("timeout_s"))
        return Answer(200, result.model_dump_json().encode())

    async def _get(self, params: dict[str, Any]) -> Answer:
        return Answer(200, (await self._client.get(params["episode_id"])).model_dump_json().encode())

    async def _reset(self, params: dict[str, Any]) -> Answer:
        started = await (await self._episode(params)).reset(**params)
        return Answer(200, started.model_dump_json().encode())

    async def _restore(self, params: dict[str, Any]) -> Answer:
        started = await (await self._episode(params)).restore(params["checkpoint_id"])
        return Answer(200, started.model_dump_json().encode())

    async def _checkpoint(self, params: dict[str, Any]) -> Answer:
        checkpoint = await (await self._episode(params)).checkpoint(**params)
        return Answer(201, checkpoint.info.model_dump_json().encode())

    async def _delete_checkpoint(self, params: dict[str, Any]) -> Answer:
        await (await self._client.checkpoint(params["checkpoint_id"])).delete()
        return _answer({}, 200)

    async def _pause(self, params: dict[str, Any]) -> Answer:
        return Answer(200, (await (await self._episode(params)).pause()).model_dump_json().encode())

    async def _hibernate(self, params: dict[str, Any]) -> Answer:
        return Answer(200, (await (await self._episode(params)).hibernate()).model_dump_json().encode())

    async def _resume(self, params: dict[str, Any]) -> Answer:
        return Answer(200, (await (await self._episode(params)).resume()).model_dump_json().encode())

    async def _grade(self, params: dict[str, Any]) -> Answer:
        return Answer(200, (await (await self._episode(params)).grade()).model_dump_json().encode())

    async def _close(self, params: dict[str, Any]) -> Answer:
        await (await self._episode(params)).close()
        return _answer({}, 200)


def _answer(document: dict[str, Any], status: int) -> Answer:
    return Answer(status, json.dumps(document).encode())
