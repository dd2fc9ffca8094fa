"""Errands in the mailbox: to put it in order, to write what others want to know."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from environments.browser.world import answers
from environments.browser.world.mail.data import FOLDERS, FURTHER, INBOX, TRASH, Message
from environments.browser.world.mail.letters import NEWSLETTERS
from environments.browser.world.mail.sending import SHOP as SHOP_ADDRESS
from environments.browser.world.people import Person
from environments.browser.world.shop.data import Category
from environments.browser.world.tasks.template import (
    MISSING,
    Errand,
    New,
    Template,
    Told,
    Twins,
    Ways,
    account,
    any_of,
    first_of,
    login,
    pick,
    write,
)
from environments.browser.world.world import World

MAIL, SHOP, WIKI = "mail.test", "shop.test", "wiki.test"
EARLY = datetime(2031, 3, 14, 7, 30)


def _inbox(world: World) -> list[Message]:
    return world.mail.in_folder(world.people.you.handle, INBOX)


# Putting in order


def _sorting(world: World, what: str, told: Told, wanted: Mapping[str, object], folder: str) -> Errand:
    you = world.people.you
    return Errand(
        write(f"At mail.test, {what}", account(you, MAIL)),
        {**login(you), **told},
        wanted=wanted,
        milestones={f"mail folder {folder}": "saw the folder"},
    )


def _all_from(address: str, folder: str) -> str:
    who = f"{NEWSLETTERS[address]} ({address})"
    return f"move all messages from {who} that are in the folder {INBOX!r} to the folder {folder!r}."


def _newsletter(world: World, rng: random.Random) -> Errand | None:
    """Into one of the folders that not every mailbox has."""
    address, folder = rng.choice(list(NEWSLETTERS)), rng.choice(world.mail.folders[len(FOLDERS) :])
    found = [message for message in _inbox(world) if message.sender == address]
    if len(found) < 2:
        return None
    wanted: dict[str, object] = {f"folder of message {each.number}": folder for each in found}
    return _sorting(world, _all_from(address, folder), {"from": address, "to": folder}, wanted, INBOX)


def _receipts(world: World, _: random.Random) -> Errand | None:
    found = [message for message in _inbox(world) if message.sender == SHOP_ADDRESS]
    if len(found) < 2:
        return None
    what = (
        f"move all order confirmations from {SHOP_ADDRESS} that are in the folder {INBOX!r} to the folder 'Receipts'."
    )
    wanted: dict[str, object] = {f"folder of message {each.number}": "Receipts" for each in found}
    return _sorting(world, what, {"from": SHOP_ADDRESS, "to": "Receipts"}, wanted, INBOX)


def _rescue(world: World, rng: random.Random) -> Errand | None:
    """It was deleted by mistake, among others that were not."""
    message = pick(rng, [each for each in _inbox(world) if each.sender.endswith("@mail.test")])
    person = world.people.by_email(message.sender) if message else None
    if message is None or person is None:
        return None
    message.folder = TRASH
    what = (
        f"you have deleted a message from {person.name} with the subject {message.subject!r} by mistake. Bring it "
        f"back to the folder {INBOX!r}."
    )
    wanted: dict[str, object] = {f"folder of message {message.number}": INBOX}
    return _sorting(world, what, {"rescue": message.subject, "from": person.name, "to": INBOX}, wanted, TRASH)


def _no_such_folder(world: World, rng: random.Random) -> Errand | None:
    address, you = rng.choice(list(NEWSLETTERS)), world.people.you
    if not any(message.sender == address for message in _inbox(world)):
        return None
    folder = rng.choice([each for each in FURTHER if each not in world.mail.folders])
    return Errand(
        write(f"At mail.test, {_all_from(address, folder)}", account(you, MAIL)),
        {**login(you), "from": address, "to": folder},
        looked=any_of(*(f"mail folder {each}" for each in world.mail.folders)),
        infeasible=True,
    )


SORT = Template(
    "sort", "Put a mailbox in order.", (MAIL,), (_newsletter, _receipts, _rescue, Twins(_newsletter, _no_such_folder))
)


# Writing


def wrote(to: str, rule: Mapping[str, Any]) -> New:
    """`rule` is one of answers.py."""
    return New(
        "sent ",
        {
            "wrote to the right person": lambda message: message.to.lower() == to,
            "in the right words": lambda message: answers.is_right(message.text, rule),
        },
    )


def letter(world: World, person: Person, subject: str, text: str, minute: int = 0) -> Message:
    """One that has come this morning."""
    you = world.people.you
    return world.mail.put(
        you.handle, INBOX, person.email, you.email, subject, text, EARLY.replace(minute=minute), read=False
    )


def _answering(
    world: World,
    message: Message,
    person: Person,
    form: str,
    right: Mapping[str, Any],
    seen: dict[str, str],
    looked: Ways,
) -> Errand:
    you = world.people.you
    what = f"At mail.test, answer the message from {person.name} with the subject {message.subject!r}. {form}"
    return Errand(
        write(what, account(you, MAIL), f"Your account at {SHOP} has the same user name and password."),
        {**login(you), "from": person.name, "subject": message.subject, "form": form},
        new=(wrote(person.email, right),),
        milestones={f"mail message {message.number}": "read the message", **seen},
        looked=looked,
    )


COSTS = ("A question about your order", "Your answer is the amount alone, such as €12.34.")
"""The subject of who asks what somebody has paid, and the form of the answer."""


def _asks_for_costs(world: World, person: Person, number: str) -> Message:
    text = (
        f"You told me about your order {number}. I want to order the same. What did you pay for it in total, shipping "
        "included?"
    )
    return letter(world, person, COSTS[0], text)


def _what_it_cost(world: World, rng: random.Random) -> Errand | None:
    """What was paid then, not what it costs now."""
    orders = [order for order in world.shop.orders_of(world.people.you.handle) if len(order.lines) > 1]
    order, person = pick(rng, orders), rng.choice(world.people.members)
    if order is None:
        return None
    message = _asks_for_costs(world, person, order.number)
    receipts = [each for each in world.mail.messages.values() if each.subject == f"Your order {order.number}"]
    looked = any_of(f"shop listed {order.number}", *(f"mail message {each.number}" for each in receipts))
    seen = {f"shop order {order.number}": "saw the order"}
    return _answering(world, message, person, COSTS[1], answers.amount(order.total_cents), seen, looked)


def _which_product(world: World, rng: random.Random) -> Errand | None:
    """The cheapest one is out of stock as often as not."""
    person = rng.choice(world.people.members)
    first = rng.random() < 0.4  # not a half: many a world has no other case, and is then made anew

    def make(category: Category) -> Errand | None:
        goods = [product for product in world.shop.products.values() if product.category == category.slug]
        goods.sort(key=lambda product: product.price_cents)
        right = next((product for product in goods if product.stock), None)
        if right is None or (goods[0] is right) != first:
            return None
        text = f"Which one is the cheapest in the category {category.title} at shop.test that is in stock at present?"
        message = letter(world, person, "Cheap, but in stock", text)
        form = "Your answer is the full name of the product alone."
        seen = {f"shop category {category.slug}": "saw the category"}
        looked = any_of(f"shop listed {right.slug}")
        return _answering(world, message, person, form, answers.product(right.title, category.noun), seen, looked)

    return first_of(rng, list(world.shop.categories.values()), make)


def _which_town(world: World, rng: random.Random) -> Errand | None:
    maker, person = rng.choice(list(world.lore.makers.values())), rng.choice(world.people.members)
    birthplace = world.lore.founders[maker.founder].birthplace
    if birthplace == maker.seat:
        return None
    text = f"We have a quiz tonight. In which town was the founder of {maker.name} born? The encyclopaedia has to know."
    message = letter(world, person, "Quiz", text)
    form = "Your answer is the name of the town alone."
    seen = {f"wiki {maker.founder}": "saw the article"}
    return _answering(world, message, person, form, answers.text(birthplace), seen, any_of(*seen))


def _no_such_message(world: World, rng: random.Random) -> Errand | None:
    """Somebody else has asked that."""
    asking, person = rng.sample(world.people.members, 2)
    order = rng.choice(world.shop.orders_of(world.people.you.handle))
    if any(message.sender == person.email for message in world.mail.messages.values()):
        return None
    message = _asks_for_costs(world, asking, order.number)
    errand = _answering(world, message, person, COSTS[1], answers.text(), {}, ())
    sought = replace(message, number=0, sender=person.email, text="")
    return Errand(errand.prompt, errand.told, looked=MISSING, infeasible=True, sought=sought)


WRITE = Template(
    "write",
    "Answer a message with what another site says.",
    (MAIL, SHOP, WIKI),
    (_what_it_cost, _which_product, _which_town, Twins(_what_it_cost, _no_such_message)),
)
