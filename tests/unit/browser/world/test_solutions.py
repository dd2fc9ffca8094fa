"""Every task is solved by who reads pages alone, and by nobody who does less, more, or something else."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from environments.browser.obstacles.rewriting import WORDINGS
from environments.browser.play import Check
from environments.browser.world.answers import is_right
from environments.browser.world.gold.careful import careful
from environments.browser.world.gold.solutions import SOLUTIONS
from environments.browser.world.gold.steps import Steps
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks import World
from environments.browser.world.tasks.templates import TEMPLATES
from envserver.grading.checks import _share
from tests.unit.browser.world.http_browser import End, HttpBrowser
from tests.unit.browser.world.near_misses import CHANGED, harm, reworded, write_wrongly
from tests.unit.browser.world.walking import Click, Fill, Open, do, log_in

TASKS = World()
ALL = TASKS.task_ids()
IDS = [task_id for task_id in ALL if not task_id.endswith("/rough")]


def paid(play: WorldPlay, end: End) -> float:
    """As the grader counts."""
    checks: list[Check] = play.checks(end.answer, infeasible=end.infeasible)
    return _share([vars(check) for check in checks])


def play_of(task_id: str, seed: int = 1) -> WorldPlay:
    return WorldPlay(TASKS.get(task_id), seed)


MAY_BE_INFEASIBLE = [
    f"{name}/{number}"
    for name, number in (
        ("order", 2), ("cancel", 2), ("return", 3), ("review", 3), ("revert", 2), ("correct", 2), ("moderate", 3),
        ("reply", 1), ("sort", 2), ("write", 2), ("tickets", 3), ("merge", 1), ("refund", 1), ("errand", 1),
    )
]  # fmt: skip
FEASIBLE = [task_id for task_id in IDS if task_id not in MAY_BE_INFEASIBLE]


@cache
def seed_that(task_id: str, *, infeasible: bool) -> int:
    """The first seed from 1 on for which a task can be done, or cannot."""
    return next(seed for seed in range(1, 40) if play_of(task_id, seed).errand.infeasible == infeasible)


def play_that(task_id: str, *, infeasible: bool) -> WorldPlay:
    return play_of(task_id, seed_that(task_id, infeasible=infeasible))


def run(play: WorldPlay, steps: Steps) -> End:
    return HttpBrowser(play.web).run(steps, play.start_url)


def solution(task_id: str, told: object) -> Steps:
    return SOLUTIONS[task_id.partition("/")[0]](told)  # type: ignore[arg-type]


@pytest.mark.parametrize("task_id", IDS)
def test_every_task_is_solved_over_http(task_id: str) -> None:
    play = play_of(task_id)
    end = run(play, solution(task_id, play.errand.told))
    failed = [check.name for check in play.checks(end.answer, infeasible=end.infeasible) if not check.passed]
    assert failed == []
    assert end.infeasible == play.errand.infeasible


@pytest.mark.parametrize("infeasible", [True, False])
@pytest.mark.parametrize("task_id", MAY_BE_INFEASIBLE)
def test_a_task_that_may_be_infeasible_is_solved_both_ways(task_id: str, infeasible: bool) -> None:
    play = play_that(task_id, infeasible=infeasible)
    end = run(play, solution(task_id, play.errand.told))
    assert (paid(play, end), end.infeasible) == (1.0, infeasible)


@pytest.mark.full
@pytest.mark.parametrize("task_id", IDS)
def test_every_task_is_solved_under_many_seeds(task_id: str) -> None:
    for seed in range(100, 110):
        play = play_of(task_id, seed)
        end = run(play, solution(task_id, play.errand.told))
        assert paid(play, end) == 1.0, (seed, play.prompt)


@pytest.mark.parametrize("task_id", IDS)
def test_who_does_nothing_is_paid_nothing(task_id: str) -> None:
    play = play_of(task_id)
    HttpBrowser(play.web).visit("GET", play.start_url)
    assert [paid(play, end) for end in (End(), End(""), End("x"), End("no", infeasible=True))] == [0, 0, 0, 0]
    required = [check for check in play.checks(None, infeasible=False) if check.required and not check.forbidden]
    assert required
    assert not any(check.passed for check in required)


@pytest.mark.parametrize("task_id", IDS)
def test_who_solves_a_task_and_does_harm_is_paid_nothing(task_id: str) -> None:
    play = play_of(task_id)
    end = run(play, solution(task_id, play.errand.told))
    you = play.world.people.you
    run(play, harm(you.handle, you.password))
    assert paid(play, end) == 0


@pytest.mark.parametrize("task_id", [each for each in IDS if each.partition("/")[0] not in ("write", *CHANGED)])
def test_a_wrong_answer_is_paid_little(task_id: str) -> None:
    play = play_of(task_id)
    end = run(play, solution(task_id, play.errand.told))
    assert play.errand.answer is not None
    assert play.errand.decoys
    assert end.answer
    for wrong in (*play.errand.decoys, "", end.answer + "0", f"{end.answer}, {play.errand.decoys[0]}"):
        assert not is_right(wrong, play.errand.answer)
        assert paid(play, End(wrong)) <= 0.5
    assert paid(play, End(end.answer, infeasible=True)) == 0


@pytest.mark.parametrize("task_id", [each for each in FEASIBLE if each.partition("/")[0] in CHANGED])
def test_who_overlooks_something_is_paid_little(task_id: str) -> None:
    template = task_id.partition("/")[0]
    tried = 0
    for told in CHANGED[template](play_of(task_id).errand.told):
        play = play_of(task_id)
        end = run(play, SOLUTIONS[template](told))
        assert paid(play, end) <= 0.5, (told, play.prompt)
        tried += 1
    assert tried or task_id in ("revert/3", "merge/2", "refund/4")


@pytest.mark.parametrize("task_id", [each for each in FEASIBLE if each.startswith("write/")])
def test_an_answer_in_other_words_is_no_answer(task_id: str) -> None:
    play = play_of(task_id)
    assert paid(play, run(play, write_wrongly(play.errand.told))) <= 0.5


@pytest.mark.parametrize("task_id", ["write/1", "write/3", "write/4", "reply/2", "reply/3", "reply/4"])
def test_what_is_written_is_right_as_an_answer_would_be(task_id: str) -> None:
    """A price without its sign, a product without its noun, stars without their last zero."""
    for seed in range(1, 9):
        play = play_of(task_id, seed)
        end = run(play, reworded(solution(task_id, play.errand.told)))
        assert paid(play, end) == 1.0, play.prompt


@pytest.mark.parametrize(
    ("line", "pay"),
    [
        ("| Mayor = {}", 1.0),
        ("|Mayor = {}", 1.0),
        ("| Mayor={}", 1.0),
        ("  |  Mayor  =  {}", 1.0),
        ("Mayor = {}", 0.5),
        ("| mayor = {}", 0.5),
        ("| Mayor = {}.", 0.5),
    ],
)
def test_a_line_in_a_box_of_facts_is_right_however_its_spaces_are(line: str, pay: float) -> None:
    play = play_of("correct/3")
    told, you = play.errand.told, play.world.people.you
    lines = play.world.wiki.articles[told["article"]].text.split("\n")
    at = next(at for at, each in enumerate(lines) if each.startswith("| Chartered"))
    text = "\n".join([*lines[: at + 1], line.format(told["mayor"]), *lines[at + 1 :]])
    browser = log_in(HttpBrowser(play.web), "wiki.test", you)
    do(browser, Open(f"http://wiki.test/wiki/{told['article']}/edit"), Fill("Text of the article", text))
    do(browser, Fill("Summary of your change", "x"), Click("button", "Save"))
    assert paid(play, End("")) == pay if pay == 1.0 else paid(play, End("")) <= pay


@pytest.mark.parametrize("task_id", ["order/1", "reply/4", "write/4", "errand/4"])
def test_what_was_to_be_made_once_is_not_made_twice(task_id: str) -> None:
    play = play_of(task_id)
    for product in play.world.shop.products.values():
        product.stock *= 10  # enough for both
    for times in (1, 2):
        end = run(play, solution(task_id, play.errand.told))
        assert not end.infeasible
        assert paid(play, end) == (1.0 if times == 1 else 0.0)
    required = [check for check in play.checks(end.answer, infeasible=False) if check.required and not check.forbidden]
    assert {check.name for check in required if check.passed} <= {"looked before saying so"}


def test_an_order_that_was_cancelled_again_is_no_harm() -> None:
    play = play_of("order/1")
    told = play.errand.told
    assert paid(play, run(play, solution("order/1", {**told, "quantity": told["quantity"] % 2 + 1}))) <= 0.5
    run(play, solution("cancel/4", {**told, "since": "2031-03-14"}))
    assert paid(play, run(play, solution("order/1", told))) == 1.0


def plain_words() -> dict[str, str]:
    return {new: old for old, new in WORDINGS[1].items()}


@pytest.mark.parametrize("task_id", [task_id for task_id in ALL if task_id not in IDS])
@pytest.mark.parametrize("seed", range(1, 7))
def test_every_rough_task_is_solved_by_who_is_not_put_off(task_id: str, seed: int) -> None:
    play = play_of(task_id, seed)
    obstacles = TASKS.get(task_id).public["obstacles"]
    told = play.errand.told
    browser = HttpBrowser(play.web, called=plain_words() if "wording" in obstacles else {})
    end = browser.run(careful(solution(task_id, told), told), play.start_url)
    assert paid(play, end) == 1.0
    assert play.notes() == []


def test_no_template_has_more_than_a_tenth_of_the_tasks_and_some_cannot_be_done() -> None:
    counts = Counter(task_id.partition("/")[0] for task_id in ALL)
    assert len(IDS) >= 60
    assert len(counts) >= 12
    assert max(counts.values()) <= len(ALL) / 10
    assert 10 <= len(IDS) - len(FEASIBLE) <= 20
    assert set(SOLUTIONS) == set(TEMPLATES)
