"""Orders that were placed before the story begins."""

from __future__ import annotations

import random
from datetime import timedelta

from environments.browser.world.clock import days_ago, moment_on
from environments.browser.world.lore import TOWNS
from environments.browser.world.people import Person
from environments.browser.world.shop.data import (
    CANCELLED,
    DELIVERED,
    PROCESSING,
    SHIPPED,
    SHIPPINGS,
    Address,
    Line,
    Order,
    ShopData,
)

STREETS = "Canal Street,Mill Lane,Harbour Road,Orchard Way,Station Street,Quarry Hill,Elm Court,Chapel Row".split(",")
YOURS, OTHERS = 11, 36
"""Before the last few, of which half are yours."""
FIRST_NUMBER = 48_210
RECENT = (24, 19, 15, 11, 8, 6, 5, 4, 3, 3, 2, 1)
"""Days since the last orders: some have just been delivered, others are still on their way."""


def make_addresses(rng: random.Random, person: Person, labels: tuple[str, ...]) -> list[Address]:
    """No two in the same street or town."""
    streets, towns = rng.sample(STREETS, len(labels)), rng.sample(TOWNS, len(labels))
    return [
        Address(label, person.name, f"{street} {rng.randint(1, 140)}", str(rng.randint(10_000, 99_999)), town)
        for label, street, town in zip(labels, streets, towns, strict=True)
    ]


def add_orders(rng: random.Random, shop: ShopData, you: Person, others: tuple[Person, ...]) -> None:
    """Numbers rise with the days. The states fit how old an order is."""
    before = _shuffled(rng, you, YOURS, others, OTHERS)
    customers = [*before, *_shuffled(rng, you, len(RECENT) // 2, others, len(RECENT) // 2)]
    ages = sorted(rng.sample(range(RECENT[0] + 1, 430), len(before)), reverse=True)
    number = FIRST_NUMBER
    for age, customer in zip((*ages, *RECENT), customers, strict=True):
        number += rng.randint(1, 19)
        order = _order(rng, shop, customer, f"S-{number}", age)
        shop.orders[order.number] = order
    shop.last_order = number


def _shuffled(rng: random.Random, you: Person, yours: int, others: tuple[Person, ...], theirs: int) -> list[Person]:
    customers = [you] * yours + [rng.choice(others) for _ in range(theirs)]
    rng.shuffle(customers)
    return customers


def _order(rng: random.Random, shop: ShopData, customer: Person, number: str, age: int) -> Order:
    count = rng.choice((1, 1, 2, 2, 3))
    lines = tuple(
        Line(product.slug, product.title, rng.choice((1, 1, 1, 2, 3)), product.price_cents)
        for product in rng.sample(list(shop.products.values()), count)
    )
    shipping = rng.choice(list(SHIPPINGS.values()))
    placed = moment_on(days_ago(age), rng.randint(400, 1300))
    state = _state(rng, age)
    return Order(
        number=number,
        customer=customer.handle,
        placed=placed,
        lines=lines,
        address=rng.choice(shop.addresses[customer.handle]),
        shipping=shipping.key,
        shipping_cents=shipping.price(sum(line.quantity * line.price_cents for line in lines)),
        state=state,
        delivered=min(placed.date() + timedelta(days=rng.randint(2, 5)), days_ago(1)) if state == DELIVERED else None,
    )


def _state(rng: random.Random, age: int) -> str:
    if age <= 3:
        return PROCESSING
    if age <= 8:
        return rng.choice((PROCESSING, SHIPPED))
    return rng.choice((DELIVERED, DELIVERED, DELIVERED, DELIVERED, CANCELLED))
