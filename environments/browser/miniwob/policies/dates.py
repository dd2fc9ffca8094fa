"""Pages with a calendar."""

from __future__ import annotations

import re
from collections.abc import Generator

from environments.browser.miniwob.policies.acting import Action, Play, between, click, plays, submit, wait, write
from environments.browser.miniwob.policies.page import Node, Page

MONTHS = "January February March April May June July August September October November December".split()


@plays("choose-date", "choose-date-easy", "choose-date-medium", "choose-date-nodelay")
def chosen_date(goal: str, page: Page) -> Play:
    page = yield click(page.one("textbox"))
    page = yield from _choose(page, between(goal, "Select ", " as the date"))
    yield submit(page)


def _choose(page: Page, date: str) -> Generator[Action, Page, Page]:
    """In an open calendar that shows one month. Returns the page."""
    month, day, _ = (int(part) for part in date.split("/"))
    while (shown := _month(page)) != month:
        page = yield click(page.one("button", "link", "generic", text="prev" if shown > month else "next"))
    page = yield click(page.one("link", text=str(day)))
    return page


def _month(page: Page) -> int:
    found = re.search(rf"({'|'.join(MONTHS)})\s+\d{{4}}", " ".join(node.value or node.name for node in page.walk()))
    if found is None:
        raise LookupError("no month is shown")
    return MONTHS.index(found[1]) + 1


def _offer(page: Page, place: str) -> Node:
    return page.one("option", "listitem", "menuitem", where=lambda node: place in node.text)


@plays("book-flight", "book-flight-nodelay")
def booked_flight(goal: str, page: Page) -> Play:
    for number, place in enumerate((between(goal, "from: ", " to: "), between(goal, " to: ", " on "))):
        page = yield write(place, page.all("textbox")[number])
        page = yield wait(1)
        page = yield click(_offer(page, place))
    page = yield click(page.all("textbox")[2])
    page = yield from _choose(page, goal.rstrip(".").rpartition(" ")[2])
    page = yield click(page.one("button", text="search"))
    flights = page.all("button", where=lambda node: node.name.startswith("Book flight"))
    worth = _price if "cheapest" in goal else _minutes
    yield click(min(flights, key=worth))


def _says(text: str, node: Node) -> bool:
    return text in node.text


def _price(button: Node) -> int:
    return int(button.name.partition("$")[2])


def _minutes(button: Node) -> int:
    """Of the flight that the button is a part of."""
    assert button.parent is not None
    found = re.search(r"(\d+)h (\d+)m", button.parent.text)
    if found is None:
        raise LookupError(f"no duration in {button.parent.text!r}")
    return int(found[1]) * 60 + int(found[2])
