"""Boards, threads, posts and reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

HOST = "forum.test"
ORIGIN = f"http://{HOST}"
REASONS = ("Spam", "Insult", "Off topic", "Dangerous advice")
MAX_TITLE, MAX_TEXT = 150, 5000


@dataclass(frozen=True)
class Board:
    slug: str
    title: str
    about: str


@dataclass(frozen=True)
class Report:
    by: str
    """A handle."""
    reason: str


@dataclass
class Post:
    number: int
    """Counts all posts of the forum."""
    author: str
    """A handle."""
    time: datetime
    text: str
    hidden: bool = False
    reports: list[Report] = field(default_factory=list)


@dataclass
class Thread:
    number: int
    board: str
    title: str
    posts: list[Post]
    """The oldest first; there is always one."""
    locked: bool = False

    @property
    def url(self) -> str:
        return f"{ORIGIN}/thread/{self.number}"

    @property
    def starter(self) -> str:
        return self.posts[0].author


@dataclass
class ForumData:
    boards: dict[str, Board]
    threads: dict[int, Thread]
    last_post: int = 0

    def next_post(self) -> int:
        self.last_post += 1
        return self.last_post
