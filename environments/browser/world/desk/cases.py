"""The tickets that wait when the story begins."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from environments.browser.world.clock import days_ago, moment_on
from environments.browser.world.desk.data import CLOSED, OPEN, PENDING, PRIORITIES, SOLVED, Comment, DeskData, Ticket
from environments.browser.world.people import People, Person
from environments.browser.world.shop.data import CANCELLED, DELIVERED, Order, ShopData

TICKETS, DOUBLES = 36, 4
FIRST = 7_001
ABOUT_ORDERS = (
    ("Delivery", "Where is order {0}?", "My order {0} should have been here days ago. Where is it?"),
    ("Delivery", "Parcel of {0} left in the rain", "The parcel of order {0} was left outside and is soaked."),
    ("Refund", "Money back for {0}", "I have cancelled order {0}. When do I get my money back?"),
    ("Complaint", "Wrong colour in {0}", "Order {0} came in the wrong colour."),
    ("Complaint", "Scratched goods, order {0}", "What you sent with order {0} has scratches all over."),
)
OTHERS = (
    ("Product question", "Is there a spare lid?", "Do you sell the lid of a kettle by itself?"),
    ("Product question", "Guarantee", "How long is the guarantee on your lamps?"),
    ("Account", "Cannot log in", "I have forgotten my password and the mail does not come."),
    ("Account", "Change of name", "I have married. How do I change the name of my account?"),
    ("Product question", "Which tent for snow?", "Which of your tents would you take into the snow?"),
)
ANSWERS = (
    "Thank you for writing. We look into it.",
    "I have asked the warehouse.",
    "The carrier says tomorrow.",
    "Could you send us a picture?",
)


def open_cases(rng: random.Random, people: People, shop: ShopData) -> DeskData:
    """Numbers rise with the time. Some are about an order that another open ticket is about too."""
    desk = DeskData({})
    orders = [order for order in shop.orders.values() if order.customer != people.you.handle]
    free = list(orders)
    ages = sorted(rng.sample(range(30, 60_000), TICKETS), reverse=True)
    for number, age in enumerate(ages, FIRST):
        ticket = _ticket(rng, number, moment_on(days_ago(0), 540) - timedelta(minutes=age), people, free)
        desk.tickets[number] = ticket
    for number in range(FIRST + TICKETS, FIRST + TICKETS + DOUBLES):
        _double(rng, desk, number)
    for order in orders:
        if order.state == CANCELLED and rng.random() < 0.4:
            order.refunded_cents = order.total_cents
    return desk


def _ticket(rng: random.Random, number: int, opened: datetime, people: People, free: list[Order]) -> Ticket:
    """What somebody asks about an order fits its state; `free` are those that nobody has asked about yet."""
    order: Order | None = None
    if free and rng.random() < 0.6:
        kind, subject, text = rng.choice(ABOUT_ORDERS)
        wanted = {"Refund": CANCELLED, "Complaint": DELIVERED}.get(kind)
        order = rng.choice([each for each in free if wanted in (None, each.state)] or free)
        free.remove(order)
        subject, text = subject.format(order.number), text.format(order.number)
        requester = order.customer
    else:
        kind, subject, text = rng.choice(OTHERS)
        requester = rng.choice(people.members).handle
    return Ticket(
        number=number,
        subject=subject,
        requester=requester,
        kind=kind,
        priority=rng.choice(PRIORITIES),
        state=rng.choice((OPEN, OPEN, OPEN, PENDING, PENDING, SOLVED, CLOSED)),
        assignee=rng.choice(["", *(agent.handle for agent in people.agents)]),
        opened=opened,
        comments=_comments(rng, people.everybody[requester], people.agents, opened, text),
        order=order.number if order else "",
    )


def _comments(
    rng: random.Random, requester: Person, agents: tuple[Person, ...], opened: datetime, text: str
) -> list[Comment]:
    comments = [Comment(requester.name, opened, text)]
    for answer in rng.sample(ANSWERS, rng.choice((0, 0, 1, 1, 2))):
        opened += timedelta(minutes=rng.randint(3, 25))
        comments.append(Comment(rng.choice(agents).name, opened, answer, rng.random() < 0.3))
    return comments


def _double(rng: random.Random, desk: DeskData, number: int) -> None:
    """Somebody asks again about the same order, a while later."""
    asked = [ticket for ticket in desk.tickets.values() if ticket.order and ticket.state in (OPEN, PENDING)]
    known = [ticket.order for ticket in desk.tickets.values()]
    singles = [ticket for ticket in asked if known.count(ticket.order) == 1]
    if not singles:
        return
    first = rng.choice(singles)
    opened = moment_on(days_ago(0), 540) - timedelta(minutes=29 - (number - FIRST - TICKETS))
    subject = rng.choice(
        (f"Again: {first.subject}", f"Order {first.order}, second attempt", f"Still waiting, {first.order}")
    )
    comment = Comment(first.comments[0].author, opened, f"Nobody has answered. It is about order {first.order}.")
    desk.tickets[number] = Ticket(
        number, subject, first.requester, first.kind, rng.choice(PRIORITIES), OPEN, "", opened, [comment], first.order
    )
