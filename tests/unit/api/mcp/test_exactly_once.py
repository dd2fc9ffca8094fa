"""A call that is sent again is the same step: after a lost connection, from another session, under another server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from tests.unit.api.mcp.tooled import Raw, call_of, create, last_message, serving, step_of
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime


async def test_a_request_that_is_sent_again_runs_once(raw: Raw, gates: Gates) -> None:
    first = await raw.call(1, "score", reward=0.5)
    assert await raw.call(1, "score", reward=0.5) == first
    assert gates.counts["steps"] == 1
    assert step_of(await raw.call(2, "score", reward=0.5))["step_index"] == 2


async def test_a_request_that_is_sent_again_while_it_runs_attaches(raw: Raw, gates: Gates) -> None:
    both = [asyncio.ensure_future(raw.call(1, "wait", gate="g")) for _ in range(2)]
    await gates.reached("g")
    both.append(asyncio.ensure_future(raw.call(1, "wait", gate="g")))
    gates.open("g")
    first, second, third = await asyncio.gather(*both)
    assert first == second == third
    assert gates.counts["steps"] == 1


async def test_a_request_that_is_sent_again_before_its_turn_has_come_runs_once(raw: Raw, gates: Gates) -> None:
    running = asyncio.ensure_future(raw.call(1, "wait", gate="g"))
    await gates.reached("g")
    both = [asyncio.ensure_future(raw.call(2, "score", reward=0.5)) for _ in range(2)]
    await raw.post({"id": 3, "method": "ping"})  # by now they have arrived
    gates.open("g")
    first, second = await asyncio.gather(*both)
    assert first == second
    assert step_of(first)["step_index"] == 2
    await running
    assert gates.counts["steps"] == 2


async def test_a_request_s_id_stands_for_one_call(raw: Raw, gates: Gates) -> None:
    await raw.call(1, "echo", value="a")
    other = await raw.call(1, "echo", value="b")
    assert other["error"]["data"]["type"].endswith("idempotency_mismatch")
    assert gates.counts["steps"] == 1
    assert "result" in await raw.call("1", "echo", value="b"), "a string is another id than the number"


async def test_two_clients_that_count_alike_are_kept_apart(raw: Raw, http: httpx.AsyncClient, gates: Gates) -> None:
    other = await Raw(http, raw.path.split("/")[3]).begin()
    steps = [step_of(await each.call(1, "echo", value="a"))["step_index"] for each in (raw, other, raw)]
    assert steps == [1, 2, 1]


async def test_calls_that_arrive_together_are_taken_one_after_the_other(raw: Raw, gates: Gates) -> None:
    waiting = asyncio.ensure_future(raw.call(1, "wait", gate="g"))
    await gates.reached("g")
    others = [asyncio.ensure_future(raw.call(number, "echo", value="x")) for number in (2, 3)]
    gates.open("g")
    answers = await asyncio.gather(waiting, *others)
    assert sorted(step_of(answer)["step_index"] for answer in answers) == [1, 2, 3]
    assert step_of(answers[0])["step_index"] == 1


async def test_a_step_that_its_client_names_runs_once_from_any_session(
    raw: Raw, http: httpx.AsyncClient, gates: Gates
) -> None:
    named = {"envserver/step": {"step_index": 1}}
    first = await raw.call(7, "score", named, reward=0.5)
    other = await Raw(http, raw.path.split("/")[3]).begin()
    assert (await other.call(1, "score", named, reward=0.5))["result"] == first["result"]
    wrong = await other.call(2, "score", {"envserver/step": {"step_index": 3}}, reward=0.5)
    assert wrong["error"]["data"]["expected"] == 2
    assert gates.counts["steps"] == 1


async def test_a_stream_that_broke_off_is_taken_up_again(
    raw: Raw, http: httpx.AsyncClient, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envserver.api.mcp.endpoint.QUICK_S", 0.0)
    body = {"jsonrpc": "2.0", **call_of("é", "wait", gate="g")}
    async with http.stream("POST", raw.path, json=body, headers=raw.headers) as stream:
        lines = stream.aiter_lines()
        event_id = (await anext(lines)).removeprefix("id: ")
        assert [await anext(lines) for _ in range(2)] == ["retry: 5000", "data: "]
    rest = asyncio.ensure_future(http.get(raw.path, headers={**raw.headers, "last-event-id": event_id}))
    await gates.reached("g")
    gates.open("g")
    answer = last_message(await rest)
    assert answer["id"] == "é"
    assert json.loads(answer["result"]["content"][0]["text"]) == {"passed": "g"}
    assert gates.counts["steps"] == 1
    unknown = await http.get(raw.path, headers={**raw.headers, "last-event-id": "OTk="})
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (
        404,
        "this request has not begun: send it again",
    )


async def test_the_next_server_answers_what_was_asked_of_the_one_before(
    runtime: ScriptedRuntime, grader: ScriptedGrader, gates: Gates, tmp_path: Path
) -> None:
    async with serving(runtime, grader, tmp_path) as server, httpx.AsyncClient(base_url=server.url) as http:
        raw = await Raw(http, await create(http)).begin()
        first = await raw.call(1, "score", reward=0.5)
        interrupted = asyncio.ensure_future(raw.post(call_of(2, "wait", gate="g")))
        await gates.reached("g")
    await asyncio.wait([interrupted])
    assert interrupted.exception() is not None or "result" not in interrupted.result().text
    async with serving(runtime, grader, tmp_path) as server, httpx.AsyncClient(base_url=server.url) as http:
        raw.http = http
        again = asyncio.ensure_future(raw.call(2, "wait", gate="g"))
        assert await raw.call(1, "score", reward=0.5) == first
        gates.open("g")
        assert step_of(await again)["step_index"] == 2
        assert step_of(await raw.call(3, "echo", value="x"))["step_index"] == 3
        await http.delete(raw.path.removesuffix("/mcp"))
    assert gates.counts["g"] == 1


async def test_a_session_ends_with_the_world_that_it_was_begun_in(raw: Raw, http: httpx.AsyncClient) -> None:
    await raw.call(1, "echo", value="a")
    await http.post(raw.path.replace("/mcp", "/reset"))
    over = await raw.post(call_of(1, "echo", value="a"))
    assert over.status_code == 404
    assert over.json()["error"]["message"] == "this session is over: begin another with `initialize`"
    await raw.begin()
    assert step_of(await raw.call(1, "echo", value="a"))["step_index"] == 1
