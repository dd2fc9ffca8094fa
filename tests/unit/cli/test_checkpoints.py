"""`envserver checkpoints`, `envserver groups`, and what `envserver episodes` does to put episodes by."""

from __future__ import annotations

import pytest

from envserver.cli import problems
from envserver.episodes.journal.errors import JournalLockedError
from envserver.server import RunningServer
from envserver_sdk import AsyncClient
from tests.unit.cli.conftest import Ask
from tests.unit.scripted import ScriptedRuntime


async def make(server: RunningServer, value: object = 1) -> str:
    async with AsyncClient(server.url) as client:
        episode = await client.create("scripted", task="a", seed=1)
        await episode.step({"type": "set", "value": value})
        return episode.episode_id


async def test_an_episode_is_saved_forked_and_rolled_back(
    server: RunningServer, runtime: ScriptedRuntime, ask: Ask
) -> None:
    at = ("--url", server.url, "--json")
    episode = await make(server, "kept")
    saved = (await ask("episodes", "checkpoint", episode, "--label", "a\x1bb", *at)).document
    assert (saved["episode_id"], saved["kind"], saved["step_index"]) == (episode, "process", 1)
    files = (await ask("episodes", "checkpoint", episode, "--kind", "filesystem", *at)).document
    assert files["kind"] == "filesystem"
    listed = (await ask("checkpoints", "ls", "--episode", episode, "--limit", "1", "--all", *at)).document
    assert [entry["checkpoint_id"] for entry in listed["checkpoints"]] == [
        saved["checkpoint_id"], files["checkpoint_id"],
    ]  # fmt: skip
    table = (await ask("checkpoints", "ls", "--url", server.url)).out
    assert saved["checkpoint_id"] in table
    assert "\x1b" not in table
    forks = (await ask("checkpoints", "fork", saved["checkpoint_id"], "--n", "2", *at)).document
    assert [(fork["step_index"], fork["observation"]["was"]) for fork in forks] == [(1, "kept")] * 2
    restored = (await ask("episodes", "restore", episode, saved["checkpoint_id"], *at)).document
    assert (restored["generation"], restored["step_index"]) == (2, 1)
    removed = (await ask("checkpoints", "rm", saved["checkpoint_id"], files["checkpoint_id"], *at)).document
    assert len(removed) == 2
    assert not runtime.stored
    assert (await ask("checkpoints", "rm", saved["checkpoint_id"], *at)).status == 4


async def test_episodes_are_put_to_rest_and_woken(server: RunningServer, ask: Ask) -> None:
    ids = [await make(server) for _ in range(2)]
    for command, state in (("pause", "paused"), ("hibernate", "hibernated"), ("resume", "live")):
        said = await ask("episodes", command, *ids, "--url", server.url, "--json")
        assert [entry["state"] for entry in said.document] == [state] * 2
    assert "paused" in (await ask("episodes", "pause", ids[0], "--url", server.url)).out


async def test_a_group_is_begun_shown_and_closed(server: RunningServer, ask: Ask) -> None:
    at = ("--url", server.url, "--json")
    made = (await ask("groups", "create", "scripted", "--n", "3", "--task", "a", "--seed", "4", *at)).document
    assert (len(made["episodes"]), made["kind"]) == (3, "process")
    shown = (await ask("groups", "show", made["group_id"], *at)).document
    assert [info["episode_id"] for info in shown["episodes"]] == [each["episode_id"] for each in made["episodes"]]
    assert "live" in (await ask("groups", "show", made["group_id"], "--url", server.url)).out
    for _ in range(2):  # closing is idempotent
        closed = (await ask("groups", "close", made["group_id"], *at)).document
        assert {info["state"] for info in closed[0]["episodes"]} == {"closed"}
    said = await ask("groups", "create", "scripted", "--n", "2", "--finished", "1", "--url", server.url)
    assert "group gr_" in said.out


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (4, ("checkpoints", "fork", "cp_none")),
        (4, ("checkpoints", "ls", "--episode", "ep_none")),
        (4, ("groups", "show", "gr_none")),
        (4, ("groups", "close", "gr_none")),
        (4, ("episodes", "pause", "ep_none")),
        (2, ("episodes", "checkpoint", "ep_none", "--kind", "whole")),
        (2, ("groups", "create", "scripted")),
    ],
)
async def test_what_is_not_there_and_what_cannot_be_are_told_apart(
    server: RunningServer, ask: Ask, status: int, arguments: tuple[str, ...]
) -> None:
    said = await ask(*arguments, "--url", server.url)
    assert (said.status, said.out) == (status, "")


async def test_what_cannot_be_saved_is_a_refusal(server: RunningServer, ask: Ask) -> None:
    episode = await make(server)
    await ask("episodes", "grade", episode, "--url", server.url)
    said = await ask("episodes", "checkpoint", episode, "--url", server.url)
    assert said.status == 5
    assert "episode_ended" in said.err


def test_a_journal_that_cannot_be_opened_is_a_line_and_no_traceback() -> None:
    explained = problems.explain(JournalLockedError("process id 7 has it"))
    assert explained is not None
    assert "process id 7" in str(explained)
