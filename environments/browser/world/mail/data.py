"""Mailboxes, and how a message gets into one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

HOST = "mail.test"
INBOX, SENT, ARCHIVE, TRASH = "Inbox", "Sent", "Archive", "Trash"
FOLDERS = (INBOX, "Receipts", "Travel", "Family", ARCHIVE, SENT, TRASH)
FURTHER = ("Clubs", "Later", "Newsletters", "Offers", "Projects", "Reading")
"""Folders that some mailboxes have besides."""


@dataclass
class Message:
    number: int
    """Counts all messages of the world."""
    owner: str
    """The handle of whose mailbox it is in."""
    folder: str
    sender: str
    """An address."""
    to: str
    subject: str
    text: str
    time: datetime
    read: bool = False


@dataclass
class MailData:
    messages: dict[int, Message] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Who is behind an address that is nobody's mailbox."""
    folders: tuple[str, ...] = FOLDERS
    """Of every mailbox."""

    def put(
        self, owner: str, folder: str, sender: str, to: str, subject: str, text: str, time: datetime, *, read: bool
    ) -> Message:
        number = len(self.messages) + 1  # none is ever taken out
        message = Message(number, owner, folder, sender, to, subject, text, time, read)
        self.messages[number] = message
        return message

    def in_folder(self, owner: str, folder: str) -> list[Message]:
        """The newest first."""
        own = [each for each in self.messages.values() if each.owner == owner and each.folder == folder]
        return sorted(own, key=lambda each: (each.time, each.number), reverse=True)
