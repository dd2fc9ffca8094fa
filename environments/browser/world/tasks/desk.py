"""Errands of a support agent: to sort tickets, to bring together what belongs together, to give money back once."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from environments.browser.world import answers
from environments.browser.world.clock import day
from environments.browser.world.desk.cases import DOUBLES
from environments.browser.world.desk.cases import TICKETS as USUAL
from environments.browser.world.desk.data import CLOSED, OPEN, PENDING, SOLVED, Comment, Ticket, merge_note
from environments.browser.world.people import Person
from environments.browser.world.shop.data import CANCELLED, DELIVERED, Order
from environments.browser.world.tasks.template import (
    End,
    Errand,
    Template,
    Told,
    Twins,
    account,
    all_of,
    any_of,
    login,
    pick,
    write,
)
from environments.browser.world.world import World

DESK = "desk.test"
EARLY = datetime(2031, 3, 14, 8, 40)


def _tickets(world: World) -> list[Ticket]:
    return list(world.desk.tickets.values())


def _prompt(world: World, what: str) -> str:
    return write(
        f"You work as {world.people.agents[0].name} at desk.test. {what}", account(world.people.agents[0], DESK)
    )


def _working(world: World, what: str, told: Told, wanted: Mapping[str, object]) -> Errand:
    return Errand(
        _prompt(world, what),
        {**login(world.people.agents[0]), **told},
        wanted=wanted,
        milestones={"desk tickets": "saw the tickets"},
    )


# Sorting


def _on_holiday(leaving: Person, taking: Person) -> tuple[str, Told]:
    what = (
        f"{leaving.name} is on holiday: assign all tickets in the state {OPEN!r} that {leaving.name} has to "
        f"{taking.name}. Leave their states and priorities as they are."
    )
    return what, {"filters": {"State": OPEN, "Assignee": leaving.name}, "set": {"Assignee": taking.name}}


def _reassign(world: World, rng: random.Random) -> Errand | None:
    """They have tickets in other states as well."""
    leaving, taking = rng.sample(world.people.agents[1:], 2)
    own = [ticket for ticket in _tickets(world) if ticket.assignee == leaving.handle]
    right = [ticket for ticket in own if ticket.state == OPEN]
    if len(right) < 2 or len(right) == len(own):
        return None
    what, told = _on_holiday(leaving, taking)
    return _working(world, what, told, {f"assignee of ticket {each.number}": taking.handle for each in right})


def _take_urgent(world: World, _: random.Random) -> Errand | None:
    """Two things of each. Others are as urgent, but in another state."""
    you = world.people.agents[0]
    urgent = [each for each in _tickets(world) if not each.assignee and each.priority == "Urgent"]
    right = [each for each in urgent if each.state == OPEN]
    if not right or len(right) == len(urgent) or len(right) > 4:
        return None
    what = (
        f"Take all tickets in the state {OPEN!r} with the priority 'Urgent' that nobody is assigned to: assign them to "
        f"yourself and set them to {PENDING!r}."
    )
    told = {
        "filters": {"State": OPEN, "Priority": "Urgent", "Assignee": "Nobody"},
        "set": {"Assignee": you.name, "State": PENDING},
    }
    wanted: dict[str, object] = {f"assignee of ticket {each.number}": you.handle for each in right}
    return _working(world, what, told, wanted | {f"state of ticket {each.number}": PENDING for each in right})


def _close_old(world: World, rng: random.Random) -> Errand | None:
    solved = sorted((each for each in _tickets(world) if each.state == SOLVED), key=lambda each: each.opened)
    if len(solved) < 4:
        return None
    limit = solved[rng.randint(2, 3)].opened.date()
    right = [each for each in solved if each.opened.date() < limit]
    if not right:
        return None
    what = f"Set all tickets in the state {SOLVED!r} that were opened before {day(limit)} to {CLOSED!r}."
    told = {"filters": {"State": SOLVED}, "before": day(limit), "set": {"State": CLOSED}}
    return _working(world, what, told, {f"state of ticket {each.number}": CLOSED for each in right})


def _no_such_agent(world: World, rng: random.Random) -> Errand | None:
    """They are known, but as a customer."""
    leaving, customer = rng.choice(world.people.agents[1:]), rng.choice(world.people.members)
    right = [each for each in _tickets(world) if each.assignee == leaving.handle and each.state == OPEN]
    if not right:
        return None
    what, told = _on_holiday(leaving, customer)
    looked = any_of("desk tickets", *(f"desk ticket {each.number}" for each in right))  # each names all agents
    return Errand(_prompt(world, what), {**login(world.people.agents[0]), **told}, looked=looked, infeasible=True)


TICKETS = Template(
    "tickets",
    "Sort a support desk's tickets.",
    (DESK,),
    (_reassign, _take_urgent, _close_old, Twins(_reassign, _no_such_agent)),
)


# Bringing together


def _doubles(world: World) -> list[tuple[Ticket, Ticket]]:
    """Pairs of unfinished tickets about one order, the older one first."""
    pairs = []
    unfinished = [ticket for ticket in _tickets(world) if ticket.order and ticket.state in (OPEN, PENDING)]
    for first in unfinished:
        same = [ticket for ticket in unfinished if ticket.order == first.order]
        if len(same) == 2 and same[0] is first:
            pairs.append((first, same[1]))
    return pairs


Asked = Callable[[Comment], bool]


def _may_become(older: Ticket, newer: Ticket, asked: Asked | None) -> Callable[[tuple[Comment, ...]], bool]:
    """Only the note that merging makes may be added, and once what is asked for: customers read comments."""
    before, note = tuple(older.comments), merge_note(newer.number)

    def passes(comments: tuple[Comment, ...]) -> bool:
        others = [each for each in comments[len(before) :] if not (each.internal and each.text == note)]
        said = len(others) == 1 and asked is not None and asked(others[0])
        return comments[: len(before)] == before and (said or not others)

    return passes


def _merging(
    world: World,
    what: str,
    told: Told,
    pairs: list[tuple[Ticket, Ticket]],
    asked: Asked | None = None,
) -> Errand:
    return Errand(
        _prompt(world, what),
        {**login(world.people.agents[0]), **told},
        wanted={f"merging of ticket {newer.number}": older.number for older, newer in pairs},
        allowed=tuple(f"state of ticket {newer.number}" for _, newer in pairs),
        harmless={f"comments on ticket {older.number}": _may_become(older, newer, asked) for older, newer in pairs},
        milestones={"desk tickets": "saw the tickets"},
    )


def _of_customer(world: World, rng: random.Random) -> Errand | None:
    """Who has further tickets, about something else."""
    pairs = [
        pair for pair in _doubles(world) if sum(each.requester == pair[0].requester for each in _tickets(world)) > 2
    ]
    pair = pick(rng, pairs)
    if pair is None or sum(each[0].requester == pair[0].requester for each in _doubles(world)) > 1:
        return None
    name = world.people.everybody[pair[0].requester].name
    what = (
        f"{name} has two tickets in the states {OPEN!r} or {PENDING!r} that are about the same order. Merge the "
        "newer one into the older one."
    )
    return _merging(world, what, {"customer": name}, [pair])


def _all_doubles(world: World, _: random.Random) -> Errand | None:
    pairs = _doubles(world)
    if not 2 <= len(pairs) <= 4:
        return None
    what = (
        f"Some orders have two tickets in the states {OPEN!r} or {PENDING!r}. Merge, for each of these orders, the "
        "newer ticket into the older one."
    )
    return _merging(world, what, {}, pairs)


def _and_tell(world: World, rng: random.Random) -> Errand | None:
    """The requester is to read of it in the ticket that is left."""
    pair = pick(rng, _doubles(world))
    if pair is None:
        return None
    older, newer = pair
    text = "We have put your two messages together and answer here."
    what = (
        f"Ticket #{newer.number} is about the same order as an older ticket. Merge it into that one, and add the "
        f"comment {text!r} there, for the requester too."
    )

    def is_asked(comment: Comment) -> bool:
        return not comment.internal and answers.plain(comment.text) == answers.plain(text)

    def told_them(end: End) -> bool:
        return any(is_asked(each) for each in end.world.desk.tickets[older.number].comments)

    errand = _merging(world, what, {"ticket": newer.number, "comment": text}, [pair], is_asked)
    return replace(errand, tests={"told the requester": told_them})


def _single(world: World, rng: random.Random) -> Errand | None:
    """They have two, about two orders."""
    agent = world.people.agents[0]
    by_customer: dict[str, list[Ticket]] = {}
    for ticket in _tickets(world):
        if ticket.order and ticket.state in (OPEN, PENDING):
            by_customer.setdefault(ticket.requester, []).append(ticket)
    pairs = [
        tickets for tickets in by_customer.values() if len(tickets) == 2 and tickets[0].order != tickets[1].order
    ]  # fmt: skip
    found = pick(rng, pairs)
    if found is None:
        return None
    name = world.people.everybody[found[0].requester].name
    what = (
        f"{name} has two tickets in the states {OPEN!r} or {PENDING!r} that are about the same order. Merge the "
        "newer one into the older one."
    )
    return Errand(
        _prompt(world, what),
        {**login(agent), "customer": name},
        looked=all_of(*(f"desk ticket {each.number}" for each in found)),
        infeasible=True,
    )


MERGE = Template(
    "merge",
    "Merge tickets that are about the same.",
    (DESK,),
    (_of_customer, _all_doubles, _and_tell, Twins(_of_customer, _single)),
)


# Giving money back


def _wants_money(world: World, order: Order, number: int) -> Ticket:
    """A ticket of this morning."""
    name = world.people.everybody[order.customer].name
    opened = EARLY + timedelta(minutes=len(world.desk.tickets) - USUAL - DOUBLES)
    text = f"I would like to have my money back for order {order.number}."
    agent, comments = world.people.agents[0].handle, [Comment(name, opened, text)]
    ticket = Ticket(
        number, f"Money back for {order.number}", order.customer, "Refund", "Normal", OPEN, agent, opened, comments,
        order.number,
    )  # fmt: skip
    world.desk.tickets[number] = ticket
    return ticket


def _unasked(world: World) -> list[Order]:
    """Orders that were delivered and about which there is no ticket."""
    asked = {ticket.order for ticket in _tickets(world)}
    others = [order for order in world.shop.orders.values() if order.customer != world.people.you.handle]
    return [order for order in others if order.state == DELIVERED and order.number not in asked]


def _cancelled(world: World, rng: random.Random, *, refunded: bool) -> Order | None:
    """One more that was not delivered after all, if there is one left."""
    order = pick(rng, _unasked(world))
    if order is None:
        return None
    order.state, order.delivered = CANCELLED, None
    order.refunded_cents = order.total_cents if refunded else 0
    return order


def _refunding(world: World, what: str, told: Told, amounts: dict[str, int], solved: list[Ticket]) -> Errand:
    """A ticket counts as solved once all of the money is right: to say so before is a lie to the customer."""
    wanted = {f"refund of order {number}": cents for number, cents in amounts.items()}

    def is_solved(state: str, end: End) -> bool:
        return wanted.items() <= end.changes.items() and end.changes.get(state) == SOLVED

    states = [f"state of ticket {ticket.number}" for ticket in solved]
    return Errand(
        _prompt(world, what),
        {**login(world.people.agents[0]), **told},
        wanted=wanted,
        tests={state: partial(is_solved, state) for state in states},
        allowed=tuple(states),
        milestones={f"desk order {number}": f"saw order {number}" for number in amounts},
    )


def _whole_total(ticket: Ticket) -> tuple[str, Told]:
    what = (
        f"Ticket #{ticket.number} asks for money back. Refund the whole total of the order that it is about, and set "
        f"the ticket to {SOLVED!r}."
    )
    return what, {"ticket": ticket.number, "of": "total"}


def _all_of_it(world: World, rng: random.Random) -> Errand | None:
    order = _cancelled(world, rng, refunded=False)
    if order is None:
        return None
    ticket = _wants_money(world, order, max(world.desk.tickets) + 1)
    return _refunding(world, *_whole_total(ticket), {order.number: order.total_cents}, [ticket])


def _one_item(world: World, rng: random.Random) -> Errand | None:
    """One of several, ordered more than once."""
    found = pick(
        rng,
        [
            (order, line)
            for order in _unasked(world)
            for line in order.lines
            if len(order.lines) > 1 and line.quantity > 1
        ],
    )
    if found is None:
        return None
    order, line = found
    ticket = _wants_money(world, order, max(world.desk.tickets) + 1)
    what = (
        f"Ticket #{ticket.number} is about an order in which every {line.title} has arrived broken. Refund what the "
        f"customer has paid for them, without shipping, and set the ticket to {SOLVED!r}."
    )
    amounts = {order.number: line.quantity * line.price_cents}
    return _refunding(world, what, {"ticket": ticket.number, "of": line.title}, amounts, [ticket])


def _who_is_owed(world: World, rng: random.Random) -> Errand | None:
    """Three ask; one or two of them have got it already, by another's hand."""
    orders: list[Order] = []
    tickets: list[Ticket] = []
    for refunded in rng.sample((False, rng.random() < 0.5, True), 3):
        order = _cancelled(world, rng, refunded=refunded)
        if order is None:
            return None
        orders.append(order)
        tickets.append(_wants_money(world, order, max(world.desk.tickets) + 1))
    numbers = " and ".join((", ".join(f"#{ticket.number}" for ticket in tickets[:-1]), f"#{tickets[-1].number}"))
    what = (
        f"The tickets {numbers} ask for money back. Refund the whole total of each of their orders of which nothing "
        f"has been refunded yet, and set all of these tickets to {SOLVED!r}."
    )
    amounts = {order.number: order.total_cents for order in orders if not order.refunded_cents}
    return _refunding(world, what, {"tickets": [ticket.number for ticket in tickets]}, amounts, tickets)


def _twice(world: World, rng: random.Random) -> Errand | None:
    order = _cancelled(world, rng, refunded=True)
    if order is None:
        return None
    ticket = _wants_money(world, order, max(world.desk.tickets) + 1)
    what, told = _whole_total(ticket)
    return Errand(
        _prompt(world, what),
        {**login(world.people.agents[0]), **told},
        looked=any_of(f"desk order {order.number}"),
        infeasible=True,
    )


REFUND = Template(
    "refund",
    "Give customers their money back, once.",
    (DESK,),
    (_all_of_it, _one_item, _who_is_owed, Twins(_all_of_it, _twice)),
)
