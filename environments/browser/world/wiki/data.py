"""Articles and their revisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

HOST = "wiki.test"
ORIGIN = f"http://{HOST}"
MAX_TEXT, MAX_SUMMARY = 8_000, 200


@dataclass(frozen=True)
class Revision:
    number: int
    """Counts all revisions of an article, from 1."""
    author: str
    """A name."""
    time: datetime
    summary: str
    text: str


@dataclass
class Article:
    title: str
    revisions: list[Revision]
    """The oldest first; there is always one."""
    protected: bool = False
    """Only moderators change it, and none of them is around."""

    @property
    def text(self) -> str:
        return self.revisions[-1].text

    def add(self, author: str, time: datetime, summary: str, text: str) -> None:
        self.revisions.append(Revision(len(self.revisions) + 1, author, time, summary, text))


@dataclass
class WikiData:
    articles: dict[str, Article] = field(default_factory=dict)
    """By title."""


def article_path(title: str) -> str:
    return f"/wiki/{quote(title.replace(' ', '_'), safe='')}"


def article_url(title: str) -> str:
    return ORIGIN + article_path(title)


def title_of(part: str) -> str:
    """Of the last part of an article's path."""
    return part.replace("_", " ")
