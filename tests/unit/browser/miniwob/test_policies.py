"""What scripted policies read of a page's text, and that they play pages that there are."""

from __future__ import annotations

import pytest

from environments.browser.miniwob.catalog import PAGES
from environments.browser.miniwob.policies import playable
from environments.browser.miniwob.policies.acting import between, click, number_in, ordinal, quoted
from environments.browser.miniwob.policies.page import Page
from environments.browser.miniwob.policies.random_clicker import random_clicker

TEXT = """\
- generic [ref=e2]:
  - generic [ref=e3]: "Select 5: a \\"b\\"."
  - list [ref=e4]:
    - 'listitem "Tab #1: x" [ref=e5] [cursor=pointer]'
    - link "007" [ref=e6]:
      - /url: "#"
  - checkbox [checked] [ref=e7]
  - text: "Value:"
  - textbox [active] [ref=e8]: "0045"
  - button "Ok" [ref=e9]
  - generic [ref=e10]: ok
"""


@pytest.fixture
def page() -> Page:
    return Page(TEXT)


def test_reads_roles_names_values_and_refs(page: Page) -> None:
    nodes = [(node.role, node.name, node.value, node.states.get("ref")) for node in page.walk()]
    assert nodes == [
        ("page", "", "", None),
        ("generic", "", "", "e2"),
        ("generic", "", 'Select 5: a "b".', "e3"),
        ("list", "", "", "e4"),
        ("listitem", "Tab #1: x", "", "e5"),
        ("link", "007", "", "e6"),
        ("checkbox", "", "", "e7"),
        ("text", "", "Value:", None),
        ("textbox", "", "0045", "e8"),
        ("button", "Ok", "", "e9"),
        ("generic", "", "ok", "e10"),
    ]
    assert page.one("listitem").states == {"ref": "e5", "cursor": "pointer"}
    assert page.one("link").states["/url"] == "#"
    assert "checked" in page.one("checkbox").states
    assert page.one("link").parent is page.one("list")


def test_finds_by_role_text_and_condition(page: Page) -> None:
    assert page.one("button", text="OK").ref == "e9"
    assert [node.ref for node in page.all(text="ok")] == ["e9", "e10"]
    assert page.one(where=lambda node: node.value == "0045").role == "textbox"
    assert page.one("list").text == "Tab #1: x 007"
    with pytest.raises(LookupError, match="no slider"):
        page.one("slider")


def test_an_empty_page_has_nothing() -> None:
    assert list(Page("").walk())[1:] == []


def test_reads_what_goals_say() -> None:
    assert quoted('Enter "a" and "b c".') == ["a", "b c"]
    assert between("Select a, b and click Submit.", "Select ", " and click") == "a, b"
    assert (ordinal("the 3rd word"), number_in("Select -5 with")) == (2, -5)
    for read in (lambda: between("x", "Select ", "y"), lambda: ordinal("the word"), lambda: number_in("none")):
        with pytest.raises(LookupError):
            read()


def test_policies_play_tasks() -> None:
    assert set(playable()) <= set(PAGES)
    assert len(playable()) >= 45


def test_a_policy_yields_actions_and_is_sent_pages() -> None:
    play = playable()["click-button-sequence"]("", Page('- button "TWO" [ref=e2]\n- button "ONE" [ref=e1]'))
    assert next(play) == {"type": "click", "ref": "e1"}
    assert play.send(Page('- button "TWO" [ref=e9]')) == {"type": "click", "ref": "e9"}
    with pytest.raises(StopIteration):
        play.send(Page(""))


def test_the_random_clicker_clicks_the_same_under_the_same_seed(page: Page) -> None:
    def clicks(seed: int) -> list[str]:
        play = random_clicker(seed)("", page)
        return [next(play)["ref"], *(play.send(page)["ref"] for _ in range(20))]

    assert clicks(1) == clicks(1) != clicks(2)
    assert len(set(clicks(1))) > 4


def test_a_double_click_says_so(page: Page) -> None:
    assert click(page.one("button"), count=2) == {"type": "click", "ref": "e9", "count": 2}
