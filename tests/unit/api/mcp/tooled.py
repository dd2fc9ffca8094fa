"""The scripted environment with tools, and clients of its episodes' MCP endpoint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import httpx

from environments.environment import EnvironmentSpec, JsonObject, StepContext, Transition
from envserver.api.mcp.messages import VERSIONS
from envserver.server import RunningServer
from tests.unit import scripted
from tests.unit.fixtures import make_config

PNG = "iVBORw0KGgo="
ACCEPT = "application/json, text/event-stream"


def _kind(name: str, **members: JsonObject) -> JsonObject:
    properties = {"type": {"const": name}, **members}
    return {"type": "object", "description": f"Does {name}.", "properties": properties, "required": ["type"]}


class Tooled(scripted.ScriptedEnvironment):
    """`set` to "grown" makes another tool of `get`."""

    spec: ClassVar[EnvironmentSpec] = replace(
        scripted.ScriptedEnvironment.spec,
        name="tooled",
        max_steps=50,
        action_schema={
            "oneOf": [
                _kind("echo", value={"type": "string"}),
                *map(_kind, ("wait", "score", "submit", "set", "picture", "get")),
            ]
        },
    )

    def tools(self) -> Sequence[JsonObject]:
        return [tool for tool in super().tools() if tool["name"] != "get" or self.sandbox.guest.value == "grown"]

    async def do_picture(self, action: JsonObject, context: StepContext) -> Transition:
        return Transition({"text": "a picture", "images": [{"format": "png", "data": PNG}]})


class Answering(Tooled):
    """One whose answers are no tool."""

    def answer(self, text: str) -> JsonObject:
        return {"type": "submit", "answer": text}


ENVIRONMENTS = {"tooled": Tooled, "answering": Answering}


@asynccontextmanager
async def serving(
    runtime: scripted.ScriptedRuntime, grader: scripted.ScriptedGrader, journal: Path | None = None, **changes: Any
) -> AsyncIterator[RunningServer]:
    config = make_config(journal=journal, drain_timeout_s=0.05, **changes)
    async with RunningServer(config, runtime, environments=ENVIRONMENTS, graders=grader.get) as server:
        yield server


class Raw:
    """Speaks the protocol by hand: what is sent, and how often, is the test's to say."""

    def __init__(self, http: httpx.AsyncClient, episode_id: str) -> None:
        self.http, self.path = http, f"/v1/episodes/{episode_id}/mcp"
        self.headers = {"accept": ACCEPT, "mcp-protocol-version": VERSIONS[0]}

    async def begin(self) -> Raw:
        answer = await self.post({"id": 0, "method": "initialize", "params": {"protocolVersion": VERSIONS[0]}})
        assert answer.status_code == 200, answer.text
        self.headers["mcp-session-id"] = answer.headers["mcp-session-id"]
        return self

    async def post(self, message: JsonObject, **headers: str) -> httpx.Response:
        body = {"jsonrpc": "2.0", **message}
        return await self.http.post(self.path, json=body, headers={**self.headers, **headers})

    async def call(self, number: int | str, tool: str, meta: JsonObject | None = None, **arguments: Any) -> JsonObject:
        """The JSON-RPC answer."""
        return last_message(await self.post(call_of(number, tool, meta, **arguments)))


def call_of(number: int | str, tool: str, meta: JsonObject | None = None, **arguments: Any) -> JsonObject:
    params = {"name": tool, "arguments": arguments, **({"_meta": meta} if meta else {})}
    return {"id": number, "method": "tools/call", "params": params}


def last_message(answer: httpx.Response) -> JsonObject:
    if answer.headers["content-type"].startswith("text/event-stream"):
        data = [line.removeprefix("data: ") for line in answer.text.splitlines() if line.startswith("data: {")]
        found: JsonObject = json.loads(data[-1])
    else:
        found = answer.json()
    return found


def step_of(answer: JsonObject) -> JsonObject:
    found: JsonObject = answer["result"]["_meta"]["envserver/step"]
    return found


async def create(http: httpx.AsyncClient, environment: str = "tooled") -> str:
    response = await http.post("/v1/episodes", json={"environment": environment, "task": "a"})
    assert response.status_code == 201, response.text
    return str(response.json()["episode_id"])
