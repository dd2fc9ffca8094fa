"""Pages on which something is to be typed or set."""

from __future__ import annotations

import re

from environments.browser.miniwob.policies.acting import (
    Play,
    between,
    click,
    fill,
    number_in,
    ordinal,
    plays,
    press,
    quoted,
    submit,
    wait,
    write,
)
from environments.browser.miniwob.policies.page import Node, Page


@plays("enter-text", "enter-text-dynamic", "enter-password")
def quoted_text(goal: str, page: Page) -> Play:
    for number in range(len(page.all("textbox"))):
        page = yield fill(page.all("textbox")[number], quoted(goal)[0])
    yield submit(page)


@plays("enter-text-2")
def text_in_other_letters(goal: str, page: Page) -> Play:
    text = quoted(goal)[0]
    page = yield fill(page.one("textbox"), text.upper() if "upper case" in goal else text.lower())
    yield submit(page)


@plays("login-user", "login-user-popup")
def login(goal: str, page: Page) -> Play:
    for number, text in enumerate(quoted(goal)):
        page = yield click(page.all("textbox")[number])
        while cancel := page.all(text="cancel"):
            page = yield click(cancel[-1])
        page = yield fill(page.all("textbox")[number], text)
    yield click(page.one("button", where=lambda node: node.name in ("Login", "OK")))


@plays("enter-date")
def date(goal: str, page: Page) -> Play:
    month, day, year = between(goal, "Enter ", " as").split("/")
    page = yield fill(page.one("textbox"), f"{year}-{month}-{day}")
    yield submit(page)


@plays("enter-time")
def time_of_day(goal: str, page: Page) -> Play:
    hours, minutes, half = re.split("[: ]", between(goal, "Enter ", " as"))
    page = yield fill(page.one("textbox"), f"{int(hours) % 12 + 12 * (half == 'PM'):02}:{minutes}")
    yield submit(page)


@plays("form-sequence-2")
def radio_and_number(goal: str, page: Page) -> Play:
    radio, text = goal.split(" and ")
    page = yield click(page.all("radio")[ordinal(radio)])
    page = yield fill(page.all("textbox")[ordinal(text)], quoted(text)[0])
    yield submit(page)


@plays("form-sequence-3")
def dropdown_and_button(goal: str, page: Page) -> Play:
    page = yield click(page.one("combobox").parent or page)
    page = yield click(page.one("listitem", text=between(goal, "Choose ", " from")))
    yield click(page.one("button", text=quoted(goal)[0]))


@plays("use-spinner")
def spinner(goal: str, page: Page) -> Play:
    page = yield fill(page.one("spinbutton"), str(number_in(goal)))
    yield submit(page)


@plays("use-slider", "use-slider-2", "form-sequence")
def sliders(goal: str, page: Page) -> Play:
    """Each is reached with Tab and moved with arrows; what it is at is shown beside it."""
    wanted = [int(number) for number in re.findall(r"-?\d+", re.split("with the slider|and submit", goal)[0])]
    for number in range(len(wanted)):
        page = yield press("Tab")
        at = [int(node.value) for node in page.all("generic", where=_is_number)][number]
        if steps := wanted[number] - at:
            page = yield press("ArrowRight" if steps > 0 else "ArrowLeft", abs(steps))
    if "checkbox" in goal:
        page = yield click(page.all("checkbox")[ordinal(goal)])
    yield submit(page)


def _is_number(node: Node) -> bool:
    return re.fullmatch(r"-?\d+", node.value) is not None


@plays("use-autocomplete", "use-autocomplete-nodelay")
def completed_text(goal: str, page: Page) -> Play:
    start, *end = quoted(goal)
    page = yield write(start, page.one("textbox"))
    page = yield wait(1.5)
    options = page.all("option", "listitem", "menuitem", where=lambda node: node.text.startswith(start))
    page = yield click(next(node for node in options if not end or node.text.endswith(end[0])))
    yield submit(page)


@plays("multi-layouts", "multi-orderings")
def movie(goal: str, page: Page) -> Play:
    genre = between(goal, "Search for ", " movies")
    director = between(goal, "directed by ", " from year")
    for label, text in (("genre", genre), ("director", director), ("year|date", str(number_in(goal)))):
        page = yield fill(_field(page, label), text)
    yield click([node for word in ("search", "submit", "go!") for node in page.all(text=word)][-1])


def _field(page: Page, label: str) -> Node:
    """In the same row as the label, wherever the page puts it there."""
    labels = page.all(where=lambda node: not node.children and re.search(label, node.text.lower()) is not None)
    row = labels[-1]
    while row.parent is not None and not row.all("textbox"):
        row = row.parent
    return row.one("textbox")
