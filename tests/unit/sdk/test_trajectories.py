"""The client's trajectories: one, all of them as they come, and files; over servers and connections that go away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from envserver.episodes.journal.errors import JournalCorruptError
from envserver.episodes.journal.store import Reads
from envserver.server import RunningServer
from envserver_sdk import AsyncClient, AsyncEpisode, Client, ConnectionFailed, Timeouts, Trajectory
from envserver_sdk._http import Http
from envserver_sdk.errors import InfraError, InvalidRequest, NotFound, NotSupported
from tests.unit.sdk.nodes import Node


async def play(client: AsyncClient, *values: object, close: bool = True) -> AsyncEpisode:
    episode: AsyncEpisode = await client.create("scripted", task="a")
    for value in values:
        await episode.step({"type": "echo", "value": value})
    if close:
        await episode.close()
    return episode


async def ids(client: AsyncClient, **filters: Any) -> list[str]:
    return [each.episode_id async for each in client.trajectories(**filters)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_an_episode_has_a_trajectory_while_it_lives_and_afterwards(server: RunningServer) -> None:
    async with AsyncClient(server.url) as client:
        episode = await play(client, "one", close=False)
        during = await episode.trajectory()
        assert [step.observation["value"] for step in during.steps] == ["one"]
        assert (during.steps[0].outcome, during.steps[0].trainable, during.state) == ("ok", True, "live")
        await episode.reset(seed=3)
        assert (await episode.trajectory()).seed == 3
        assert len((await client.trajectory(episode.episode_id, generation=1)).steps) == 1
        await episode.close()
        assert (await client.trajectory(episode.episode_id)).state == "closed"
        with pytest.raises(NotFound):
            await client.trajectory("ep_none")


async def test_all_come_one_after_the_other_and_filters_are_passed_on(server: RunningServer) -> None:
    async with AsyncClient(server.url) as client:
        every = [(await play(client, 1)).episode_id for _ in range(3)]
        live = (await play(client, close=False)).episode_id
        assert await ids(client) == [*every, live]
        assert await ids(client, state="closed", limit=2) == every[:2]
        assert await ids(client, trainable=True, graded=False, task="a", min_reward=-1) == [*every, live]
        assert await ids(client, created_before=0) == []
        first = await anext(client.trajectories())
        assert await ids(client, cursor=first.cursor) == [*every[1:], live]
        with pytest.raises(InvalidRequest):
            await ids(client, limit=0)
        with pytest.raises(InvalidRequest):
            await ids(client, cursor="?")


async def test_the_synchronous_client_iterates_too(server: RunningServer, tmp_path: Path) -> None:
    def work(every: list[str]) -> None:
        with Client(server.url) as client:
            assert [each.episode_id for each in client.trajectories()] == every
            for each in client.trajectories():
                assert isinstance(each, Trajectory)
                break
            assert client.trajectory(every[0]).episode_id == every[0]
            assert client.export(tmp_path / "out.jsonl") == (tmp_path / "out.jsonl").stat().st_size
            iterating = client.trajectories()
            next(iterating)
            left = client.trajectories()
            next(left)
            loop, errors = client._portal._loop, list[object]()
            assert loop is not None
            loop.set_exception_handler(lambda _, context: errors.append(context))
            loop.call_soon_threadsafe(left.close)  # type: ignore[attr-defined]
            assert client.health().status == "ok"
            assert errors == [], "the portal's own thread does not wait for itself"
        iterating.close()  # type: ignore[attr-defined]
        with pytest.raises(ConnectionFailed):
            list(client.trajectories())

    async with AsyncClient(server.url) as client:
        every = [(await play(client, 1)).episode_id for _ in range(3)]
    await asyncio.to_thread(work, every)


async def test_a_file_appears_whole_or_not_at_all(server: RunningServer, tmp_path: Path) -> None:
    async with AsyncClient(server.url) as client:
        for _ in range(3):
            await play(client, "x" * 1000, 2)
        lines, table = tmp_path / "out.jsonl", tmp_path / "out.parquet"
        assert await client.export(str(lines), limit=2) == lines.stat().st_size
        found = [Trajectory.model_validate_json(line) for line in lines.read_text().splitlines()]
        assert found == [each async for each in client.trajectories(limit=2)]
        await client.export(table, format="parquet")
        assert (await asyncio.to_thread(pq.read_table, table)).num_rows == 6
        before = lines.read_bytes()
        with pytest.raises(InvalidRequest):
            await client.export(lines, cursor="?")
        with pytest.raises(OSError, match="none"):
            await client.export(tmp_path / "none" / "out")
        assert lines.read_bytes() == before
        assert names(tmp_path) == ["out.jsonl", "out.parquet"]


async def test_a_server_without_parquet_leaves_no_file(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    async with AsyncClient(server.url) as client:
        with pytest.raises(NotSupported):
            await client.export(tmp_path / "out", format="parquet")
    assert names(tmp_path) == []


def cut(monkeypatch: pytest.MonkeyPatch, *after_bytes: int) -> list[dict[str, Any]]:
    """Break off the next streams after so many bytes; the queries that are asked."""
    asked: list[dict[str, Any]] = []
    stream, rest = Http.stream, iter(after_bytes)

    async def cutting(self: Http, path: str, query: dict[str, Any]) -> AsyncGenerator[bytes, None]:
        asked.append(query)
        left = next(rest, None)
        async with contextlib.aclosing(stream(self, path, query)) as chunks:
            async for chunk in chunks:
                if left is not None and len(chunk) >= left:
                    yield chunk[:left]
                    raise ConnectionFailed("cut")
                yield chunk
                left = None if left is None else left - len(chunk)

    monkeypatch.setattr(Http, "stream", cutting)
    return asked


async def test_a_lost_connection_is_gone_on_with_behind_the_last_whole_one(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncClient(server.url) as client:
        every = [(await play(client, "x" * 500)).episode_id for _ in range(5)]
        path = tmp_path / "out"
        whole = await client.export(path)
        content = path.read_bytes()
        size = whole // 5
        asked = cut(monkeypatch, 0, size + size // 2, 10, 2 * size + size // 2)
        assert await ids(client, limit=5) == every
        assert [query["limit"] for query in asked] == [5, 5, 4, 4, 2]
        cut(monkeypatch, size // 2, 3 * size + size // 2)
        assert await client.export(path) == whole
        assert path.read_bytes() == content


async def test_a_restart_of_the_server_in_the_middle_is_ridden_over(node: Node) -> None:
    async with AsyncClient(node.url, timeouts=Timeouts(reconnect_s=10)) as client:
        every = [(await play(client, "x" * 1_000_000)).episode_id for _ in range(8)]
        seen: list[str] = []
        async for each in client.trajectories():
            seen.append(each.episode_id)
            if len(seen) == 1:
                await node.stop()
                await node.next()
        assert seen == every


async def test_a_server_that_is_gone_is_said_within_the_budget(server: RunningServer, tmp_path: Path) -> None:
    async with AsyncClient("http://127.0.0.1:1", timeouts=Timeouts(reconnect_s=0.2)) as client:
        with pytest.raises(ConnectionFailed):
            await ids(client)
        for kind in ("jsonl", "parquet"):
            with pytest.raises(ConnectionFailed):
                await client.export(tmp_path / "out", format=kind)
    assert names(tmp_path) == []


async def test_a_damaged_one_is_raised_and_can_be_passed_over(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = Reads.steps
    async with AsyncClient(server.url) as client:
        every = [(await play(client, 1)).episode_id for _ in range(3)]

        def damaged(self: Reads, episode_id: str, *args: Any) -> Any:
            if episode_id == every[1]:
                raise JournalCorruptError("damaged")
            return steps(self, episode_id, *args)

        monkeypatch.setattr(Reads, "steps", damaged)
        seen: list[str] = []
        with pytest.raises(InfraError) as raised:
            async for each in client.trajectories():
                seen.append(each.episode_id)  # noqa: PERF401  # what came before it counts
        assert (seen, raised.value.extra["episode_id"]) == (every[:1], every[1])
        assert await ids(client, cursor=raised.value.extra["cursor"]) == every[2:]
