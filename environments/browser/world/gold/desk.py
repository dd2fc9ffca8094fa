"""Solutions at the ticket desk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from environments.browser.world.gold.page import Page, Row
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Select, Steps, Walk
from environments.browser.world.gold.walks import Told, all_pages, cents, log_in

DESK = "desk.test"
UNFINISHED = ("Open", "Pending")


def _list(filters: Mapping[str, str]) -> Walk[list[Row]]:
    """The oldest first."""
    yield Open("http://desk.test/tickets")
    for label, value in filters.items():
        yield Select(label, value)
    yield Select("Sort by", "Oldest first")
    page = yield Click("button", "Apply")
    pages = yield from all_pages(page, "Next page")
    return [row for page in pages for row in page.rows]


def _open_ticket(number: object) -> Walk[Page]:
    return (yield Open(f"http://desk.test/ticket/{str(number).removeprefix('#')}"))


def tickets(told: Told) -> Steps:
    yield from log_in(DESK, told)
    rows = yield from _list(told["filters"])
    for row in [row for row in rows if row["Opened"] < told.get("before", "9999")]:
        page = yield from _open_ticket(row["Ticket"])
        if any(value not in page.options(label) for label, value in told["set"].items()):
            yield Infeasible("There is no such agent.")
            return
        for label, value in told["set"].items():
            yield Select(label, value)
        yield Click("button", "Update ticket")
    yield Answer()


def merge(told: Told) -> Steps:
    yield from log_in(DESK, told)
    rows = yield from _list({})
    by_order: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["State"] in UNFINISHED and told.get("customer", row["Requester"]) == row["Requester"]:
            page = yield from _open_ticket(row["Ticket"])
            if page.facts["Order"] != "None":
                by_order[page.facts["Order"]].append(row["Ticket"])
    pairs = [(same[0], same[1]) for same in by_order.values() if len(same) == 2]
    if "ticket" in told:
        pairs = [pair for pair in pairs if pair[1] == f"#{told['ticket']}"]
    if not pairs:
        yield Infeasible("No two of the tickets are about the same order.")
        return
    for older, newer in pairs:
        yield from _open_ticket(newer)
        yield Fill("Number of the ticket to merge into", older)
        yield Click("button", "Merge ticket")
    if "comment" in told:
        yield from _open_ticket(pairs[0][0])
        yield Fill("Comment", told["comment"])
        yield Click("radio", "The requester too")
        yield Click("button", "Add comment")
    yield Answer()


def refund(told: Told) -> Steps:
    yield from log_in(DESK, told)
    several = "tickets" in told
    for number in told["tickets"] if several else [told["ticket"]]:
        ticket = yield from _open_ticket(number)
        page = yield Click("link", ticket.facts["Order"])
        if page.facts["Refunded"] == "€0.00":
            yield Fill("Amount in euros", _amount(page, told.get("of", "total")))
            yield Click("button", "Refund")
        elif not several:
            yield Infeasible("The money was given back already.")
            return
        yield from _open_ticket(number)
        yield Select("State", "Solved")
        yield Click("button", "Update ticket")
    yield Answer()


def _amount(page: Page, of: str) -> str:
    if of == "total":
        return page.facts["Total"]
    row = next(row for row in page.rows if row["Product"] == of)
    total = cents(row["Price"]) * int(row["Quantity"])
    return f"{total // 100}.{total % 100:02}"
