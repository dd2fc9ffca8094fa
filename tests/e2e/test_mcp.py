"""MCP both ways on a real node: a server by somebody else in an episode's sandbox, and an episode as a server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult, TextContent

from envserver_sdk import AsyncClient, AsyncEpisode
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import Gate, eventually

pytestmark = pytest.mark.node

TIME = {"name": "time", "command": ["mcp-server-time", "--local-timezone", "Europe/Oslo"]}
OPTIONS = {"tools": [], "mcp": [TIME]}
NOON = {"source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "Asia/Kolkata"}


async def convert(episode: AsyncEpisode) -> dict[str, Any]:
    step = await episode.step({"type": "call", "name": "convert_time", "arguments": NOON})
    assert "session" not in step.observation, "the server has run from the beginning"
    found: dict[str, Any] = json.loads(step.observation["content"])
    return found


async def test_a_third_party_s_server_serves_an_episode_its_forks_and_the_next_server(
    lasting_server: ServerProcess,
) -> None:
    async with AsyncClient(lasting_server.url) as client:
        episode = await client.create("tools", options=OPTIONS)
        tools = {tool["name"]: tool for tool in episode.observation["tools"]}
        assert tools["convert_time"]["parameters"]["required"] == ["source_timezone", "time", "target_timezone"]
        assert (await convert(episode))["time_difference"] == "-3.5h"
        wrong = {**NOON, "source_timezone": "Mars/Olympus"}
        failed = await episode.step({"type": "call", "name": "convert_time", "arguments": wrong})
        assert failed.observation["error"] is True
        fork = (await episode.fork(1))[0]
        assert (await convert(fork))["time_difference"] == "-3.5h"
        await asyncio.to_thread(lasting_server.kill)
        await asyncio.to_thread(lasting_server.start)
        assert (await convert(episode))["time_difference"] == "-3.5h"
        for each in (episode, fork):
            await each.close()


def said(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


async def test_the_official_client_plays_an_episode_of_tools(server: ServerProcess, client: AsyncClient) -> None:
    async with client.create("tools", options={**OPTIONS, "tools": ["calculator"]}) as episode:
        async with Client(episode.mcp_url) as mcp:
            assert mcp.instructions == episode.observation["prompt"]
            listed = {tool.name for tool in (await mcp.list_tools()).tools}
            assert {"calculator", "convert_time", "get_current_time", "answer"} <= listed
            assert json.loads(said(await mcp.call_tool("convert_time", NOON)))["time_difference"] == "-3.5h"
            assert "42" in said(await mcp.call_tool("calculator", {"expression": "6 * 7"}))
            done = await mcp.call_tool("answer", {"text": "I do not know."})
        assert done.meta is not None
        assert done.meta["envserver/step"]["terminated"] is True
        assert (await episode.status()).state == "ended"


async def test_a_call_whose_server_was_killed_is_answered_by_the_next_and_ran_once(
    lasting_server: ServerProcess,
) -> None:
    async with AsyncClient(lasting_server.url) as client:
        episode = await client.create("code", task="HumanEval/0")
        gate = Gate(episode)
        async with Client(episode.mcp_url) as mcp:
            call = asyncio.ensure_future(mcp.call_tool("bash", {"command": gate.action["command"]}))
            await gate.begun()
            await asyncio.sleep(1.5)  # by then it is answered as a stream, which tells nobody
            await asyncio.to_thread(lasting_server.kill)
            await asyncio.to_thread(lasting_server.start)
            await eventually(gate.runs)
            await gate.open()
            answered = said(await call)
            assert answered.strip()
            assert await gate.runs() == 1
            assert said(await mcp.call_tool("bash", {"command": "echo on"})).startswith("on")
        record = await episode.trajectory()
        await episode.close()
    assert [step.step_index for step in record.steps] == [1, 2]
