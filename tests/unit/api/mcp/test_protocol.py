"""What is no MCP, or not allowed, is answered in the protocol's own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from envserver.server import RunningServer
from tests.unit.api.keys import Keys, bearer, client_of
from tests.unit.api.mcp.tooled import Raw, call_of, create, serving
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime


async def test_a_ping_is_answered(raw: Raw) -> None:
    assert (await raw.post({"id": 9, "method": "ping"})).json() == {"jsonrpc": "2.0", "id": 9, "result": {}}


async def test_notifications_and_answers_are_taken_and_need_nothing(raw: Raw) -> None:
    for message in ({"method": "notifications/initialized"}, {"id": 5, "result": {}}):
        answer = await raw.post(message)
        assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, -32700),
        (b"[]", 400, -32600),
        (b'{"id": 1, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', 400, -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "resources/list"}', 200, -32601),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}}', 200, -32602),
    ],
)
async def test_what_is_malformed_is_refused(raw: Raw, body: bytes, status: int, code: int) -> None:
    headers = {**raw.headers, "content-type": "application/json"}
    answer = await raw.http.post(raw.path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    "meta",
    [
        {"envserver/step": 1},
        {"envserver/step": {"step_index": 0}},
        {"envserver/step": {"step_index": "1"}},
        {"envserver/step": {"action": 1}},
        {"envserver/step": {"timeout_s": -1}},
    ],
)
async def test_a_step_is_not_named_by_nonsense(raw: Raw, meta: dict[str, Any], gates: Gates) -> None:
    assert (await raw.call(1, "echo", meta, value="x"))["error"]["code"] == -32602
    assert gates.counts["steps"] == 0


async def test_another_revision_of_the_protocol_is_refused_with_those_that_are_spoken(raw: Raw) -> None:
    answer = await raw.post({"id": 1, "method": "server/discover"}, **{"mcp-protocol-version": "2026-07-28"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, -32022)
    assert error["data"] == {"supported": ["2025-11-25", "2025-06-18", "2025-03-26"], "requested": "2026-07-28"}


async def test_a_session_is_asked_for(raw: Raw) -> None:
    del raw.headers["mcp-session-id"]
    assert (await raw.post(call_of(1, "echo", value="x"))).status_code == 400
    raw.headers["mcp-session-id"] = "nonsense"
    assert (await raw.post(call_of(1, "echo", value="x"))).status_code == 404


async def test_a_client_that_takes_no_stream_gets_none(raw: Raw, gates: Gates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envserver.api.mcp.endpoint.QUICK_S", 0.0)
    gates.open("g")
    answer = await raw.post(call_of(1, "wait", gate="g"), accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    assert "result" in answer.json()


async def test_there_is_no_stream_but_a_call_s(raw: Raw) -> None:
    answer = await raw.http.get(raw.path, headers=raw.headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, DELETE")
    assert (await raw.http.delete(raw.path, headers=raw.headers)).status_code == 204


async def test_an_episode_that_is_not_there_or_closed_is_said_so(raw: Raw, http: httpx.AsyncClient) -> None:
    await http.delete(raw.path.removesuffix("/mcp"))
    closed = await raw.post(call_of(1, "echo", value="x"))
    assert (closed.status_code, closed.json()["error"]["data"]["type"]) == (410, "urn:envserver:problem:episode_closed")
    raw.path = "/v1/episodes/nothing/mcp"
    unknown = await raw.post({"id": 0, "method": "initialize", "params": {}})
    assert (unknown.status_code, unknown.json()["id"]) == (404, 0)


async def test_a_sleeping_episode_wakes_to_list_its_tools(raw: Raw, http: httpx.AsyncClient) -> None:
    episode = raw.path.removesuffix("/mcp")
    await http.post(f"{episode}/hibernate")
    assert (await http.get(episode)).json()["state"] == "hibernated"
    assert (await raw.post({"id": 1, "method": "tools/list"})).json()["result"]["tools"]
    await http.post(f"{episode}/hibernate")
    assert "result" in await raw.call(2, "echo", value="x")


async def test_a_key_is_asked_for_as_everywhere(runtime: ScriptedRuntime, grader: ScriptedGrader, gates: Gates) -> None:
    key = {"authorization": "Bearer right"}
    async with serving(runtime, grader, api_key="right") as server, httpx.AsyncClient(base_url=server.url) as http:
        http.headers.update(key)
        raw = await Raw(http, await create(http)).begin()
        assert (await raw.post(call_of(1, "echo", value="x"), authorization="Bearer wrong")).status_code == 401
        assert "result" in await raw.call(1, "echo", value="x")
        foreign = await raw.post(call_of(2, "echo", value="x"), origin="http://evil.example")
        assert foreign.status_code == 401


async def test_a_key_s_scope_and_tenant_decide(
    runtime: ScriptedRuntime, grader: ScriptedGrader, gates: Gates, tmp_path: Path
) -> None:
    keys = Keys(tmp_path / "keys.json")
    own, reader, foreign = keys.add("a"), keys.add("a", "read"), keys.add("b")
    async with serving(runtime, grader, keys_file=keys.path) as server, client_of(server, own) as http:
        raw = await Raw(http, await create(http)).begin()
        assert (await raw.post({"id": 1, "method": "tools/list"}, **bearer(reader))).json()["result"]["tools"]
        refused = await raw.post(call_of(2, "echo", value="x"), **bearer(reader))
        assert (refused.status_code, refused.json()["error"]["data"]["scope"]) == (403, "episodes")
        assert (await raw.post(call_of(2, "echo", value="x"), **bearer(foreign))).status_code == 404
        assert gates.counts["steps"] == 0
        assert "result" in await raw.call(2, "echo", value="x")


async def test_a_body_has_bounds(server: RunningServer, http: httpx.AsyncClient) -> None:
    raw = await Raw(http, await create(http)).begin()
    large = await raw.post(call_of(1, "echo", value="x" * (server.config.max_body_bytes + 1)))
    assert large.status_code == 413
