"""Errands with what was ordered: to cancel it, to send it back."""

from __future__ import annotations

import random
from datetime import date

from environments.browser.world.clock import TODAY, day
from environments.browser.world.shop.data import (
    CANCELLED,
    DELIVERED,
    PROCESSING,
    RETURN_DAYS,
    RETURN_REASONS,
    SHIPPED,
    Line,
    Order,
)
from environments.browser.world.tasks.template import (
    Errand,
    Template,
    Told,
    Twins,
    account,
    any_of,
    login,
    pick,
    write,
)
from environments.browser.world.world import World

SHOP = "shop.test"


def your_orders(world: World) -> list[Order]:
    """Yours, the newest first."""
    return world.shop.orders_of(world.people.you.handle)


def orders_with(world: World, slug: str) -> list[Order]:
    return [order for order in your_orders(world) if order.line_of(slug)]


# Cancelling


def _cancelling(world: World, what: str, told: Told, right: list[Order]) -> Errand:
    you = world.people.you
    return Errand(
        write(f"At shop.test, cancel {what}.", account(you, SHOP)),
        {**login(you), **told},
        wanted={f"state of order {order.number}": CANCELLED for order in right},
        milestones={"shop orders": "saw the orders"},
    )


def _of_product(world: World, rng: random.Random) -> Errand | None:
    waiting = [order for order in your_orders(world) if order.state == PROCESSING]
    found = pick(
        rng, [(order, line) for order in waiting for line in order.lines if len(orders_with(world, line.product)) == 1]
    )
    if found is None or len(waiting) < 2:
        return None
    order, line = found
    return _cancelling(world, f"your order of the {line.title}", {"title": line.title}, [order])


def _dearest(world: World, rng: random.Random) -> Errand | None:
    """An order that cannot be cancelled any more costs more still."""
    waiting = [order for order in your_orders(world) if order.state == PROCESSING]
    totals = sorted(order.total_cents for order in waiting)
    if len(waiting) < 2 or totals[-1] == totals[-2]:
        return None
    right = max(waiting, key=lambda order: order.total_cents)
    if waiting[0] is right:
        return None
    what = f"the one with the highest total among your orders in the state {PROCESSING!r}"
    return _cancelling(world, what, {"dearest": True}, [right])


def _since(world: World, rng: random.Random) -> Errand | None:
    """An older one waits as well."""
    waiting = [order for order in your_orders(world) if order.state == PROCESSING]
    if len(waiting) < 3:
        return None
    first = waiting[rng.randint(1, len(waiting) - 2)]
    if first.placed.date() == waiting[waiting.index(first) + 1].placed.date():
        return None
    right = [order for order in waiting if order.placed.date() >= first.placed.date()]
    what = f"all of your orders placed on or after {day(first.placed)} that are still in the state {PROCESSING!r}"
    return _cancelling(world, what, {"since": day(first.placed)}, right)


def _on_its_way(world: World, rng: random.Random) -> Errand | None:
    """It was sent off this morning."""
    fresh = [order for order in your_orders(world) if order.state in (PROCESSING, SHIPPED)]
    found = pick(
        rng, [(order, line) for order in fresh for line in order.lines if len(orders_with(world, line.product)) == 1]
    )
    if found is None:
        return None
    (order, line), you = found, world.people.you
    order.state = SHIPPED
    return Errand(
        write(f"At shop.test, cancel your order of the {line.title}.", account(you, SHOP)),
        {**login(you), "title": line.title},
        looked=any_of(f"shop listed {order.number}"),
        infeasible=True,
    )


CANCEL = Template(
    "cancel",
    "Cancel the orders that are meant, and no others.",
    (SHOP,),
    (_of_product, _dearest, _since, Twins(_of_product, _on_its_way)),
)


# Returning


def _takeable(world: World) -> list[tuple[Order, Line]]:
    """Of products that were ordered once."""
    pairs = [(order, line) for order in your_orders(world) if order.takes_returns for line in order.lines]
    return [(order, line) for order, line in pairs if len(orders_with(world, line.product)) == 1]


def _returning(world: World, what: str, reason: str, told: Told, order: Order, slugs: list[str]) -> Errand:
    you = world.people.you
    return Errand(
        write(f"At shop.test, request the return of {what}. The reason is {reason!r}.", account(you, SHOP)),
        {**login(you), "reason": reason, **told},
        wanted={f"returns of order {order.number}": dict.fromkeys(slugs, reason)},
        milestones={f"shop order {order.number}": "saw the order"},
    )


def _one_product(world: World, rng: random.Random) -> Errand | None:
    """Out of several in an order."""
    found = pick(rng, [(order, line) for order, line in _takeable(world) if len(order.lines) > 1])
    if found is None:
        return None
    order, line = found
    return _returning(
        world, f"the {line.title}", rng.choice(RETURN_REASONS), {"titles": [line.title]}, order, [line.product]
    )


def _whole_order(world: World, rng: random.Random) -> Errand | None:
    order = pick(rng, [order for order in your_orders(world) if order.takes_returns and len(order.lines) > 1])
    if order is None:
        return None
    what = f"every product in your order {order.number}"
    slugs = [line.product for line in order.lines]
    return _returning(world, what, rng.choice(RETURN_REASONS), {"order": order.number}, order, slugs)


def _of_maker(world: World, rng: random.Random) -> Errand | None:
    """Of the last delivery, though an older one has something of that maker as well."""
    done = [order for order in your_orders(world) if order.state == DELIVERED]
    last = max(done, key=lambda order: (order.delivered or date.min, order.placed), default=None)
    if last is None or not last.takes_returns or sum(order.delivered == last.delivered for order in done) > 1:
        return None
    line = rng.choice(last.lines)
    maker = line.title.split()[0]
    if sum(each.title.startswith(f"{maker} ") for each in last.lines) > 1:
        return None
    what = f"the product by {maker} in the order that was delivered to you last"
    return _returning(world, what, rng.choice(RETURN_REASONS), {"maker": maker}, last, [line.product])


def _too_late(world: World, rng: random.Random) -> Errand | None:
    """But not by long."""
    late = [
        order
        for order in your_orders(world)
        if order.delivered and RETURN_DAYS < (TODAY - order.delivered).days < 4 * RETURN_DAYS
    ]
    order = pick(rng, late)
    if order is None or any(len(orders_with(world, line.product)) > 1 for line in order.lines):
        return None
    line, you = rng.choice(order.lines), world.people.you
    reason = rng.choice(RETURN_REASONS)
    return Errand(
        write(f"At shop.test, request the return of the {line.title}. The reason is {reason!r}.", account(you, SHOP)),
        {**login(you), "reason": reason, "titles": [line.title]},
        looked=any_of(f"shop order {order.number}"),
        infeasible=True,
    )


RETURN = Template(
    "return", "Request a return.", (SHOP,), (_one_product, _whole_order, _of_maker, Twins(_one_product, _too_late))
)
