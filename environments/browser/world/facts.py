"""What of a world counts: each thing that a deed can change has a name, and a value to compare.

What is only on its way to count (a cart, a draft, a login, a message that was opened) is left out, and so is what sites
do by themselves (mail that arrives, goods that leave the stock). Two worlds are compared as they stand: what was undone
was not done.
"""

from __future__ import annotations

from collections.abc import Iterator

from environments.browser.world.shop.data import CANCELLED, Order
from environments.browser.world.wiki.markup import made_even
from environments.browser.world.world import World

Facts = dict[str, object]


def facts_of(world: World) -> Facts:
    return dict(_all(world))


def _all(world: World) -> Iterator[tuple[str, object]]:
    for order in world.shop.orders.values():
        yield from _of_order(order)
    for handle, saved in world.shop.addresses.items():
        for address in saved:
            yield f"address {handle} {address.label}", address
    for product in world.shop.products.values():
        for review in product.reviews:
            yield f"review {product.slug} {review.author}", review
    for article in world.wiki.articles.values():
        yield f"article {article.title}", made_even(article.text)
    yield from _of_forum(world)
    yield from _of_mail(world)
    yield from _of_desk(world)


def _of_order(order: Order) -> Iterator[tuple[str, object]]:
    yield f"order {order.number}", order
    yield f"state of order {order.number}", order.state
    yield f"returns of order {order.number}", dict(order.returned)
    yield f"refund of order {order.number}", order.refunded_cents


def _of_forum(world: World) -> Iterator[tuple[str, object]]:
    for thread in world.forum.threads.values():
        yield f"board of thread {thread.number}", thread.board
        yield f"lock of thread {thread.number}", thread.locked
        for post in thread.posts:
            yield f"post {post.number}", (thread.number, post.author, post.text)
            yield f"hiding of post {post.number}", post.hidden
            yield f"reports of post {post.number}", tuple(post.reports)


def _of_mail(world: World) -> Iterator[tuple[str, object]]:
    for message in world.mail.messages.values():
        person = world.people.everybody[message.owner]
        if message.sender == person.email:
            yield f"sent {message.number}", message
        yield f"folder of message {message.number}", message.folder


def _of_desk(world: World) -> Iterator[tuple[str, object]]:
    for ticket in world.desk.tickets.values():
        yield f"state of ticket {ticket.number}", ticket.state
        yield f"priority of ticket {ticket.number}", ticket.priority
        yield f"assignee of ticket {ticket.number}", ticket.assignee
        yield f"merging of ticket {ticket.number}", ticket.merged_into
        yield f"comments on ticket {ticket.number}", tuple(ticket.comments)


def changes(before: Facts, now: Facts) -> Facts:
    """What is not as it was, with its value now. Of what is new, only that it is there; mail that came is nothing."""
    changed: Facts = {}
    for name in {**before, **now}:
        new = name not in before
        if new and name.startswith(_FOLLOWS):
            continue
        if before.get(name) != now.get(name):
            changed[name] = now.get(name)
    return {name: value for name, value in changed.items() if not _is_undone(name, value, before)}


_FOLLOWS = (
    "folder of ",
    "state of order",
    "returns of",
    "refund of order",
    "board of",
    "lock of",
    "hiding of",
    "reports of",
)
"""What there is of everything that is new."""


def _is_undone(name: str, value: object, before: Facts) -> bool:
    """An order of the story that was cancelled again."""
    return isinstance(value, Order) and name not in before and value.state == CANCELLED
