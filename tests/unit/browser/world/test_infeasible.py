"""What cannot be done: for which seeds that is, and that nothing tells it but what is to be looked for."""

from __future__ import annotations

import re

import pytest

from environments.browser.environment import BrowserEnvironment
from environments.browser.miniwob.tasks import Miniwob
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks.template import ROUGH
from tests.unit.browser.world.http_browser import End, HttpBrowser
from tests.unit.browser.world.test_solutions import (
    ALL,
    FEASIBLE,
    MAY_BE_INFEASIBLE,
    TASKS,
    paid,
    play_of,
    play_that,
    run,
    solution,
)

SEEDS = range(30)


@pytest.mark.parametrize("task_id", MAY_BE_INFEASIBLE)
def test_the_seed_decides_whether_a_task_can_be_done(task_id: str) -> None:
    drawn = [play_of(task_id, seed).errand.infeasible for seed in SEEDS]
    assert 4 <= sum(drawn) <= 18


def test_of_a_rough_task_the_seed_decides_what_is_asked_and_whether_it_can_be_done() -> None:
    drawn: dict[str, set[tuple[str, ...]]] = {}
    given_up = 0
    for task_id in (each for each in ALL if each.endswith(f"/{ROUGH}")):
        plays = [play_of(task_id, seed) for seed in range(12)]
        drawn[task_id] = {tuple(sorted(play.errand.told)) for play in plays}
        given_up += sum(play.errand.infeasible for play in plays)
    assert sum(len(kinds) > 1 for kinds in drawn.values()) >= 15
    assert 5 <= given_up <= 40


def first_page(play: WorldPlay) -> str:
    browser = HttpBrowser(play.web)
    browser.visit("GET", play.start_url)
    return browser.page.text


def counts(text: str) -> list[str]:
    return sorted(re.findall(r"\d+", text))


@pytest.mark.parametrize("task_id", ["correct/2", "moderate/3", "revert/2"])
def test_no_number_on_the_first_page_tells_it(task_id: str) -> None:
    """What is missing there was counted."""
    first_pages = [counts(first_page(play_that(task_id, infeasible=infeasible))) for infeasible in (True, False)]
    assert first_pages[0] == first_pages[1]


# Saying so


@pytest.mark.parametrize("task_id", ALL)
def test_every_prompt_says_in_the_same_words_how_to_say_so(task_id: str) -> None:
    said = "If what is asked for cannot be done, end with the action `infeasible`, not with an answer."
    assert f" {said} " in play_of(task_id).prompt


@pytest.mark.parametrize("task_id", MAY_BE_INFEASIBLE)
def test_an_answer_that_is_the_one_word_is_the_action(task_id: str) -> None:
    play = play_that(task_id, infeasible=True)
    assert run(play, solution(task_id, play.errand.told)).infeasible
    assert [paid(play, End(said)) for said in ("infeasible", " Infeasible.", "`INFEASIBLE`")] == [1, 1, 1]
    assert paid(play, End("It is infeasible")) < 0.5


@pytest.mark.parametrize("task_id", FEASIBLE[::9])
def test_that_word_gives_up_what_can_be_done(task_id: str) -> None:
    play = play_of(task_id)
    run(play, solution(task_id, play.errand.told))
    assert paid(play, End("infeasible")) == 0


def test_a_choice_of_actions_without_an_end_is_refused() -> None:
    task, page = TASKS.get("order/1"), Miniwob().get("click-test")
    for kinds in (["click", "answer"], ["click", "infeasible"], ["click"]):
        with pytest.raises(
            ValueError, match=r"'actions' is .*, must have answer and infeasible for the task 'order/1'"
        ):
            BrowserEnvironment.check(task, {"actions": kinds})
        BrowserEnvironment.check(page, {"actions": kinds})
    BrowserEnvironment.check(task, {"actions": ["click", "answer", "infeasible"]})
    BrowserEnvironment.check(task, {"computer": "openai"})
