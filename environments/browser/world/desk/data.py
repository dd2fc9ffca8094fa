"""Tickets, and the refunds that were made for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

HOST = "desk.test"
ORIGIN = f"http://{HOST}"
OPEN, PENDING, SOLVED, CLOSED = "Open", "Pending", "Solved", "Closed"
STATES = (OPEN, PENDING, SOLVED, CLOSED)
PRIORITIES = ("Low", "Normal", "High", "Urgent")
KINDS = ("Delivery", "Refund", "Product question", "Account", "Complaint")
MAX_TEXT = 5000


@dataclass(frozen=True)
class Comment:
    author: str
    """A name."""
    time: datetime
    text: str
    internal: bool = False
    """Only agents see it."""


def merge_note(number: int) -> str:
    """What stands in a ticket that another one was merged into."""
    return f"Merged #{number} into this."


@dataclass
class Ticket:
    number: int
    subject: str
    requester: str
    """A handle."""
    kind: str
    priority: str
    state: str
    assignee: str
    """A handle; empty for nobody."""
    opened: datetime
    comments: list[Comment]
    """The first is what the requester wrote."""
    order: str = ""
    """The number of an order that it is about."""
    merged_into: int | None = None


@dataclass(frozen=True)
class Refund:
    order: str
    cents: int
    by: str
    """A handle."""


@dataclass
class DeskData:
    tickets: dict[int, Ticket]
    refunds: list[Refund] = field(default_factory=list)
