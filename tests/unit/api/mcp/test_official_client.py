"""The official client lists and calls an episode's tools as those of any other MCP server."""

from __future__ import annotations

import httpx
import pytest
from mcp import Client, MCPError
from mcp_types import CallToolResult, ImageContent, TextContent, ToolListChangedNotification

from envserver.server import RunningServer
from envserver_sdk import AsyncClient
from tests.unit.api.mcp.tooled import PNG, create
from tests.unit.scripted import Gates


def texts(result: CallToolResult) -> list[str]:
    return [block.text for block in result.content if isinstance(block, TextContent)]


async def test_an_episode_s_tools_are_listed_and_a_call_is_a_step(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    episode = await create(http)
    async with Client(f"{server.url}/v1/episodes/{episode}/mcp") as client:
        assert client.protocol_version == "2025-11-25"
        assert client.instructions == (await http.get(f"/v1/episodes/{episode}")).json()["observation"]["prompt"]
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == {"echo", "wait", "score", "submit", "set", "picture"}
        assert tools["echo"].description == "Does echo."
        assert tools["echo"].input_schema["properties"] == {"value": {"type": "string"}}
        echoed = await client.call_tool("echo", {"value": "hé"})
        assert '"value": "hé"' in texts(echoed)[0]
        assert not echoed.is_error
        scored = await client.call_tool("score", {"reward": 0.25})
        assert scored.meta == {
            "envserver/step": {
                "step_index": 2, "generation": 1, "reward": 0.25, "terminated": False, "truncated": False,
                "outcome": "ok", "trainable": True,
            }
        }  # fmt: skip
        drawn = await client.call_tool("picture", {})
        assert [block.data for block in drawn.content if isinstance(block, ImageContent)] == [PNG]
    assert (await http.get(f"/v1/episodes/{episode}")).json()["step_index"] == 3


async def test_what_is_malformed_is_a_step_and_an_error_of_the_call(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    async with Client(f"{server.url}/v1/episodes/{await create(http)}/mcp") as client:
        wrong = await client.call_tool("dance", {})
        assert wrong.is_error
        assert texts(wrong) == ["error: unknown action"]
        assert wrong.meta is not None
        assert wrong.meta["envserver/step"]["outcome"] == "format_error"


async def test_a_submitted_episode_is_graded_and_takes_no_further_call(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    async with Client(f"{server.url}/v1/episodes/{await create(http, 'answering')}/mcp") as client:
        assert "answer" in {tool.name for tool in (await client.list_tools()).tools}
        with pytest.raises(MCPError, match="answer takes one argument"):
            await client.call_tool("answer", {"text": 1})
        done = await client.call_tool("answer", {"text": "a"})
        assert done.meta is not None
        told = done.meta["envserver/step"]
        assert (told["reward"], told["terminated"], told["grade"]["components"]) == (1.0, True, {"tests": 1.0})
        with pytest.raises(MCPError, match="has ended: submitted") as ended:
            await client.call_tool("echo", {"value": "x"})
        assert ended.value.error.data["type"].endswith("episode_ended")
        with pytest.raises(MCPError, match="has ended: submitted"):
            await client.list_tools(cache_mode="bypass")


async def test_tools_that_change_are_told_of(server: RunningServer, http: httpx.AsyncClient) -> None:
    heard: list[object] = []

    async def hear(message: object) -> None:
        heard.append(message)

    url = f"{server.url}/v1/episodes/{await create(http)}/mcp"
    async with Client(url, message_handler=hear) as client:
        await client.call_tool("echo", {"value": "x"})
        assert not heard
        await client.call_tool("set", {"value": "grown"})
        assert [type(message) for message in heard] == [ToolListChangedNotification]
        assert "get" in {tool.name for tool in (await client.list_tools()).tools}


async def test_a_call_that_takes_long_is_waited_for(
    server: RunningServer, http: httpx.AsyncClient, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envserver.api.mcp.endpoint.QUICK_S", 0.0)
    monkeypatch.setattr("envserver.api.mcp.endpoint.KEEP_OPEN_S", 0.01)
    gates.open("g")
    async with Client(f"{server.url}/v1/episodes/{await create(http)}/mcp") as client:
        assert texts(await client.call_tool("wait", {"gate": "g"})) == ['{"passed": "g"}']


async def test_the_sdk_goes_on_where_an_mcp_client_left_an_episode(server: RunningServer) -> None:
    async with AsyncClient(server.url) as envserver, envserver.create("tooled", task="a") as episode:
        async with Client(episode.mcp_url) as client:
            await client.call_tool("set", {"value": "seen"})
        assert (await episode.rejoin()).step_index == 1
        assert (await episode.step({"type": "get"})).observation["value"] == "seen"
