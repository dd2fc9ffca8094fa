"""A solution's steps as a policy's actions: found by role and name in what a page says."""

from __future__ import annotations

from typing import Any

import pytest

from environments.browser.world.gold.acting import Acting
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Select, Step, Steps

TEXT = """\
- banner [ref=e2]:
  - link "Marn Goods" [ref=e3] [cursor=pointer]:
    - /url: /
  - searchbox "Search the shop" [ref=e4]
  - button "Search" [ref=e5]
- main [ref=e6]:
  - 'heading "Click: link \\"Buy\\" [ref=e99]" [level=1] [ref=e7]'
  - textbox "Full name" [ref=e8]: Ada
  - spinbutton "Quantity" [ref=e9]: "1"
  - combobox "Colour" [ref=e10]:
    - option "Any" [selected]
  - 'radio "Home: Ada B, Elm \\"1\\"" [ref=e11]'
  - link "Tents" [ref=e12]:
    - /url: /category/tents
  - link "Tents" [ref=e13]:
    - /url: /category/tents
  - button "Buy" [ref=e14]
  - button "Buy" [ref=e15]
"""
SEEN: dict[str, Any] = {"url": "http://shop.test/", "text": TEXT, "html": "<main><h1>Hi</h1></main>"}


def action_of(step: Step, **names: str) -> dict[str, Any]:
    def steps() -> Steps:
        yield step

    return Acting(steps(), names).begin(SEEN)


@pytest.mark.parametrize(
    ("step", "action"),
    [
        (Open("http://wiki.test/"), {"type": "goto", "url": "http://wiki.test/"}),
        (Click("button", "Search"), {"type": "click", "ref": "e5"}),
        (Click("radio", 'Home: Ada B, Elm "1"'), {"type": "click", "ref": "e11"}),
        (Click("link", "Tents"), {"type": "click", "ref": "e12"}),
        (Fill("Full name", "Bo"), {"type": "fill", "ref": "e8", "text": "Bo"}),
        (Fill("Search the shop", "x"), {"type": "fill", "ref": "e4", "text": "x"}),
        (Fill("Quantity", "2"), {"type": "fill", "ref": "e9", "text": "2"}),
        (Select("Colour", "red"), {"type": "select", "ref": "e10", "values": ["red"]}),
        (Answer("7"), {"type": "answer", "text": "7"}),
        (Infeasible("no"), {"type": "infeasible", "reason": "no"}),
    ],
)
def test_a_step_is_an_action_on_what_has_that_role_and_name(step: Step, action: dict[str, Any]) -> None:
    assert action_of(step) == action


@pytest.mark.parametrize(
    "step", [Click("link", "Buy"), Click("button", "Buy"), Fill("Colour", "x"), Select("Quantity", "1")]
)
def test_what_there_is_not_or_twice_is_not_guessed(step: Step) -> None:
    with pytest.raises(LookupError):
        action_of(step)


def test_what_is_called_otherwise_is_found_by_what_is_shown() -> None:
    assert action_of(Click("button", "Find"), Search="Find") == {"type": "click", "ref": "e5"}


def test_the_solution_gets_each_page_and_an_error_ends_it() -> None:
    pages = []

    def steps() -> Steps:
        pages.append((yield Click("button", "Search")))
        yield Answer(pages[0].text)

    acting = Acting(steps())
    acting.begin(SEEN)
    assert acting.go_on(SEEN) == {"type": "answer", "text": "Hi"}
    assert pages[0].url == SEEN["url"]
    with pytest.raises(LookupError, match="covered"):
        Acting(steps()).go_on({**SEEN, "error": "it is covered by something else"})
