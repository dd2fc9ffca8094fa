"""Pages on which something is to be clicked, chosen or dragged."""

from __future__ import annotations

from environments.browser.miniwob.policies.acting import (
    Play,
    between,
    click,
    click_at,
    drag,
    hover,
    number_in,
    ordinal,
    plays,
    quoted,
    select,
    submit,
    wait,
)
from environments.browser.miniwob.policies.page import Node, Page


@plays("click-test", "click-test-2", "click-test-transfer")
def first_button(goal: str, page: Page) -> Play:
    yield click(page.one("button"))


@plays("click-button", "unicode-test")
def quoted_button(goal: str, page: Page) -> Play:
    yield click(page.one("button", text=quoted(goal)[0]))


@plays("click-button-sequence")
def two_buttons(goal: str, page: Page) -> Play:
    page = yield click(page.one("button", text="one"))
    yield click(page.one("button", text="two"))


@plays("click-checkboxes", "click-checkboxes-large", "click-checkboxes-transfer", "click-option")
def named_boxes(goal: str, page: Page) -> Play:
    for name in between(goal, "Select ", " and click Submit").split(", "):
        if name != "nothing":
            named = {node.name: node for node in page.all("checkbox", "radio")}
            page = yield click(named[name])
    yield submit(page)


@plays("choose-list")
def one_of_a_list(goal: str, page: Page) -> Play:
    page = yield select(page.one("combobox"), between(goal, "Select ", " from the list"))
    yield submit(page)


@plays("click-scroll-list")
def some_of_a_list(goal: str, page: Page) -> Play:
    page = yield select(page.one("listbox"), *between(goal, "Select ", " from the scroll list").split(", "))
    yield submit(page)


@plays("click-dialog")
def closed_dialog(goal: str, page: Page) -> Play:
    yield click(page.one("button", text="close"))


@plays("click-dialog-2")
def button_of_a_dialog(goal: str, page: Page) -> Play:
    label = quoted(goal)[0]
    yield click(page.one("button", text="close" if label == "x" else label))


@plays("click-tab")
def one_tab(goal: str, page: Page) -> Play:
    yield click(page.one("link", text=between(goal, "Click on ", ".")))


@plays("click-collapsible", "click-collapsible-nodelay")
def opened_section(goal: str, page: Page) -> Play:
    page = yield click(page.one("tab"))
    page = yield wait(1)
    yield submit(page)


@plays("click-menu")
def path_through_menus(goal: str, page: Page) -> Play:
    *menus, item = goal.removeprefix("Select ").split(">")
    for name in menus:
        page = yield hover(page.one("menuitem", text=name))
        page = yield wait(0.5)
    yield click(page.one("menuitem", text=item))


@plays("focus-text")
def only_field(goal: str, page: Page) -> Play:
    yield click(page.one("textbox"))


@plays("focus-text-2")
def counted_field(goal: str, page: Page) -> Play:
    yield click(page.all("textbox")[ordinal(goal)])


@plays("find-greatest")
def greatest_card(goal: str, page: Page) -> Play:
    cards = page.all("generic", where=lambda node: node.value.isdigit())
    page = yield click(max(cards, key=lambda node: int(node.value)))
    yield submit(page)


@plays("odd-or-even")
def oddness_of_each(goal: str, page: Page) -> Play:
    rows = [node for node in page.all() if any(child.value.lstrip("-").isdigit() for child in node.children)]
    for row in rows:
        odd = number_in(row.text) % 2
        page = yield click(row.one("button", text="odd" if odd else "even"))
    yield submit(page)


@plays("buy-ticket")
def best_ticket(goal: str, page: Page) -> Play:
    tickets = [node for node in page.all() if sum(child.role == "button" for child in node.children) == 1]
    worth = _minutes if "duration" in goal else _price
    pick = max if "longest" in goal or "most expensive" in goal else min
    yield click(pick(tickets, key=worth).one("button"))


def _minutes(ticket: Node) -> int:
    hours, _, minutes = ticket.one(where=lambda node: node.value.endswith("m")).value.partition("h ")
    return int(hours) * 60 + int(minutes[:-1])


def _price(ticket: Node) -> int:
    return int(ticket.one("button").name.partition("$")[2])


# Dragging.


@plays("drag-box")
def box_into_box(goal: str, page: Page) -> Play:
    page = yield drag(page.one(text="s"), page.one(text="L"))
    yield submit(page)


@plays("drag-sort-numbers")
def sorted_list(goal: str, page: Page) -> Play:
    for place in range(len(page.all("listitem"))):
        items = page.all("listitem")
        least = min(items[place:], key=lambda node: int(node.text))
        if least is not items[place]:
            page = yield drag(least, items[place])
    yield submit(page)


@plays("grid-coordinate")
def point_of_a_grid(goal: str, page: Page) -> Play:
    """Whose middle is the picture's, with 30 pixels from each point to the next."""
    x, y = (int(number) for number in between(goal, "(", ")").split(","))
    yield click_at(78.5 + 30 * x, 129 - 30 * y)
