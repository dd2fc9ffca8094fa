"""A program in the sandbox serves its tools; what it does wrong is told, and ends nothing else."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from envserver_sdk.models import Outcome
from tests.unit.environments.test_repetition import WHEN, Cut
from tests.unit.tools.mcp.scripted_server import PNG
from tests.unit.tools.mcp.worlds import ONE, SERVER, World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "world")
    await made.begin()
    yield made
    await made.end()


async def test_the_tools_of_all_pages_are_listed_with_their_schemas(world: World) -> None:
    schemas = {each["name"]: each for each in world.toolbox.schemas()}
    assert {"count", "echo", "shout"} <= schemas.keys()
    assert schemas["echo"]["description"] == "Does echo."
    assert schemas["echo"]["parameters"]["required"] == ["text"]


async def test_a_call_s_text_pictures_and_other_content_are_shown(world: World) -> None:
    assert await world.said("echo", "hé \ud800".encode("utf-8", "replace").decode()) == "hé ?"
    picture, _ = await world.call("picture")
    assert (picture["content"], picture["images"]) == ("drawn", [{"format": "png", "data": PNG}])
    assert await world.said("kinds") == (
        "[image, image/jpeg: not shown]\n[resource file:///a, A]\n[resource file:///b]\ninside\n[smell: not shown]"
    )
    assert await world.said("structured") == '{"answer": 42}'
    assert base64.b64decode(PNG).startswith(b"\x89PNG")


async def test_its_environment_is_what_was_asked_for(world: World) -> None:
    assert await world.said("environment", "COLOUR") == "red"


async def test_a_failure_of_a_tool_and_a_refusal_are_errors_of_the_call(world: World) -> None:
    failed, outcome = await world.call("fail")
    assert (failed["content"], failed["error"], outcome) == ("it is broken", True, Outcome.OK)
    refused, outcome = await world.call("refuse")
    assert (refused["content"], refused["error"], outcome) == ("Error: not like that", True, Outcome.OK)


async def test_what_it_asks_for_is_refused_and_what_is_no_json_is_passed_over(world: World) -> None:
    assert await world.said("junk") == "after junk"
    assert await world.said("ask") == "[{}, -32601, -32601]"


async def test_a_long_text_is_cut_in_the_middle(world: World) -> None:
    for letter in ("a", "日"):
        said = await world.said("big", letter)
        assert "bytes left out" in said
        assert said.startswith(letter)
        assert said.endswith(letter)


async def test_tools_that_change_are_listed_anew(world: World) -> None:
    assert "new" not in world.toolbox.tools
    assert await world.said("grow") == "grown"
    assert "new" in world.toolbox.tools
    world.next_server()
    assert await world.said("new") == "new tool"


async def test_a_call_that_takes_too_long_is_cancelled_and_a_server_that_ignores_that_goes_on(world: World) -> None:
    assert await world.said("count") == "1"
    stopped, outcome = await world.call("hang", timeout_s=0.3)
    assert outcome is Outcome.POLICY_TIMEOUT
    assert stopped["content"] == "Error: stopped: it ran longer than 0.3 s; the server and its state live on"


@pytest.mark.parametrize(
    ("name", "why"),
    [("die", "it ended with exit code 3"), ("shout", "it sent a line of more than 16777216 bytes")],
)
async def test_a_server_that_ends_in_a_call_is_started_anew_by_the_next_which_says_so(
    world: World, name: str, why: str
) -> None:
    assert [await world.said("count") for _ in range(2)] == ["1", "2"]
    lost, _ = await world.call(name)
    assert lost["content"] == f"Error: the MCP server one is gone: {why}; its state is lost"
    assert lost["error"] is True
    again, _ = await world.call("count")
    assert again["content"].splitlines() == [
        "note: the MCP server one was started anew: earlier state of it is gone",
        "1",
    ]
    assert again["session"] == "restarted"
    assert (await world.call("count"))[0].get("session") is None


async def test_a_server_that_ended_between_two_calls_runs_the_next_once(world: World) -> None:
    assert await world.said("die_afterwards") == "last words"
    await asyncio.sleep(ENDING_S)
    assert (await world.said("count")).endswith("\n1")
    assert world.marks == 1


async def test_a_bridge_that_was_killed_is_replaced_aloud(world: World) -> None:
    await world.said("count")
    await world.sandbox.end("mcp-one")
    assert (await world.call("count"))[0]["session"] == "restarted"
    world.next_server()
    await world.sandbox.end("mcp-one")
    assert (await world.call("count"))[0]["session"] == "restarted"


async def test_the_state_of_a_server_outlives_ours(world: World) -> None:
    await world.said("count")
    world.next_server()
    assert await world.said("count") == "2"


PLANS = {
    "count": (["count"], 1),
    "count after a death": (["count", "die", "count"], 2),
    "death": (["count", "die"], 1),
    "count after a quiet death": (["die_afterwards", "count"], 3),
    "growth": (["grow"], 1),
}


ENDING_S = 0.2
"""A server that ends after its answer has not ended when that is read."""


async def play(directory: Path, names: list[str], cuts: Sequence[Cut] = ()) -> tuple[Any, ...]:
    """Some calls, the last of them cut, and all that can be told of it; then what a further call meets."""
    world = World(directory)
    await world.begin()
    for earlier in names[:-1]:
        await world.call(earlier)
        if earlier == "die_afterwards":
            await asyncio.sleep(ENDING_S)
    last = await world.call(names[-1], cuts=cuts)
    calls = world.sandbox.calls
    found = (last, calls, await world.call("count"), world.toolbox.snapshot(), world.marks)
    await world.end()
    return found


@pytest.mark.parametrize("name", PLANS)
async def test_wherever_a_call_is_cut_it_comes_to_the_same_and_runs_nothing_twice(name: str, tmp_path: Path) -> None:
    names, calls = PLANS[name]
    uncut = await play(tmp_path / "twin", names)
    assert uncut[1] == calls
    for place in itertools.product(range(1, calls + 1), WHEN):
        assert await play(tmp_path / "-".join(map(str, place)), names, [place]) == uncut


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["no-such-program"], "mcp: bad: it cannot be started: No such file or directory"),
        (["python3", "-c", "raise SystemExit(4)"], "mcp: bad: it ended with exit code 4"),
        (["python3", "-c", 'print(input() and \'{"id": 1, "result": {}}\')'], "it speaks version 'None'"),
    ],
)
async def test_an_episode_does_not_begin_with_a_server_that_does_not(
    command: list[str], why: str, tmp_path: Path
) -> None:
    world = World(tmp_path / "world", [{"name": "bad", "command": command}])
    with pytest.raises(ValueError, match=why):
        await world.begin()
    await world.end()


async def test_names_that_two_servers_share_are_put_behind_the_server_s(tmp_path: Path) -> None:
    world = World(tmp_path / "world", [*ONE, {"name": "two", "command": ["python3", SERVER]}])
    await world.begin()
    assert {"one_count", "two_count"} <= world.toolbox.tools.keys()
    assert [await world.said(name) for name in ("one_count", "two_count", "one_count")] == ["1", "1", "2"]
    await world.end()
