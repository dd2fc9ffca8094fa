"""`envserver episodes`: what a person and a program get to see of a server's episodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from envserver.server import RunningServer
from envserver_sdk import AsyncClient, AsyncEpisode
from tests.unit.cli.conftest import Ask, Run
from tests.unit.fixtures import MakeServer


async def make(server: RunningServer, *actions: dict[str, object]) -> str:
    async with AsyncClient(server.url) as client:
        episode: AsyncEpisode = await client.create("scripted", task="a")
        for action in actions:
            await episode.step(action)
        return episode.episode_id


async def test_episodes_are_listed_page_by_page_and_by_state(server: RunningServer, ask: Ask) -> None:
    live = [await make(server) for _ in range(3)]
    ended = await make(server, {"type": "end"})
    first = (await ask("episodes", "list", "--url", server.url, "--limit", "2", "--json")).document
    assert [entry["episode_id"] for entry in first["episodes"]] == live[:2]
    rest = await ask("episodes", "list", "--url", server.url, "--cursor", first["next_cursor"], "--json")
    assert [entry["episode_id"] for entry in rest.document["episodes"]] == [live[2], ended]
    every = (await ask("episodes", "list", "--url", server.url, "--limit", "1", "--all", "--json")).document
    assert (len(every["episodes"]), every["next_cursor"]) == (4, None)
    only = (await ask("episodes", "list", "--url", server.url, "--state", "ended", "--json")).document
    assert [entry["episode_id"] for entry in only["episodes"]] == [ended]
    none = await ask("episodes", "list", "--url", server.url, "--environment", "other", "--json")
    assert none.document["episodes"] == []


async def test_the_table_names_every_episode_and_how_to_go_on(server: RunningServer, ask: Ask) -> None:
    ids = [await make(server) for _ in range(2)]
    said = await ask("episodes", "list", "--url", server.url, "--limit", "1")
    assert ids[0] in said.out
    assert ids[1] not in said.out
    assert "--cursor" in said.out


async def test_an_unknown_state_is_a_usage_error_that_names_the_states(server: RunningServer, ask: Ask) -> None:
    said = await ask("episodes", "list", "--url", server.url, "--state", "lively")
    assert said.status == 2
    assert "hibernated" in said.err


async def test_an_episode_is_shown_graded_and_closed(server: RunningServer, ask: Ask) -> None:
    episode = await make(server, {"type": "echo", "value": 1})
    shown = (await ask("episodes", "show", episode, "--url", server.url, "--json")).document
    assert (shown["state"], shown["step_index"]) == ("live", 1)
    assert "live" in (await ask("episodes", "show", episode, "--url", server.url)).out
    graded = (await ask("episodes", "grade", episode, "--url", server.url, "--json")).document
    assert graded["reward"] == 0.0
    for _ in range(2):  # closing is idempotent
        closed = (await ask("episodes", "close", episode, "--url", server.url, "--json")).document
        assert [entry["state"] for entry in closed] == ["closed"]


async def test_steps_are_shown_with_control_characters_as_escapes(server: RunningServer, ask: Ask) -> None:
    value = "\x1b]0;owned\x07 \u202egnp.exe"
    episode = await make(server, {"type": "echo", "value": value}, {"type": "fly"}, {"type": "echo", "value": 3})
    records = (await ask("episodes", "steps", episode, "--url", server.url, "--json")).document
    assert [record["step_index"] for record in records] == [1, 2, 3]
    assert records[0]["observation"]["value"] == value
    table = (await ask("episodes", "steps", episode, "--url", server.url)).out
    assert "format_error" in table
    assert not {"\x1b", "\x07", "\u202e"} & set(table)
    some = (await ask("episodes", "steps", episode, "--url", server.url, "--from", "2", "--to", "2", "--json")).document
    assert [record["info"]["outcome"] for record in some] == ["format_error"]


async def test_steps_are_shown_that_memory_no_longer_holds(make_server: MakeServer, ask: Ask, tmp_path: Path) -> None:
    server = await make_server(record_bytes=1000, journal=tmp_path / "journal")
    episode = await make(server, {"type": "large", "size": 900}, {"type": "large", "size": 900})
    records = (await ask("episodes", "steps", episode, "--url", server.url, "--json")).document
    assert [len(record["observation"]["text"]) for record in records] == [900, 900]
    await ask("episodes", "close", episode, "--url", server.url)


async def test_steps_of_an_earlier_generation_are_shown_as_missing(server: RunningServer, ask: Ask) -> None:
    async with AsyncClient(server.url) as client:
        episode = await client.create("scripted", task="a")
        await episode.step({"type": "echo"})
        await episode.restore(await episode.checkpoint())
        await episode.step({"type": "echo"})
    first, second = (await ask("episodes", "steps", episode.episode_id, "--url", server.url, "--json")).document
    assert first["missing"]
    assert second["generation"] == 2


async def test_what_is_not_there_is_not_found(server: RunningServer, ask: Ask) -> None:
    for command in ("show", "close", "grade", "steps"):
        said = await ask("episodes", command, "ep_none", "--url", server.url)
        assert (said.status, said.out) == (4, "")
        assert said.err.count("\n") == 1
        assert "ep_none" in said.err


async def test_a_refusal_of_the_server_is_told_apart(server: RunningServer, ask: Ask) -> None:
    episode = await make(server)
    await ask("episodes", "close", episode, "--url", server.url)
    said = await ask("episodes", "grade", episode, "--url", server.url)
    assert said.status == 5
    assert "episode_closed" in said.err


async def test_a_key_is_taken_from_the_option_or_the_environment(
    make_server: MakeServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await make_server(api_key="secret")
    refused = await ask("episodes", "list", "--url", server.url)
    assert refused.status == 5
    assert "ENVSERVER_API_KEY" in refused.err
    assert (await ask("episodes", "list", "--url", server.url, "--api-key", "secret", "--json")).status == 0
    glance = ("top", "--once", "--interval-s", "0.05", "--url", server.url, "--json")
    assert [(await ask(*glance)).status, (await ask(*glance, "--api-key", "secret")).status] == [5, 0]
    monkeypatch.setenv("ENVSERVER_API_KEY", "secret")
    monkeypatch.setenv("ENVSERVER_URL", server.url)
    assert (await ask("episodes", "list", "--json")).document["episodes"] == []


@pytest.mark.parametrize("command", [("episodes", "list"), ("top", "--once"), ("bench", "--short")])
def test_no_server_is_one_line_with_a_remedy_and_a_status_of_its_own(run: Run, command: tuple[str, ...]) -> None:
    said = run(*command, "--url", "http://127.0.0.1:1")
    assert said.status == 3
    assert said.err.count("\n") == 1
    assert "make up" in said.err


def test_a_url_that_is_none_is_a_usage_error(run: Run) -> None:
    assert run("episodes", "list", "--url", "localhost:8000").status == 2
