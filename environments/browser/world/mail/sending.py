"""Mail on its way: into the sender's folder of sent messages, and to whoever has a mailbox."""

from __future__ import annotations

from datetime import datetime

from environments.browser.world.mail.data import INBOX, SENT
from environments.browser.world.people import Person
from environments.browser.world.world import World

SHOP, DESK = "orders@shop.test", "support@desk.test"


def deliver(world: World, sender: str, to: str, subject: str, text: str, time: datetime) -> None:
    """To somebody with a mailbox, or to nobody."""
    person = world.people.by_email(to)
    if person is not None:
        world.mail.put(person.handle, INBOX, sender, to, subject, text, time, read=False)


def send(world: World, person: Person, to: str, subject: str, text: str) -> None:
    time = world.clock.next()
    world.mail.put(person.handle, SENT, person.email, to, subject, text, time, read=True)
    deliver(world, person.email, to, subject, text, time)
