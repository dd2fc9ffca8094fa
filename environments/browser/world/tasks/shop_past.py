"""Errands with a look back over all orders: to add them up, to review what they brought."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from itertools import combinations

from environments.browser.world import answers
from environments.browser.world.clock import day
from environments.browser.world.lore import MAKERS
from environments.browser.world.shop.data import (
    CANCELLED,
    DELIVERED,
    Category,
    Line,
    Order,
    Review,
)
from environments.browser.world.tasks.shop_account import orders_with, your_orders
from environments.browser.world.tasks.template import (
    Errand,
    New,
    Template,
    Told,
    Twins,
    Ways,
    account,
    all_of,
    any_of,
    first_of,
    login,
    only,
    pick,
    write,
)
from environments.browser.world.world import World

SHOP = "shop.test"


# Adding up


def _adding(world: World, question: str, told: Told, value: Callable[[Order], int], how: str) -> Errand | None:
    """Of all orders what `value` says of each; who counts cancelled ones as well comes to something else."""
    counted = [order for order in your_orders(world) if value(order) and order.state != CANCELLED]
    right, wrong = sum(map(value, counted)), sum(map(value, your_orders(world)))
    if right == wrong or not right:
        return None
    you = world.people.you
    ways = {"amount": answers.amount, "whole": answers.whole}
    said = {"amount": "Answer with the amount alone, such as €12.34.", "whole": "Answer with the number alone."}
    decoy = f"{wrong // 100}.{wrong % 100:02}" if how == "amount" else str(wrong)
    return Errand(
        write(f"At shop.test, {question} Do not count cancelled orders. {said[how]}", account(you, SHOP)),
        {**login(you), **told},
        answer=ways[how](right),
        decoys=(decoy,),
        milestones={"shop orders": "saw the orders"},
        looked=_listed(counted),
    )


def _listed(orders: list[Order]) -> Ways:
    return all_of(*(f"shop listed {order.number}" for order in orders))


def _in_months(world: World, rng: random.Random) -> Errand | None:
    def make(begin: date) -> Errand | None:
        end = date(begin.year, begin.month + 2, 28)

        def total(order: Order) -> int:
            return order.total_cents if begin <= order.placed.date() <= end else 0

        question = (
            f"what is the sum of the totals, shipping included, of your orders placed from {day(begin)} to {day(end)} "
            "(both days included)?"
        )
        return _adding(world, question, {"begin": day(begin), "end": day(end)}, total, "amount")

    return first_of(rng, [date(2030, month, 1) for month in range(2, 11)], make)


def _on_category(world: World, rng: random.Random) -> Errand | None:
    def make(category: Category) -> Errand | None:
        def goods(order: Order) -> int:
            fitting = [line for line in order.lines if world.shop.products[line.product].category == category.slug]
            return sum(line.quantity * line.price_cents for line in fitting)

        question = f"how much have you spent on products of the category {category.title}, shipping not included?"
        return _adding(world, question, {"category": category.title}, goods, "amount")

    return first_of(rng, list(world.shop.categories.values()), make)


def _on_shipping(world: World, rng: random.Random) -> Errand | None:
    def make(begin: date) -> Errand | None:
        def shipping(order: Order) -> int:
            return order.shipping_cents if order.placed.date() >= begin else 0

        question = f"how much have you paid for shipping in total, for your orders placed on or after {day(begin)}?"
        return _adding(world, question, {"begin": day(begin)}, shipping, "amount")

    return first_of(rng, [date(2030, month, 1) for month in range(5, 13)], make)


def _pieces(world: World, rng: random.Random) -> Errand | None:
    def make(makers: tuple[str, ...]) -> Errand | None:
        def pieces(order: Order) -> int:
            return sum(line.quantity for line in order.lines if line.title.split()[0] in makers)

        named = f"{', '.join(makers[:-1])} and {makers[-1]}"
        question = f"how many pieces of products by {named} have you ordered in all your orders together?"
        return _adding(world, question, {"makers": list(makers)}, pieces, "whole")

    return first_of(rng, list(combinations(MAKERS, 3)), make)


SPENDING = Template(
    "spending",
    "Add something up over all orders of an account.",
    (SHOP,),
    (_in_months, _on_category, _on_shipping, _pieces),
)


# Reviewing

OPINIONS = (
    ("Keeps its promise", "After a month of daily use I have nothing to complain about."),
    ("Not what I hoped for", "It works, but the lid does not close properly."),
    ("Fine for the money", "There are better ones, but not at this price."),
    ("Too heavy for me", "Good quality, yet I leave it at home most days."),
)


def _reviewing(world: World, rng: random.Random, what: str, told: Told, slug: str) -> Errand:
    you, stars, (title, text) = world.people.you, rng.randint(1, 5), rng.choice(OPINIONS)
    prompt = write(
        f"At shop.test, publish a review of {what}: {stars} star{'s' * (stars > 1)}, with the title {title!r} and "
        f"the text {text!r}",
        account(you, SHOP),
    )
    deed = New(
        "review ",
        {
            "reviewed the right product": lambda review: review in world.shop.products[slug].reviews,
            "with the right stars": lambda review: review.stars == stars,
            "in the right words": lambda review: _says(review, title, text),
        },
    )
    told = {**login(you), "stars": stars, "title": title, "text": text, **told}
    return Errand(prompt, told, new=(deed,), milestones={f"shop product {slug}": "saw the product"})


def _says(review: Review, title: str, text: str) -> bool:
    return answers.plain(review.title) == answers.plain(title) and answers.plain(review.text) == answers.plain(text)


def _named(world: World, rng: random.Random) -> Errand | None:
    order = pick(rng, [order for order in your_orders(world) if order.state == DELIVERED])
    if order is None:
        return None
    line = rng.choice(order.lines)
    return _reviewing(world, rng, f"the {line.title}", {"product": line.title}, line.product)


def _dearest_of(world: World, rng: random.Random) -> Errand | None:
    order = pick(rng, [order for order in your_orders(world) if order.state == DELIVERED and len(order.lines) > 1])
    if order is None:
        return None
    line = max(order.lines, key=lambda line: line.price_cents)
    if line is order.lines[0]:
        return None
    what = f"the product with the highest price for a single piece in your order {order.number}"
    return _reviewing(world, rng, what, {"order": order.number}, line.product)


def _last_of_category(world: World, rng: random.Random) -> Errand | None:
    """Several of that kind were ordered, the last one in an order that stands."""

    def make(category: Category) -> Errand | None:
        orders = [order for order in your_orders(world) if _lines_of(world, order, category.slug)]
        if len(orders) < 2 or orders[0].state == CANCELLED:
            return None
        line = only(_lines_of(world, orders[0], category.slug))
        if line is None:
            return None
        what = f"the product of the category {category.title} that you have ordered last"
        return _reviewing(world, rng, what, {"category": category.title}, line.product)

    return first_of(rng, list(world.shop.categories.values()), make)


def _lines_of(world: World, order: Order, category: str) -> list[Line]:
    return [line for line in order.lines if world.shop.products[line.product].category == category]


def _never_bought(world: World, rng: random.Random) -> Errand | None:
    product = pick(rng, [each for each in world.shop.products.values() if not orders_with(world, each.slug)])
    if product is None:
        return None
    errand = _reviewing(world, rng, f"the {product.title}", {"product": product.title}, product.slug)
    looked = any_of(f"shop refused {product.slug}") + _listed(your_orders(world))
    return Errand(errand.prompt, errand.told, looked=looked, infeasible=True)


REVIEW = Template(
    "review",
    "Publish a review in given words.",
    (SHOP,),
    (_named, _dearest_of, _last_of_category, Twins(_named, _never_bought)),
)
