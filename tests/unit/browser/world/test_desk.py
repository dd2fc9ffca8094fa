"""The ticket desk: finding, changing, merging, refunding."""

from __future__ import annotations

import pytest

from environments.browser.world.desk.data import CLOSED, OPEN, PENDING
from environments.browser.world.money import euros
from environments.browser.world.people import Person
from environments.browser.world.shop.data import CANCELLED, PROCESSING
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HttpBrowser
from tests.unit.browser.world.walking import Click, Fill, Open, Select, do, log_in


@pytest.fixture
def at_desk(browser: HttpBrowser, world: World) -> HttpBrowser:
    return log_in(browser, "desk.test", world.people.agents[0])


def test_only_agents_get_in(browser: HttpBrowser, you: Person) -> None:
    page = do(browser, Open("http://desk.test/tickets"), Fill("User name", you.handle), Fill("Password", you.password))
    page = do(browser, Click("button", "Log in"))
    assert "wrong" in page.text
    assert do(browser, Open("http://desk.test/tickets")).url.startswith("http://desk.test/login")


def test_tickets_are_filtered_and_sorted(at_desk: HttpBrowser, world: World) -> None:
    agent = world.people.agents[1]
    do(at_desk, Open("http://desk.test/"), Select("State", OPEN), Select("Assignee", agent.name))
    page = do(at_desk, Select("Sort by", "Oldest first"), Click("button", "Apply"))
    tickets = world.desk.tickets.values()
    wanted = [each.number for each in tickets if each.state == OPEN and each.assignee == agent.handle]
    assert [row["Ticket"] for row in page.rows] == [f"#{number}" for number in sorted(wanted)]
    page = do(at_desk, Open("http://desk.test/tickets?sort=priority"))
    priorities = [row["Priority"] for row in page.rows]
    assert priorities == sorted(priorities, key=["Urgent", "High", "Normal", "Low"].index)


def test_a_ticket_is_changed_as_its_form_says(at_desk: HttpBrowser, world: World) -> None:
    ticket = next(each for each in world.desk.tickets.values() if each.state == OPEN)
    kept = ticket.priority
    agent = world.people.agents[2]
    do(
        at_desk,
        Open(f"http://desk.test/ticket/{ticket.number}"),
        Select("State", PENDING),
        Select("Assignee", agent.name),
    )
    page = do(at_desk, Click("button", "Update ticket"))
    assert (ticket.state, ticket.priority, ticket.assignee) == (PENDING, kept, agent.handle)
    assert page.facts["Assignee"] == agent.name


def test_only_a_public_comment_reaches_the_requester(at_desk: HttpBrowser, world: World) -> None:
    ticket = next(each for each in world.desk.tickets.values() if each.state == OPEN)
    base = Open(f"http://desk.test/ticket/{ticket.number}")
    do(at_desk, base, Fill("Comment", "Look at this"), Click("radio", "Only agents"), Click("button", "Add comment"))
    assert world.mail.in_folder(ticket.requester, "Inbox") == []
    do(at_desk, base, Fill("Comment", "It comes on Friday"), Click("button", "Add comment"))
    assert [each.text for each in world.mail.in_folder(ticket.requester, "Inbox")] == ["It comes on Friday"]
    assert [each.internal for each in ticket.comments[-2:]] == [True, False]


def test_a_merged_ticket_is_closed_for_good(at_desk: HttpBrowser, world: World) -> None:
    first, second = list(world.desk.tickets.values())[:2]
    page = do(at_desk, Open(f"http://desk.test/ticket/{second.number}"))
    page = do(at_desk, Fill("Number of the ticket to merge into", f"#{first.number}"), Click("button", "Merge ticket"))
    assert page.url.startswith(f"http://desk.test/ticket/{first.number}")
    assert (second.state, second.merged_into) == (CLOSED, first.number)
    page = do(at_desk, Open(f"http://desk.test/ticket/{second.number}"))
    assert not page.offers("button", "Update ticket")
    for path, body in (
        ("update", b"state=Open&priority=Low&assignee="),
        ("merge", b"into=7003"),
        ("comment", b"text=x&who=public"),
    ):
        at_desk.visit("POST", f"http://desk.test/ticket/{second.number}/{path}", body)
        assert at_desk.responses[-1].status == 409
    at_desk.visit("POST", f"http://desk.test/ticket/{first.number}/merge", f"into={first.number}".encode())
    assert first.merged_into is None


def test_a_refund_is_never_more_than_what_is_left(at_desk: HttpBrowser, world: World) -> None:
    order = next(each for each in world.shop.orders.values() if each.state == CANCELLED and not each.refunded_cents)
    do(at_desk, Open("http://desk.test/orders"), Fill("Order number", order.number), Click("button", "Find"))
    do(at_desk, Fill("Amount in euros", euros(order.total_cents + 1)), Click("button", "Refund"))
    assert at_desk.responses[-1].status == 400
    do(at_desk, Open(f"http://desk.test/order/{order.number}"), Fill("Amount in euros", euros(order.total_cents - 100)))
    assert do(at_desk, Click("button", "Refund")).facts["Refunded"] == euros(order.total_cents - 100)
    do(at_desk, Fill("Amount in euros", "1.01"), Click("button", "Refund"))
    assert order.refunded_cents == order.total_cents - 100
    assert len(world.desk.refunds) == 1
    waiting = next(each for each in world.shop.orders.values() if each.state == PROCESSING)
    at_desk.visit("POST", f"http://desk.test/order/{waiting.number}/refund", b"amount=1")
    assert (at_desk.responses[-1].status, waiting.refunded_cents) == (409, 0)
