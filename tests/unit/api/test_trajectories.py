"""Trajectories over HTTP and the WebSocket: filters, cursors, formats, tenants, readers that are slow or gone."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from envserver.episodes.journal.errors import JournalCorruptError
from envserver.episodes.journal.store import Reads
from envserver.export.columns import COLUMNS
from envserver.export.jsonl import PIECE_BYTES, in_pieces
from envserver.export.selection import PAGE
from envserver.server import RunningServer
from envserver_sdk.models import Trajectory
from tests.unit.api.keys import Keys, bearer, client_of, create
from tests.unit.episodes.helpers import until
from tests.unit.fixtures import MakeServer
from tests.unit.scripted import Gates, ScriptedGrader

ECHO = {"type": "echo", "value": "hé\n"}


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        yield client


async def play(http: httpx.AsyncClient, *actions: Any, close: bool = False, **members: Any) -> str:
    """An episode with these steps."""
    episode_id = await create(http, **members)
    for index, action in enumerate(actions, start=1):
        body = {"action": action, "step_index": index, "metadata": {"n": index}}
        assert (await http.post(f"/v1/episodes/{episode_id}/step", json=body)).status_code == 200
    if close:
        await http.delete(f"/v1/episodes/{episode_id}")
    return episode_id


async def export(http: httpx.AsyncClient, **filters: Any) -> list[Trajectory]:
    answer = await http.get("/v1/trajectories", params=filters)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [Trajectory.model_validate_json(line) for line in answer.text.splitlines()]


async def ids(http: httpx.AsyncClient, **filters: Any) -> list[str]:
    return [each.episode_id for each in await export(http, **filters)]


async def test_a_trajectory_is_read_by_its_episode(http: httpx.AsyncClient) -> None:
    episode_id = await play(http, ECHO, {"type": "end"}, close=True)
    answer = await http.get(f"/v1/episodes/{episode_id}/trajectory")
    found = Trajectory.model_validate_json(answer.content)
    assert answer.headers["content-type"] == "application/json"
    assert ([each.action for each in found.steps], found.state) == ([ECHO, {"type": "end"}], "closed")
    assert [found] == await export(http), "the export's line is the same record"


async def test_a_generation_may_be_asked_for(http: httpx.AsyncClient) -> None:
    episode_id = await play(http, ECHO)
    path = f"/v1/episodes/{episode_id}/trajectory"
    await http.post(f"/v1/episodes/{episode_id}/reset", json={"seed": 5})
    assert len((await http.get(path, params={"generation": 1})).json()["steps"]) == 1
    assert (await http.get(path)).json()["seed"] == 5
    assert (await http.get(path, params={"generation": 3})).status_code == 404
    assert (await http.get(path, params={"generation": 0})).status_code == 422


async def test_it_is_there_when_the_registry_has_forgotten_the_episode(make_server: MakeServer) -> None:
    server = await make_server(tombstones=1)
    async with httpx.AsyncClient(base_url=server.url) as http:
        first = await play(http, ECHO, close=True)
        await play(http, close=True)
        assert (await http.get(f"/v1/episodes/{first}")).status_code == 404
        assert len((await http.get(f"/v1/episodes/{first}/trajectory")).json()["steps"]) == 1


async def test_one_that_begins_has_none_yet(http: httpx.AsyncClient, server: RunningServer, gates: Gates) -> None:
    creating = asyncio.ensure_future(create(http, options={"gate": "g"}))
    await gates.reached("g")
    (episode,) = server.manager.episodes()
    answer = await http.get(f"/v1/episodes/{episode.episode_id}/trajectory")
    assert (answer.status_code, answer.json()["state"]) == (409, "starting")
    assert await export(http) == []
    gates.open("g")
    await creating


async def test_each_filter_alone(http: httpx.AsyncClient, server: RunningServer) -> None:
    plain = await play(http, ECHO)
    ended = await play(http, {"type": "score", "reward": 0.5}, {"type": "end"}, task="b")
    graded = await play(http, {"type": "submit", "answer": "a"}, close=True)
    failed = await play(http, {"type": "fail"})
    group = (await http.post("/v1/groups", json={"environment": "scripted", "task": "c", "n": 2})).json()
    members = [each["episode_id"] for each in group["episodes"]]
    every = [plain, ended, graded, failed, *members]
    expected: list[tuple[dict[str, Any], list[str]]] = [
        ({}, every),
        ({"environment": "scripted"}, every),
        ({"environment": "other"}, []),
        ({"task_set": "letters"}, every),
        ({"task_set": "numbers"}, []),
        ({"task": "b"}, [ended]),
        ({"state": "ended"}, [ended]),
        ({"state": "closed"}, [graded]),
        ({"state": "failed"}, [failed]),
        ({"group_id": group["group_id"]}, members),
        ({"min_reward": 0.5}, [ended, graded]),
        ({"min_reward": 0.6}, [graded]),
        ({"graded": "true"}, [graded]),
        ({"graded": "false"}, [plain, ended, failed, *members]),
        ({"trainable": "true"}, [plain, ended, graded, *members]),
        ({"trainable": "false"}, [failed]),
        ({"task": "a", "trainable": "true", "limit": 1}, [plain]),
    ]
    for filters, wanted in expected:
        assert await ids(http, **filters) == wanted, filters
    made_at = {each.episode_id: each.created_at for each in await export(http)}
    assert await ids(http, created_after=made_at[graded]) == every[2:]
    assert await ids(http, created_before=made_at[graded]) == every[:2]


async def test_earlier_generations_are_exported_where_asked_for(http: httpx.AsyncClient) -> None:
    first = await play(http, {"type": "score", "reward": 2})
    await http.post(f"/v1/episodes/{first}/reset")
    second = await play(http, ECHO)
    found = await export(http, generations="all")
    assert [(each.episode_id, each.generation) for each in found] == [(first, 1), (first, 2), (second, 1)]
    assert [each.generation for each in await export(http)] == [2, 1]
    assert [each.generation for each in await export(http, generations="all", min_reward=2)] == [1]
    after = await export(http, generations="all", cursor=found[0].cursor)
    assert after == found[1:]


async def test_an_export_goes_on_behind_a_cursor(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envserver.export.selection.PAGE", 2)
    every = [await play(http, ECHO) for _ in range(5)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while page := await export(http, limit=2, **cursor):
        seen += [each.episode_id for each in page]
        cursor = {"cursor": page[-1].cursor}
    assert seen == every == await ids(http)
    assert (await http.get("/v1/trajectories", params={"cursor": "x"})).status_code == 422
    assert (await http.get("/v1/trajectories", params={"crusor": "1.1"})).status_code == 422
    assert (await http.get("/v1/trajectories", params={"min_reward": "nan"})).status_code == 422


async def test_over_the_websocket_it_is_the_same(http: httpx.AsyncClient, server: RunningServer) -> None:
    from websockets.asyncio.client import connect

    episode_id = await play(http, ECHO)
    over_http = (await http.get(f"/v1/episodes/{episode_id}/trajectory")).json()
    async with connect(server.url.replace("http", "ws") + "/v1/ws", proxy=None) as socket:
        for params in ({}, {"generation": 1}):
            call = {"id": 1, "method": "trajectory", "params": {"episode_id": episode_id, **params}}
            await socket.send(json.dumps(call))
            assert json.loads(await socket.recv())["result"] == over_http


async def test_parquet_has_what_jsonl_has(http: httpx.AsyncClient, grader: ScriptedGrader) -> None:
    await play(http, ECHO, {"type": "submit", "answer": "a"}, close=True, metadata={"run": 1}, seed=4)
    await play(http, {"type": "die"}, limits={"pids": 32})
    await play(http)
    source = await play(http, ECHO)
    saved = (await http.post(f"/v1/episodes/{source}/checkpoints")).json()["checkpoint_id"]
    (fork,) = (await http.post(f"/v1/checkpoints/{saved}/fork", json={"n": 1})).json()["episodes"]
    await http.post(f"/v1/episodes/{fork['episode_id']}/step", json={"action": ECHO, "step_index": 2})
    await http.post(f"/v1/episodes/{source}/restore", json={"checkpoint_id": saved})
    await http.post(f"/v1/episodes/{source}/step", json={"action": ECHO, "step_index": 2})
    lines = [json.loads(line) for line in (await http.get("/v1/trajectories")).text.splitlines()]
    answer = await http.get("/v1/trajectories", params={"format": "parquet"})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(answer.content))
    rows = iter(table.to_pylist())
    for line in lines:
        for step in line["steps"]:
            assert next(rows) == as_row(line, step)
    assert next(rows, None) is None
    assert {field.name: field.metadata[b"description"].decode() for field in table.schema} == {
        column.name: column.meaning for column in COLUMNS
    }


def as_row(line: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
    """A row, from a line of JSON Lines."""

    def text(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    renamed = {f"episode_{name}": name for name in ("reward", "terminated", "truncated", "trainable", "info")}
    renamed |= {"generation_begun_at": "begun_at", "episode_metadata": "metadata", "first_observation": "observation"}
    grade = line["grade"] or {}
    row: dict[str, Any] = {f"grade_{name}": grade.get(name) for name in ("reward", "trainable", "forgeable")}
    row["grade_components"] = text(grade["components"]) if grade else None
    for column in (each.name for each in COLUMNS):
        if column.startswith("grade_"):
            continue
        if column in renamed:
            value = line[renamed[column]]
        elif column.startswith("step_") and column != "step_index":
            value = step[column.removeprefix("step_")]
        elif column in step and column not in ("episode_id", "generation"):
            value = step[column]
        else:
            value = line[column] if column in line else step["info"].get(column)
        row[column] = text(value) if isinstance(value, (dict, list)) else value
    return row


def test_large_records_are_sent_in_pieces() -> None:
    parts = [bytes([number]) * 60_000 for number in range(20)]
    pieces = list(in_pieces(iter(parts)))
    assert b"".join(pieces) == b"".join(parts)
    assert len(pieces) > 3
    assert max(map(len, pieces)) < PIECE_BYTES + 60_000


async def test_an_empty_parquet_export_has_the_columns(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/trajectories", params={"format": "parquet"})
    table = pq.read_table(io.BytesIO(answer.content))
    assert (table.num_rows, table.column_names) == (0, [column.name for column in COLUMNS])


async def test_without_pyarrow_parquet_is_not_supported_and_says_what_to_install(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    answer = await http.get("/v1/trajectories", params={"format": "parquet"})
    assert (answer.status_code, answer.json()["capability"]) == (501, "parquet")
    assert "envserver[parquet]" in answer.json()["detail"]
    assert (await http.get("/v1/trajectories")).status_code == 200


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
async def test_an_export_holds_one_trajectory_at_a_time(
    make_server: MakeServer, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("envserver.export.parquet.GROUP_BYTES", 1 << 20)
    server = await make_server(journal=tmp_path / "journal")
    size = 100_000
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        large = {"type": "large", "size": size}
        for _ in range(200):
            await play(http, large, large, close=True)
        tracemalloc.start()
        try:
            async with http.stream("GET", "/v1/trajectories", params={"format": kind}) as answer:
                got = 0
                async for chunk in answer.aiter_bytes():
                    got += len(chunk)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        if kind == "jsonl":
            assert got > 200 * 2 * size
        assert peak < 200 * 2 * size // 5, f"{peak} bytes in memory, of 40 MB"
        assert 2 * PAGE < 200, "several pages"


async def test_a_reader_that_leaves_ends_the_work(
    make_server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await make_server(journal=tmp_path / "journal")
    read: list[str] = []
    steps = Reads.steps

    def counted(self: Reads, episode_id: str, *args: Any) -> Any:
        read.append(episode_id)
        return steps(self, episode_id, *args)

    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        for _ in range(40):
            await play(http, {"type": "large", "size": 1 << 20}, close=True)
        monkeypatch.setattr(Reads, "steps", counted)
        async with http.stream("GET", "/v1/trajectories") as answer:
            await anext(answer.aiter_bytes())
            await play(http, *[ECHO] * 4, close=True)
            assert len(read) < 20, "it is not read ahead of a reader that takes nothing"
        await until(lambda: not any("Streamed" in repr(task) for task in asyncio.all_tasks()))
        ended_at = len(read)
        await play(http, *[ECHO] * 4, close=True)
        assert len(read) == ended_at < 25


async def test_what_is_damaged_is_named_and_the_rest_comes(
    http: httpx.AsyncClient, server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [await play(http, ECHO) for _ in range(3)]
    steps = Reads.steps

    def damaged(self: Reads, episode_id: str, *args: Any) -> Any:
        if episode_id == every[1]:
            raise JournalCorruptError("result of steps is damaged")
        return steps(self, episode_id, *args)

    monkeypatch.setattr(Reads, "steps", damaged)
    lines = [json.loads(line) for line in (await http.get("/v1/trajectories")).text.splitlines()]
    assert [line["episode_id"] for line in lines] == every
    assert lines[1]["problem"]["type"].endswith(":infra_error")
    assert set(lines[1]) == {"episode_id", "cursor", "problem"}
    assert len(await export(http, cursor=lines[1]["cursor"])) == 1
    file = pq.ParquetFile(io.BytesIO((await http.get("/v1/trajectories?format=parquet")).content))
    assert file.read().column("episode_id").to_pylist() == [every[0], every[2]]
    assert json.loads(file.metadata.metadata[b"envserver.damaged"]) == [every[1]]
    assert (await http.get(f"/v1/episodes/{every[1]}/trajectory")).status_code == 503


async def test_tenants_export_their_own(make_server: MakeServer, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    mine, other, admin = keys.add("a"), keys.add("b"), keys.add("ops", "admin")
    metrics = keys.add("a", "metrics")
    server = await make_server(keys_file=keys.path, tombstones=1)
    async with client_of(server, mine) as owner, client_of(server, other) as stranger, client_of(server, admin) as ops:
        closed = await play(owner, ECHO, close=True)
        await play(owner, close=True)
        theirs = await play(stranger, ECHO)
        assert closed in await ids(owner)
        assert await ids(stranger) == [theirs]
        path = f"/v1/episodes/{closed}/trajectory"
        said = [await stranger.get(each) for each in (path, path.replace(closed, "ep_" + "0" * 24))]
        assert [answer.status_code for answer in said] == [404, 404]
        assert said[0].text.replace(closed, "") == said[1].text.replace("ep_" + "0" * 24, "")
        assert len(await ids(ops)) == 3
        for refused in ("/v1/trajectories", path):
            answer = await owner.get(refused, headers=bearer(metrics))
            assert answer.status_code == 403
