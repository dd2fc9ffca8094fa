"""The tools environment on a node, by scripted policies that see what a model would see.

The density dialogue in every protocol, policies that cheat and what each of them loses, and an episode that mixes
search, live Python and an answer: forked in the middle, and with the server killed between every two steps.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest

from envserver_sdk import AsyncClient, AsyncEpisode
from envserver_sdk.models import Outcome, StepResult
from tests.e2e.conftest import ServerProcess
from tests.e2e.dialogues import SPECIAL, Dialogue, number_behind

pytestmark = [pytest.mark.node, pytest.mark.timeout(240)]

TASK = "density/NO"
BLOCKS = {
    "name": "code_block",
    "blocks": {
        "search": {"tool": "search_web", "argument": "query"},
        "open": {"tool": "open_page", "argument": "page_id"},
        "calculate": {"tool": "calculator", "argument": "expression"},
    },
}
PROTOCOLS = ["tagged", "hermes", "qwen3_coder", "react", "openai", "anthropic", SPECIAL, BLOCKS]


def name_of(settings: Any) -> str:
    return settings if isinstance(settings, str) else str(settings["name"])


async def begin(client: AsyncClient, settings: Any, **options: Any) -> Dialogue:
    episode = await client.create("tools", task=TASK, options={"protocol": settings, **options})
    return Dialogue(episode, settings)


async def find_out(talk: Dialogue) -> float:
    """Search, read both pages, divide."""
    assert "country:NO" in await talk.call("search_web", query="Norway population")
    people = number_behind("Population", await talk.call("open_page", page_id="country:NO"))
    assert "geography:NO" in await talk.call("search_web", query="area of Norway")
    area = number_behind("Area", await talk.call("open_page", page_id="geography:NO"))
    said = await talk.call("calculator", expression=f"{people:.0f} / {area:.0f}")
    density = people / area
    assert f"{density:.4g}" in said
    return density


@pytest.mark.parametrize("settings", PROTOCOLS, ids=name_of)
async def test_the_density_dialogue_earns_all_in_every_protocol(server: ServerProcess, settings: Any) -> None:
    async with AsyncClient(server.url) as client:
        talk = await begin(client, settings)
        density = await find_out(talk)
        last = await talk.answer(f"By observation[2], observation[4] and observation[5] it is {density:.3f}")
        grade = await talk.episode.grade()
        await talk.episode.close()
    assert (last.reward, last.terminated) == (1.0, True), grade.report
    assert grade.components["answer"] == 1.0


async def test_the_dialogue_by_searches_alone(server: ServerProcess) -> None:
    """Search-R1 has one tool, whose results are the texts; the division happens in the policy's head."""
    settings = {"name": "search_r1", "tool": "retrieve", "argument": "query"}
    async with AsyncClient(server.url) as client:
        talk = await begin(client, settings, tools=["retrieval"])
        people = number_behind("Population", _passage("country:NO", await talk.call("retrieve", query="Norway people")))
        area = number_behind("Area", _passage("geography:NO", await talk.call("retrieve", query="geography of Norway")))
        last = await talk.answer(f"By observation[1] and observation[2] it is {people / area:.3f}")
        grade = await talk.episode.grade()
        await talk.episode.close()
    assert last.reward == 1.0, grade.report


def _passage(page_id: str, text: str) -> str:
    assert f"[{page_id}]" in text
    return text.partition(f"[{page_id}]")[2]


async def _lost(server: ServerProcess, policy: str) -> tuple[float, Mapping[str, str]]:
    async with AsyncClient(server.url) as client:
        talk = await begin(client, "tagged")
        density = 16.391
        if policy == "skips the tools":
            await talk.answer(f"{density}")
        elif policy == "invents observations":
            await talk.answer(f"By observation[1] and observation[2] it is {density}")
        elif policy == "cites what shows nothing of it":
            density = await find_out(talk)
            await talk.answer(f"By observation[1] and observation[3] it is {density}")
        elif policy == "cites what it never saw":
            density = await find_out(talk)
            await talk.answer(f"By observation[2], observation[4] and observation[7] it is {density}")
        elif policy == "goes through the motions":
            await find_out(talk)
            await talk.answer("By observation[2] and observation[4] it is 99.")
        elif policy == "asks the same again":
            density = await find_out(talk)
            for _ in range(3):
                await talk.call("open_page", page_id="country:NO")
            await talk.answer(f"By observation[2] and observation[4] it is {density}")
        elif policy == "writes nonsense":
            density = await find_out(talk)
            assert (await talk.episode.step_text("<answer><tool>open_page{page}</tool></answer>")).reward == 0
            await talk.answer(f"By observation[2] and observation[4] it is {density}")
        grade = await talk.episode.grade()
        await talk.episode.close()
    assert grade.reward is not None
    return grade.reward, grade.report["lost"]


