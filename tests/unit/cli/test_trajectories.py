"""`envserver trajectories` and `envserver replay`: records shown, exported, and played once more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from envserver.cli.problems import Exit
from envserver.server import RunningServer
from envserver_sdk import AsyncClient, AsyncEpisode, Trajectory
from tests.unit import scripted
from tests.unit.cli.conftest import Ask
from tests.unit.scripted import ScriptedRuntime

SET, GET, RANDOM = {"type": "set", "value": 3}, {"type": "get"}, {"type": "random"}


async def make(server: RunningServer, *actions: Any, grade: bool = False, **members: Any) -> str:
    async with AsyncClient(server.url) as client:
        episode: AsyncEpisode = await client.create("scripted", **{"task": "a", "seed": 9, **members})
        for action in actions:
            await episode.step(action, timeout_s=7)
        if grade:
            await episode.grade()
        await episode.close()
        return episode.episode_id


async def test_a_record_is_shown(server: RunningServer, ask: Ask) -> None:
    episode = await make(server, {"type": "echo", "value": "\x1b]0;owned\x07"}, {"type": "submit", "answer": "a"})
    shown = await ask("trajectories", "show", episode, "--url", server.url, "--json")
    found = Trajectory.model_validate(shown.document)
    assert (found.episode_id, len(found.steps), found.reward) == (episode, 2, 1.0)
    table = (await ask("trajectories", "show", episode, "--url", server.url)).out
    for text in (episode, "letters", "closed submitted", "terminated", "submit", '"tests": 1.0'):
        assert text in table
    assert not {"\x1b", "\x07"} & set(table)
    assert (await ask("trajectories", "show", "ep_none", "--url", server.url)).status == Exit.NOT_FOUND
    other = await ask("trajectories", "show", episode, "--generation", "2", "--url", server.url)
    assert other.status == Exit.NOT_FOUND


async def test_records_are_exported_by_filters_and_by_the_name_of_the_file(
    server: RunningServer, ask: Ask, tmp_path: Path
) -> None:
    plain, graded = await make(server, SET), await make(server, {"type": "submit", "answer": "a"}, task="a")
    file = tmp_path / "out.jsonl"
    said = await ask("trajectories", "export", str(file), "--url", server.url, "--json")
    lines = file.read_text().splitlines()
    assert said.document == {"file": str(file), "format": "jsonl", "bytes": file.stat().st_size}
    assert [json.loads(line)["episode_id"] for line in lines] == [plain, graded]
    only: list[tuple[tuple[str, ...], list[str]]] = [
        (("--graded",), [graded]),
        (("--not-graded", "--trainable"), [plain]),
        (("--min-reward", "0.5", "--state", "closed", "--environment", "scripted"), [graded]),
        (("--created-before", "1"), []),
        (("--limit", "1"), [plain]),
        (("--cursor", json.loads(lines[0])["cursor"]), [graded]),
    ]
    for options, expected in only:
        assert (await ask("trajectories", "export", str(file), *options, "--url", server.url)).status == 0
        assert [json.loads(line)["episode_id"] for line in file.read_text().splitlines()] == expected, options
    table = tmp_path / "out.parquet"
    assert "parquet" in (await ask("trajectories", "export", str(table), "--url", server.url)).out
    assert pq.read_table(table).num_rows == 2
    wrong = await ask("trajectories", "export", str(file), "--format", "csv", "--url", server.url)
    assert wrong.status == Exit.USAGE
    assert (await ask("trajectories", "export", "/none/x", "--url", server.url)).status == Exit.FAILED


async def test_a_replay_of_what_leaves_nothing_to_chance_agrees(
    server: RunningServer, ask: Ask, runtime: ScriptedRuntime
) -> None:
    limits = {"memory_bytes": 256 << 20, "pids": 40}
    episode = await make(server, SET, GET, {"type": "fly"}, {"type": "submit", "answer": "a"}, limits=limits)
    said = (await ask("replay", episode, "--url", server.url, "--json")).document
    assert (said["steps"], said["taken"], said["agreed"], said["divergence"]) == (4, 4, 4, None)
    again = await ask("replay", episode, "--url", server.url)
    assert again.status == 0
    assert "4 of 4 steps agree" in again.out
    async with AsyncClient(server.url) as client:
        replayed = await client.trajectory(said["replay_id"])
        recorded = await client.trajectory(episode)
    assert (replayed.state, replayed.seed, replayed.limits) == ("closed", 9, recorded.limits)
    assert replayed.limits["pids"] == 40
    assert replayed.metadata == {"replay_of": episode, "generation": 1}
    assert {step.timeout_s for step in replayed.steps} == {7.0}
    assert not runtime.sandboxes


async def test_a_replay_names_the_first_step_that_differs(server: RunningServer, ask: Ask) -> None:
    episode = await make(server, SET, RANDOM, GET, RANDOM)
    said = await ask("replay", episode, "--url", server.url, "--json")
    assert said.status == 6
    first = said.document["divergence"]
    assert (first["step"], first["path"], first["missing"]) == (2, "/observation/value", None)
    async with AsyncClient(server.url) as client:
        recorded, replayed = [await client.trajectory(each) for each in (episode, said.document["replay_id"])]
    assert first["recorded"] == recorded.steps[1].observation["value"]
    assert first["replayed"] == replayed.steps[1].observation["value"]
    assert (said.document["agreed"], said.document["taken"]) == (2, 4)
    table = await ask("replay", episode, "--url", server.url)
    assert table.status == Exit.DIVERGED
    assert "2 of 4 steps agree" in table.out
    assert "step 2, /observation/value" in table.out
    assert first["recorded"] in table.out


async def test_a_reward_that_differs_is_a_difference(
    server: RunningServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await make(server, SET, {"type": "score", "reward": 0.5})
    score = scripted.ScriptedEnvironment.do_score

    async def less(self: Any, action: Any, context: Any) -> Any:
        return await score(self, {"reward": 0.25}, context)

    monkeypatch.setattr(scripted.ScriptedEnvironment, "do_score", less)
    first = (await ask("replay", episode, "--url", server.url, "--json")).document["divergence"]
    assert (first["step"], first["path"], first["recorded"], first["replayed"]) == (2, "/reward", 0.5, 0.25)


async def test_a_grade_that_was_asked_for_is_compared_too(
    server: RunningServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await make(server, SET, grade=True)
    assert (await ask("replay", episode, "--url", server.url)).status == 0
    grade = scripted.ScriptedGrader.grade

    async def other(*args: Any) -> Any:
        found = await grade(*args)
        return type(found)(0.5, found.components, found.report)

    monkeypatch.setattr(scripted.ScriptedGrader, "grade", other)
    said = await ask("replay", episode, "--url", server.url, "--json")
    assert said.status == Exit.DIVERGED
    assert said.document["divergence"] == {
        "step": "grade", "path": "/reward", "recorded": 0.0, "replayed": 0.5, "missing": None,
    }  # fmt: skip
    assert "the grade, /reward" in (await ask("replay", episode, "--url", server.url)).out


async def test_a_replay_that_is_over_sooner_says_so(
    server: RunningServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    episode = await make(server, SET, GET, GET)
    monkeypatch.setattr(scripted.ScriptedEnvironment, "do_get", scripted.ScriptedEnvironment.do_end)
    said = await ask("replay", episode, "--url", server.url, "--json")
    assert said.document["divergence"]["step"] == 2
    assert (said.document["taken"], said.document["agreed"], said.document["steps"]) == (2, 1, 3)
    assert "over after 2" in (await ask("replay", episode, "--url", server.url)).out


async def test_a_fork_is_replayed_from_the_reset_on(server: RunningServer, ask: Ask) -> None:
    async with httpx.AsyncClient(base_url=server.url) as http, AsyncClient(server.url) as client:
        root = await client.create("scripted", task="b", seed=4)
        await root.step(SET)
        path = f"/v1/episodes/{root.episode_id}/checkpoints"
        saved = (await http.post(path)).json()["checkpoint_id"]
        (fork,) = (await http.post(f"/v1/checkpoints/{saved}/fork", json={"n": 1})).json()["episodes"]
        child = await client.attach(fork["episode_id"])
        await child.step(GET)
        await root.close()
        await child.close()
    said = (await ask("replay", fork["episode_id"], "--url", server.url, "--json")).document
    assert (said["agreed"], said["steps"]) == (2, 2)


async def test_what_has_lost_its_first_steps_cannot_be_replayed(server: RunningServer, ask: Ask) -> None:
    episode = await make(server, SET, GET)

    def forget(writes: Any) -> None:
        writes.connection.execute("DELETE FROM steps WHERE episode_id = ? AND step_index = 1", (episode,))

    await server.journal._write(forget)
    said = await ask("replay", episode, "--url", server.url)
    assert said.status == Exit.FAILED
    assert "lost its first steps" in said.err
