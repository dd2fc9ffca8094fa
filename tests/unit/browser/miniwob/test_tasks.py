"""The task set lists the pages that are tasks, splits them by family, and says where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from environments.browser.miniwob import wheel
from environments.browser.miniwob.catalog import FLAWS, LEFT_OUT, PAGES, REAL_TIME, TEST_FAMILIES, family, split_of
from environments.browser.miniwob.tasks import Miniwob
from environments.browser.plays import make_play
from environments.tasks import GraderSpec


def test_every_page_of_the_wheel_is_a_task_or_left_out_for_a_reason() -> None:
    pages = {Path(path).stem for path in wheel.files() if path.startswith("/miniwob/") and path.endswith(".html")}
    assert set(PAGES) | set(LEFT_OUT) == pages
    assert not set(PAGES) & set(LEFT_OUT)
    assert len(PAGES) == len(set(PAGES)) >= 120
    assert set(PAGES) >= REAL_TIME


def test_a_task_is_played_on_its_page() -> None:
    task = Miniwob().get("click-test")
    assert task.grader == GraderSpec("checks")
    assert task.hidden == {"play": "miniwob", "page": "click-test"}
    play = make_play(task, 1, {})
    assert play.start_url == task.public["start_url"] == "http://miniwob.test/miniwob/click-test.html"
    assert play.prompt == task.prompt
    assert play.web.serves("miniwob.test")


def test_every_task_can_be_made() -> None:
    tasks = Miniwob()
    for task_id in tasks.task_ids():
        assert make_play(tasks.get(task_id), 1, {}).goal is None


def test_tells_of_pages_that_do_not_wait() -> None:
    tasks = Miniwob()
    assert tasks.get("chase-circle").public["real_time"] is True
    assert tasks.get("chase-circle").prompt != tasks.get("click-test").prompt
    assert tasks.get("click-test").public["real_time"] is False


def test_tells_of_pages_that_cannot_always_be_solved() -> None:
    tasks = Miniwob()
    assert set(PAGES) >= set(FLAWS)
    assert "cannot be solved" in tasks.get("click-pie").public["flaw"]
    assert {task_id for task_id in tasks.task_ids() if "flaw" in tasks.get(task_id).public} == set(FLAWS)


def test_splits_part_the_pages_without_parting_a_family() -> None:
    tasks = Miniwob()
    train, test = tasks.task_ids("train"), tasks.task_ids("test")
    assert sorted([*train, *test]) == sorted(tasks.task_ids()) == sorted(tasks.task_ids("all"))
    assert not {family(page) for page in train} & {family(page) for page in test}
    assert {family(page) for page in test} == TEST_FAMILIES
    assert 0.2 <= len(test) / len(PAGES) <= 0.3


def test_variants_are_of_one_family() -> None:
    assert {family(page) for page in ("click-tab", "click-tab-2", "click-tab-2-hard")} == {"click-tab"}
    assert {family(page) for page in PAGES if page.startswith("email-inbox")} == {"email-inbox"}
    assert family("use-autocomplete-nodelay") == "use-autocomplete"
    assert family("multi-layouts") == family("multi-orderings")
    assert family("click-menu") != family("click-button")
    assert split_of("use-slider-2") == "test"


@pytest.mark.parametrize("task_id", ["stock-market", "nothing", "../core/core", ""])
def test_there_is_no_other_task(task_id: str) -> None:
    with pytest.raises(KeyError):
        Miniwob().get(task_id)


def test_there_is_no_other_split() -> None:
    with pytest.raises(KeyError):
        Miniwob().task_ids("dev")


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(wheel, "PACKAGE", "a_package_that_is_not_there")
    wheel.files.cache_clear()
    yield
    wheel.files.cache_clear()


@pytest.mark.usefixtures("no_wheel")
def test_says_that_the_wheel_is_not_installed() -> None:
    assert not wheel.installed()
    with pytest.raises(ModuleNotFoundError, match="miniwob, which holds the pages of MiniWoB"):
        Miniwob().task_ids()
    with pytest.raises(ModuleNotFoundError, match="is not installed"):
        Miniwob().get("click-test")
