"""The ticket desk as a site. Only the shop's agents get in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from environments.browser.web.forms import area, choice, facts, field, get, grid, post, radios, submit
from environments.browser.web.html import Html, a, article, h1, h2, header, p
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.clock import minute
from environments.browser.world.desk import orders
from environments.browser.world.desk.data import (
    CLOSED,
    HOST,
    KINDS,
    MAX_TEXT,
    PRIORITIES,
    STATES,
    Comment,
    Ticket,
    merge_note,
)
from environments.browser.world.look import Brand, notice, pager, says, search_words
from environments.browser.world.mail.sending import DESK, deliver
from environments.browser.world.people import AGENT
from environments.browser.world.site import Visit, WorldSite, add_login, path

router = Router()
PER_PAGE = 12
NOBODY = "nobody"
SORTS: Mapping[str, tuple[str, Callable[[Ticket], Any]]] = {
    "new": ("Newest first", lambda ticket: -ticket.number),
    "old": ("Oldest first", lambda ticket: ticket.number),
    "priority": ("Most urgent first", lambda ticket: (-PRIORITIES.index(ticket.priority), ticket.number)),
}
FILTERS = ("state", "priority", "assignee", "kind", "q", "sort")
DONE = {
    "updated": "The ticket has been updated.",
    "commented": "Your comment is there.",
    "merged": "The ticket has been merged.",
}


class DeskSite(WorldSite):
    brand = Brand(HOST, "Marn Goods Support", "#5f1f3a", "#f8eef2", "For staff of Marn Goods only.")
    router = router

    def menu(self, visit: Visit) -> list[Html]:
        return [a("Tickets", href="/tickets"), a("Find an order", href="/orders")] if visit.person else []


@router.get("/")
def front(site: WorldSite, visit: Visit) -> Response:
    visit.need_login()
    return Response.redirect("/tickets")


@router.get("/tickets")
def list_tickets(site: WorldSite, visit: Visit) -> Response:
    visit.need_login()
    asked = {name: visit.query.get(name, "") for name in FILTERS}
    words = search_words(asked["q"])
    found = [ticket for ticket in site.world.desk.tickets.values() if _passes(site, ticket, asked, words)]
    found.sort(key=SORTS.get(asked["sort"], SORTS["new"])[1])
    number, last = visit.page_number(), max(1, -(-len(found) // PER_PAGE))
    if number > last:
        raise Problem(404, "There is no such page of the list.")
    site.note_seen("desk tickets")
    shown = found[(number - 1) * PER_PAGE : number * PER_PAGE]
    for ticket in shown:
        site.note_seen(f"desk ticket {ticket.number}")
    rows = [_row(site, ticket) for ticket in shown]
    headers = ("Ticket", "Subject", "Requester", "Kind", "Priority", "State", "Assignee", "Opened")
    content = [
        h1("Tickets"),
        _filter_form(site, asked),
        p(f"{len(found)} tickets", class_="dim"),
        grid("Tickets that fit", headers, rows) if rows else p("Nothing fits."),
        pager(number, last, lambda page: path("tickets", **asked, page=page)),
    ]
    return site.page(visit, "Tickets", content)


def name_of(site: WorldSite, handle: str) -> str:
    return site.world.people.everybody[handle].name if handle else "Nobody"


def _row(site: WorldSite, ticket: Ticket) -> tuple[object, ...]:
    return (
        a(f"#{ticket.number}", href=path("ticket", str(ticket.number))),
        ticket.subject,
        name_of(site, ticket.requester),
        ticket.kind,
        ticket.priority,
        ticket.state,
        name_of(site, ticket.assignee),
        minute(ticket.opened),
    )


def _passes(site: WorldSite, ticket: Ticket, asked: Mapping[str, str], words: list[str]) -> bool:
    return (
        asked["state"] in ("", ticket.state)
        and asked["priority"] in ("", ticket.priority)
        and asked["assignee"] in ("", ticket.assignee or NOBODY)
        and asked["kind"] in ("", ticket.kind)
        and says(f"#{ticket.number} {ticket.subject} {name_of(site, ticket.requester)} {ticket.order}", words)
    )


def _agents(site: WorldSite) -> list[tuple[str, str]]:
    return [(agent.handle, agent.name) for agent in site.world.people.agents]


def _filter_form(site: WorldSite, asked: Mapping[str, str]) -> Html:
    def same(values: tuple[str, ...]) -> list[tuple[str, str]]:
        return [("", "Any"), *((value, value) for value in values)]

    return get(
        "/tickets",
        choice("State", "state", same(STATES), asked["state"]),
        choice("Priority", "priority", same(PRIORITIES), asked["priority"]),
        choice("Assignee", "assignee", [("", "Any"), (NOBODY, "Nobody"), *_agents(site)], asked["assignee"]),
        choice("Kind", "kind", same(KINDS), asked["kind"]),
        field("Words in subject, requester or order", "q", asked["q"]),
        choice("Sort by", "sort", [(key, said) for key, (said, _) in SORTS.items()], asked["sort"]),
        submit("Apply"),
    )


def _find(site: WorldSite, visit: Visit, number: str) -> Ticket:
    """Raises: Problem, LoginNeeded."""
    visit.need_login()
    ticket = next((each for each in site.world.desk.tickets.values() if str(each.number) == number), None)
    if ticket is None:
        raise Problem(404, "There is no such ticket.")
    return ticket


@router.get("/ticket/<number>")
def show_ticket(site: WorldSite, visit: Visit, number: str) -> Response:
    ticket = _find(site, visit, number)
    site.note_seen(f"desk ticket {number}")
    order = a(ticket.order, href=path("order", ticket.order)) if ticket.order else "None"
    content = [
        h1(f"Ticket #{ticket.number}: {ticket.subject}"),
        notice(DONE.get(visit.query.get("done", ""), "")),
        _merged_note(ticket),
        facts(
            "Ticket",
            [
                ("Requester", name_of(site, ticket.requester)),
                ("Opened", minute(ticket.opened)),
                ("Kind", ticket.kind),
                ("State", ticket.state),
                ("Priority", ticket.priority),
                ("Assignee", name_of(site, ticket.assignee)),
                ("Order", order),
            ],
        ),
        h2("Comments"),
        [_comment(each) for each in ticket.comments],
        None if ticket.merged_into else _tools(site, ticket),
    ]
    return site.page(visit, f"Ticket #{ticket.number}", content)


def _merged_note(ticket: Ticket) -> Html | None:
    if ticket.merged_into is None:
        return None
    into = str(ticket.merged_into)
    return p("This ticket was merged into ", a(f"#{into}", href=path("ticket", into)), ".", class_="notice")


def _comment(each: Comment) -> Html:
    kind = "internal note" if each.internal else "public"
    return article(header(p(f"{each.author}, {minute(each.time)}, {kind}")), p(each.text), class_="post")


def _tools(site: WorldSite, ticket: Ticket) -> list[Html]:
    base = ("ticket", str(ticket.number))

    def same(values: tuple[str, ...]) -> list[tuple[str, str]]:
        return [(value, value) for value in values]

    return [
        h2("Change"),
        post(
            path(*base, "update"),
            choice("State", "state", same(STATES), ticket.state),
            choice("Priority", "priority", same(PRIORITIES), ticket.priority),
            choice("Assignee", "assignee", [("", "Nobody"), *_agents(site)], ticket.assignee),
            submit("Update ticket"),
        ),
        h2("Comment"),
        post(
            path(*base, "comment"),
            area("Comment", "text"),
            radios("Who sees it", "who", [("public", "The requester too"), ("internal", "Only agents")], "public"),
            submit("Add comment"),
        ),
        h2("Merge"),
        post(path(*base, "merge"), field("Number of the ticket to merge into", "into"), submit("Merge ticket")),
    ]


def _workable(site: WorldSite, visit: Visit, number: str) -> Ticket:
    """Raises: Problem, LoginNeeded."""
    ticket = _find(site, visit, number)
    if ticket.merged_into is not None:
        raise Problem(409, "A ticket that was merged cannot be changed.")
    return ticket


@router.post("/ticket/<number>/update")
def update(site: WorldSite, visit: Visit, number: str) -> Response:
    ticket = _workable(site, visit, number)
    state, priority, assignee = visit.whole_form("state", "priority", "assignee")
    known = {"", *(handle for handle, _ in _agents(site))}
    if state not in STATES or priority not in PRIORITIES or assignee not in known:
        raise Problem(400, "There is no such state, priority or assignee.")
    ticket.state, ticket.priority, ticket.assignee = state, priority, assignee
    return Response.redirect(path("ticket", number, done="updated"))


@router.post("/ticket/<number>/comment")
def comment(site: WorldSite, visit: Visit, number: str) -> Response:
    ticket = _workable(site, visit, number)
    text, who = visit.whole_form("text", "who")
    if not text or len(text) > MAX_TEXT or who not in ("public", "internal"):
        raise Problem(400, f"A comment has from 1 to {MAX_TEXT} characters.")
    author, time = visit.need_login(), site.world.clock.next()
    ticket.comments.append(Comment(author.name, time, text, who == "internal"))
    if who == "public":
        to = site.world.people.everybody[ticket.requester].email
        deliver(site.world, DESK, to, f"Re: {ticket.subject}", text, time)
    return Response.redirect(path("ticket", number, done="commented"))


@router.post("/ticket/<number>/merge")
def merge(site: WorldSite, visit: Visit, number: str) -> Response:
    ticket = _workable(site, visit, number)
    (into,) = visit.whole_form("into")
    target = _workable(site, visit, into.removeprefix("#"))
    if target is ticket:
        raise Problem(400, "A ticket cannot be merged into itself.")
    person = visit.need_login()
    target.comments.append(Comment(person.name, site.world.clock.next(), merge_note(ticket.number), True))
    ticket.state, ticket.merged_into = CLOSED, target.number
    return Response.redirect(path("ticket", str(target.number), done="merged"))


router.include(orders.router)
add_login(router, lambda person: AGENT in person.roles)
