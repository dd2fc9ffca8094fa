"""Pages with an inbox: a mail is found by its sender and answered, forwarded, starred or thrown away."""

from __future__ import annotations

import re

from environments.browser.miniwob.policies.acting import Play, click, fill, plays, quoted
from environments.browser.miniwob.policies.page import Node, Page

RECIPIENT = (
    r"\bto ([A-Z]\w+)",
    r"^([A-Z]\w+) (?:wants|is|must|needs|should)",
    r"\b(?:[Ss]end|[Ff]orward|[Gg]ive) ([A-Z]\w+)",
)


@plays(
    "email-inbox",
    "email-inbox-delete",
    "email-inbox-forward",
    "email-inbox-forward-nl",
    "email-inbox-important",
    "email-inbox-noscroll",
    "email-inbox-reply",
    "email-inbox-star-reply",
)
def one_mail(goal: str, page: Page) -> Play:
    mail = _mail(page, goal)
    sender = mail.children[0].text
    page = yield click(mail)
    if "reply" in goal:
        page = yield click(page.one(text="reply"))
        page = yield fill(page.one("textbox"), quoted(goal)[0])
        yield click(_icons(page)[1])
    elif "trash" in goal or "star" in goal:
        _, trash, star = _icons(page)[:3]
        yield click(trash if "trash" in goal else star)
    else:
        page = yield click(page.one(text="forward"))
        page = yield fill(page.one("textbox"), _recipient(goal, sender))
        yield click(_icons(page)[1])


def _mail(page: Page, goal: str) -> Node:
    """The first whose sender the goal names."""
    words = re.findall(r"\w+", goal)
    mails = page.all(where=lambda node: len(node.children) == 3 and node.children[0].text in words)
    return min(mails, key=lambda node: _recipient_of(goal) == node.children[0].text)


def _recipient_of(goal: str) -> str | None:
    return next((found[1] for pattern in RECIPIENT if (found := re.search(pattern, goal))), None)


def _recipient(goal: str, sender: str) -> str:
    """Raises: StopIteration where the goal names nobody else."""
    found = (match for pattern in RECIPIENT for match in re.findall(pattern, goal))
    return str(next(name for name in found if name != sender))


def _icons(page: Page) -> list[Node]:
    """What can be clicked and says nothing, from the left: where it leads back, then what can be done."""
    return page.all(where=lambda node: node.role == "generic" and "cursor" in node.states and not node.text)
