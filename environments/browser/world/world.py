"""All that the five sites know and have in common. It belongs to one generation of an episode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from environments.browser.world.clock import Clock
from environments.browser.world.desk.data import DeskData
from environments.browser.world.forum.data import ForumData, Thread
from environments.browser.world.lore import Lore
from environments.browser.world.mail.data import MailData, Message
from environments.browser.world.people import People
from environments.browser.world.shop.data import Product, ShopData
from environments.browser.world.wiki.data import Article, WikiData

Sought: TypeAlias = Product | Thread | Article | Message
MISSED = "missed"
"""The mark of who was shown all of a list in which what is sought would stand."""


@dataclass
class World:
    seed: str
    clock: Clock
    people: People
    lore: Lore
    shop: ShopData
    wiki: WikiData
    forum: ForumData
    mail: MailData
    desk: DeskData
    watched: frozenset[str] = frozenset()
    """What a task wants to know of whether it was ever shown."""
    sought: Sought | None = None
    """What a task speaks of, as it would be if there were such a thing."""
    seen: set[str] = field(default_factory=set)
    pages_shown: dict[str, frozenset[int]] = field(default_factory=dict)
    """Of lists in which what is sought would stand, by their addresses."""
    reads_files: bool = False
    """Whether something beside the browser reads what it downloads."""

    def note_seen(self, mark: str) -> bool:
        """Whether that is news."""
        if mark not in self.watched or mark in self.seen:
            return False
        self.seen.add(mark)
        return True
