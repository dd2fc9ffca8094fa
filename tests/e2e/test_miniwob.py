"""The pages of MiniWoB++ in the real environment: they repeat, they can be solved, and nothing else is paid."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from environments.browser.miniwob import wheel
from environments.browser.miniwob.catalog import PAGES, REAL_TIME
from environments.browser.miniwob.policies import playable
from environments.browser.miniwob.policies.acting import Action, Play, Policy, click
from environments.browser.miniwob.policies.cheating import CHEATS, LEFT, SITE, Cheat
from environments.browser.miniwob.policies.page import Page
from environments.browser.miniwob.policies.random_clicker import random_clicker
from envserver_sdk import AsyncClient
from envserver_sdk.models import Outcome
from tests.e2e.conftest import ServerProcess
from tests.e2e.miniwob_browser import LOOK, Played, detectors_of, each_of, play

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

SEEN = ["text", "text_content", "screenshot"]
"""Not its source: a picture that is taken may leave an empty attribute behind in it."""
MOVING = REAL_TIME | {"terminal"}
"""What is seen of them depends on when that is; of a terminal, its cursor, which blinks."""

# Repetition


async def begun_twice(client: AsyncClient, page: str) -> list[str]:
    """What is wrong with how it begins."""
    wrong, firsts = [], []
    for _ in range(2):
        options = {"observe": SEEN}
        async with client.create("browser", task_set="miniwob", task=page, seed=1, options=options) as episode:
            first = episode.observation
            wrong += [f"{name}: {first[name]}" for name in ("error", "console_errors", "notices") if name in first]
            wrong += [] if first.get("goal") else ["it says no goal"]
            firsts.append(first)
            step = await episode.step(LOOK)
            if step.outcome is not Outcome.OK or step.done or "error" in step.observation or detectors_of(step):
                wrong.append(f"its first step: {step.outcome} {step.done} {step.observation.get('error')}")
    differ = [name for name in firsts[0].keys() | firsts[1].keys() if firsts[0].get(name) != firsts[1].get(name)]
    if page in MOVING:
        differ = [name for name in differ if name in ("goal", "url", "title", "tabs")]
    return [*wrong, *(f"{name} differs" for name in differ)]


async def all_begin_alike(client: AsyncClient, pages: Iterable[str]) -> None:
    found = await each_of(pages, lambda page: begun_twice(client, page))
    assert {page: wrong for page, wrong in found.items() if wrong} == {}


async def test_pages_begin_alike_under_their_seed(client: AsyncClient) -> None:
    await all_begin_alike(client, ("email-inbox", "tic-tac-toe", "chase-circle", "use-colorwheel", "use-spinner"))


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_every_page_begins_alike_under_its_seed(client: AsyncClient) -> None:
    await all_begin_alike(client, PAGES)


# Solutions


async def all_are_solved(client: AsyncClient, pages: Iterable[str]) -> None:
    found = await each_of(pages, lambda page: play(client, page, playable()[page]))
    assert {page: played for page, played in found.items() if not is_solved(played)} == {}


def is_solved(played: Played) -> bool:
    return played.ended and played.reward == 1.0 and not played.detectors and not played.problems


async def test_pages_are_solved_by_what_is_seen(client: AsyncClient) -> None:
    pages = ("click-button", "choose-list", "copy-paste", "read-table", "grid-coordinate", "drag-box")
    await all_are_solved(client, pages)


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_every_page_that_has_a_policy_is_solved(client: AsyncClient) -> None:
    assert len(playable()) >= 77
    await all_are_solved(client, sorted(playable()))


# Chance

CLICKS = 12
QUICK = {"action_timeout_s": 1.0}
"""What is clicked by chance is often covered by something else."""


async def rewards_by_chance(client: AsyncClient, pages: Iterable[str]) -> dict[str, float | None]:
    def clicked(page: str) -> Any:
        return play(client, page, random_clicker(1), max_steps=CLICKS, options=QUICK)

    return {page: played.reward for page, played in (await each_of(pages, clicked)).items()}


async def test_who_clicks_by_chance_solves_nothing_that_asks_for_more(client: AsyncClient) -> None:
    rewards = await rewards_by_chance(client, ("click-checkboxes-large", "enter-text"))
    assert set(rewards.values()) == {0.0}


TYPED = ("enter-", "login-", "read-table", "copy-paste", "simple-", "find-word", "text-transform", "scroll-text")
"""How pages begin to be called on which something has to be written."""


@pytest.mark.full
@pytest.mark.timeout(3600)
async def test_few_pages_are_solved_by_chance(client: AsyncClient) -> None:
    rewards = await rewards_by_chance(client, sorted(playable()))
    assert {page: reward for page, reward in rewards.items() if page.startswith(TYPED) and reward != 0.0} == {}
    assert sum(reward or 0.0 for reward in rewards.values()) < len(rewards) / 4, rewards


# Cheats


def _does(action: Action) -> Policy:
    def policy(goal: str, page: Page) -> Play:
        yield action

    return policy


def _in_another_tab(goal: str, page: Page) -> Play:
    """An easier page at the same site."""
    page = yield {"type": "new_tab", "url": f"{SITE}/miniwob/click-test.html"}
    for button in page.all("button"):
        yield click(button)


ADDRESSES = {
    "javascript": Cheat(
        "click-test", _does({"type": "goto", "url": "javascript:core.endEpisode(1)"}), "scheme_refused"
    ),
    "javascript in a new tab": Cheat(
        "click-test", _does({"type": "new_tab", "url": " java\tscript:core.endEpisode(1)"}), "scheme_refused"
    ),
    "file": Cheat("click-test", _does({"type": "goto", "url": "file:///workspace/solved.html"}), "scheme_refused"),
    "data": Cheat(
        "click-test",
        _does({"type": "goto", "url": f"data:text/html,<form action={SITE}/.report method=post>"}),
        "scheme_refused",
    ),
    "own machine": Cheat("click-test", _does({"type": "goto", "url": "http://127.0.0.1:8000/"}), "address_refused"),
    "easier task in another tab": Cheat("tic-tac-toe", _in_another_tab, LEFT),
}
"""Ones that the environment itself refuses, or that have to do with tabs."""
ALL_CHEATS = {**CHEATS, **ADDRESSES}
SHORT_CHEATS = ("javascript", "file", "form", "globals", "address of reports", "easier task in another tab")


async def none_is_paid(client: AsyncClient, names: Iterable[str]) -> None:
    found = await each_of(names, lambda name: play(client, ALL_CHEATS[name].page, ALL_CHEATS[name].policy))
    wrong = {}
    for name, played in found.items():
        cheat = ALL_CHEATS[name]
        noted = set() if cheat.noted is None else {cheat.noted}
        if (played.reward, played.ended, played.detectors) != (0.0, cheat.ends, noted):
            wrong[name] = played
    assert wrong == {}


async def test_cheats_are_noted_and_not_paid(client: AsyncClient) -> None:
    await none_is_paid(client, SHORT_CHEATS)


@pytest.mark.full
@pytest.mark.timeout(1200)
async def test_every_cheat_is_noted_and_not_paid(client: AsyncClient) -> None:
    await none_is_paid(client, ALL_CHEATS)


TAMPERING = b"<script>core.updateDisplay = function () { WOB_RAW_REWARD_GLOBAL = 2; };</script>"


async def test_a_page_that_rewrites_its_own_globals_is_not_paid(
    make_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    """As whoever runs a script of his own in a page would: here it is the page's own, in a wheel that has it."""
    package = tmp_path / wheel.PACKAGE
    package.mkdir()
    (package / "__init__.py").touch()
    for path, content in wheel.files().items():
        file = package / "html" / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        changed = path == wheel.page_path("click-test")
        file.write_bytes(content.replace(b"</head>", TAMPERING + b"</head>") if changed else content)
    server = make_server(PYTHONPATH=str(tmp_path))
    async with AsyncClient(server.url) as client:
        honest, tampering = [await play(client, page, playable()[page]) for page in ("click-test-2", "click-test")]
    assert (honest.ended, honest.reward, honest.detectors) == (True, 1.0, set())
    assert (tampering.ended, tampering.reward, tampering.detectors) == (True, 0.0, {"reward_tampering"})
