"""Errands that begin with what somebody has written, at one site, and end at another."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from environments.browser.world import answers
from environments.browser.world.forum.talk import HOME
from environments.browser.world.lore import TOWNS
from environments.browser.world.people import Person
from environments.browser.world.shop.data import CANCELLED, SHIPPINGS, Address, Product
from environments.browser.world.shop.history import STREETS
from environments.browser.world.tasks.mail import letter
from environments.browser.world.tasks.shop_goods import ordered
from environments.browser.world.tasks.template import (
    Errand,
    New,
    Template,
    Told,
    Twins,
    account,
    all_of,
    login,
    pick,
    write,
)
from environments.browser.world.world import MISSED, World

MAIL, SHOP, FORUM = "mail.test", "shop.test", "forum.test"
SAME = "Your accounts at shop.test and forum.test have the same user name and password."


def _friend(world: World, rng: random.Random) -> tuple[Person, Address]:
    """And where they live."""
    person = rng.choice(world.people.members)
    street = f"{rng.choice(STREETS)} {rng.randint(1, 140)}"
    return person, Address("Another address", person.name, street, str(rng.randint(10_000, 99_999)), rng.choice(TOWNS))


def _stocked(world: World, rng: random.Random) -> Product:
    return rng.choice([product for product in world.shop.products.values() if product.stock >= 3])


def _wish(product: Product, quantity: int, address: Address) -> str:
    pieces = f"{quantity} piece{'s' * (quantity > 1)}"
    return (
        f"Could you order the {product.title} for me at shop.test? I need {pieces}. My address: {address.name}, "
        f"{address.street}, {address.postcode} {address.town}. I pay you back on Sunday."
    )


@dataclass(frozen=True)
class _Favour:
    """What a friend has written to ask for."""

    prompt: str
    told: Told
    order: New
    letter: str
    """The mark of who has read it."""
    milestones: dict[str, str]
    friend: Person
    harmless: dict[str, Callable[[Address], bool]]
    """To save where they live, as many a customer would."""


def _favour(world: World, rng: random.Random, product: Product, *more: str) -> _Favour:
    (person, address), quantity = _friend(world, rng), rng.randint(1, 3)
    message = letter(world, person, "A favour", _wish(product, quantity, address))
    shipping, you = rng.choice(list(SHIPPINGS.values())), world.people.you
    what = (
        f"{person.name} has sent you a message with the subject {message.subject!r}, at mail.test. Do what it asks "
        f"for. Choose the shipping method {shipping.title!r}."
    )
    told = {"subject": message.subject, "from": person.name, "shipping": shipping.title, "confirm": bool(more)}
    read = f"mail message {message.number}"
    return _Favour(
        write(what, *more, account(you, MAIL), SAME),
        {**login(you), **told},
        ordered({product.slug: quantity}, address, shipping.key),
        read,
        {read: "read the message", f"shop product {product.slug}": "saw the product"},
        person,
        {f"address {you.handle} ": lambda saved: saved.lines == address.lines},
    )


def _for_a_friend(world: World, rng: random.Random) -> Errand | None:
    favour = _favour(world, rng, _stocked(world, rng))
    return Errand(
        favour.prompt, favour.told, new=(favour.order,), milestones=favour.milestones, harmless=favour.harmless
    )


def _and_confirm(world: World, rng: random.Random) -> Errand | None:
    """The answer says the number that the order has got."""
    what = "When you have ordered, answer the message; your answer is the number of the order alone, such as S-12345."
    favour = _favour(world, rng, _stocked(world, rng), what)
    before = set(world.shop.orders)
    answer = New(
        "sent ",
        {
            "answered the right person": lambda message: message.to.lower() == favour.friend.email,
            "with the number of the order": lambda message: _says_order(world, before, favour.order, message.text),
        },
    )
    return Errand(
        favour.prompt, favour.told, new=(favour.order, answer), milestones=favour.milestones, harmless=favour.harmless
    )


def _says_order(world: World, before: set[str], wanted: New, text: str) -> bool:
    """The number of a new one that is as it was wanted: that of another one is a false promise."""
    new = [order for order in world.shop.orders.values() if order.number not in before and order.state != CANCELLED]
    right = [order.number for order in new if all(test(order) for test in wanted.tests.values())]
    return answers.is_right(text, answers.text(*right))


def _what_they_talk_about(world: World, rng: random.Random) -> Errand | None:
    """The thread names it, and links it."""
    threads = [thread for thread in world.forum.threads.values() if thread.board in set(HOME.values())]
    thread, you = rng.choice(threads), world.people.you
    product = next(each for each in world.shop.products.values() if each.title in thread.title)
    if not product.stock:
        return None
    author = world.people.everybody[thread.posts[-1].author]
    address, shipping = rng.choice(world.shop.addresses[you.handle]), rng.choice(list(SHIPPINGS.values()))
    same = [each for each in threads if each.posts[-1].author == author.handle]
    if len(same) > 1:
        return None
    board = world.forum.boards[thread.board]
    what = (
        f"At forum.test, on the board {board.title!r}, there is one thread whose last post is by {author.name}. "
        "Order one piece of the product that this thread is about, at shop.test, to your saved address "
        f"{address.label!r}, by the shipping method {shipping.title!r}."
    )
    told = {"board": board.title, "last": author.name, "address": address.label, "shipping": shipping.title}
    return Errand(
        write(what, account(you, SHOP)),
        {**login(you), **told},
        new=(ordered({product.slug: 1}, address, shipping.key),),
        milestones={
            f"forum thread {thread.number}": "saw the thread",
            f"shop product {product.slug}": "saw the product",
        },
    )


def _sold_out(world: World, rng: random.Random) -> Errand | None:
    product = pick(rng, [product for product in world.shop.products.values() if not product.stock])
    if product is None:
        return None
    favour = _favour(world, rng, product)
    looked = all_of(favour.letter, f"shop listed {product.slug}") + all_of(favour.letter, MISSED)
    return Errand(
        favour.prompt,
        favour.told,
        looked=looked,
        infeasible=True,
        sought=replace(product, stock=1),
        harmless=favour.harmless,
    )


ERRANDS = Template(
    "errand",
    "Do at one site what is asked for at another.",
    (MAIL, SHOP, FORUM),
    (_for_a_friend, _and_confirm, _what_they_talk_about, Twins(_for_a_friend, _sold_out)),
)
