"""Actions as the environment takes them, and the table of which policy plays which page."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any

from environments.browser.miniwob.policies.page import Node, Page

Action = dict[str, Any]
Play = Generator[Action, Page, None]
Policy = Callable[[str, Page], Play]

POLICIES: dict[str, Policy] = {}
"""By the page; filled by the modules of this package."""


def plays(*pages: str) -> Callable[[Policy], Policy]:
    def register(policy: Policy) -> Policy:
        POLICIES.update(dict.fromkeys(pages, policy))
        return policy

    return register


def click(node: Node, count: int = 1) -> Action:
    return {"type": "click", "ref": node.ref, **({"count": count} if count > 1 else {})}


def click_at(x: float, y: float) -> Action:
    return {"type": "click", "x": x, "y": y}


def hover(node: Node) -> Action:
    return {"type": "hover", "ref": node.ref}


def fill(node: Node, text: str) -> Action:
    return {"type": "fill", "ref": node.ref, "text": text}


def write(text: str, node: Node | None = None) -> Action:
    """Key by key, as some pages listen to keys."""
    return {"type": "type", "text": text, **({"ref": node.ref} if node else {})}


def press(key: str, count: int = 1) -> Action:
    return {"type": "press", "key": key, "count": count}


def select(node: Node, *options: str) -> Action:
    return {"type": "select", "ref": node.ref, "values": list(options)}


def drag(node: Node, to: Node) -> Action:
    return {"type": "drag", "ref": node.ref, "to_ref": to.ref}


def wait(seconds: float) -> Action:
    return {"type": "wait", "time_s": seconds}


def submit(page: Page) -> Action:
    return click(page.one("button", text="submit"))


# What goals say.


def quoted(goal: str) -> list[str]:
    return re.findall(r'"([^"]*)"', goal)


def between(goal: str, before: str, after: str) -> str:
    """Raises: LookupError."""
    found = re.search(f"{re.escape(before)}(.*?){re.escape(after)}", goal)
    if found is None:
        raise LookupError(f"{goal!r} does not say {before!r} ... {after!r}")
    return found[1]


def ordinal(goal: str) -> int:
    """The first `3rd` or so, counted from 0. Raises: LookupError."""
    found = re.search(r"(\d+)(?:st|nd|rd|th)", goal)
    if found is None:
        raise LookupError(f"{goal!r} counts nothing")
    return int(found[1]) - 1


def number_in(text: str) -> int:
    """The first. Raises: LookupError."""
    found = re.search(r"-?\d+", text)
    if found is None:
        raise LookupError(f"{text!r} has no number")
    return int(found[0])