@pytest.mark.parametrize(
    ("policy", "least", "most", "reasons"),
    [
        ("skips the tools", 0.5, 0.5, {"evidence", "tools", "citations"}),
        ("invents observations", 0.5, 0.5, {"evidence", "tools", "citations"}),
        ("cites what shows nothing of it", 0.85, 0.85, {"citations"}),
        ("cites what it never saw", 0.85, 0.85, {"citations"}),
        ("goes through the motions", 0.0, 0.0, {"answer"}),
        ("asks the same again", 0.85, 0.95, {"repeats"}),
        ("writes nonsense", 0.85, 0.95, {"format"}),
    ],
)
async def test_a_policy_that_cheats_earns_less_for_the_stated_reason(
    server: ServerProcess, policy: str, least: float, most: float, reasons: set[str]
) -> None:
    reward, lost = await _lost(server, policy)
    assert least <= reward <= most, lost
    assert set(lost) == reasons
    if policy == "cites what it never saw":
        assert "[7]" in lost["citations"]


# An episode that mixes

MIXED = ["search", "calculator", "python", "bash", "files"]


async def look_up(talk: Dialogue) -> None:
    """What was found is saved as a table, by the live interpreter."""
    people = number_behind("Population", await talk.call("open_page", page_id="country:NO"))
    area = number_behind("Area", await talk.call("open_page", page_id="geography:NO"))
    table = f"name,people,area\nNorway,{people:.0f},{area:.0f}\n"
    await talk.call("python", code=f"import csv\nopen('table.csv', 'w').write({table!r})\nwho = 'Norway'")


async def analyse(talk: Dialogue) -> StepResult:
    """Computed from the file, by the interpreter that wrote it, and checked by the shell."""
    said = await talk.call(
        "python",
        code="row = next(r for r in csv.DictReader(open('table.csv')) if r['name'] == who)\n"
        "int(row['people']) / int(row['area'])",
    )
    assert "Norway" in await talk.call("bash", command="cat table.csv")
    found = re.search(r"\d+\.\d+", said)
    assert found, said
    return await talk.answer(f"By observation[1] and observation[2] it is {found[0]}")


async def test_a_mixed_episode_is_forked_in_the_middle_and_each_fork_finishes(server: ServerProcess) -> None:
    async with AsyncClient(server.url) as client:
        talk = await begin(client, "hermes", tools=MIXED)
        await look_up(talk)
        forks = [Dialogue(fork, "hermes") for fork in await talk.episode.fork(2)]
        assert [len(fork.episode.messages) for fork in forks] == [len(talk.episode.messages)] * 2
        ends = await asyncio.gather(*(analyse(each) for each in (talk, *forks)))
        records = [await each.episode.trajectory() for each in forks]
        for each in (talk, *forks):
            await each.episode.close()
    assert [end.reward for end in ends] == [1.0] * 3
    assert [end.info.outcome for end in ends] == [Outcome.OK] * 3
    assert all(record.lineage for record in records)


async def test_a_mixed_episode_survives_a_server_that_is_killed_before_every_step(
    lasting_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = AsyncEpisode.step

    async def after_a_kill(episode: AsyncEpisode, *arguments: Any, **options: Any) -> StepResult:
        await asyncio.to_thread(lasting_server.kill)
        await asyncio.to_thread(lasting_server.start)
        return await step(episode, *arguments, **options)

    async with AsyncClient(lasting_server.url) as client:
        talk = await begin(client, "tagged", tools=MIXED)
        monkeypatch.setattr(AsyncEpisode, "step", after_a_kill)
        await look_up(talk)
        end = await analyse(talk)
        await talk.episode.close()
    assert end.reward == 1.0
