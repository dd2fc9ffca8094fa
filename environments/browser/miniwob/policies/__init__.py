"""Policies that solve MiniWoB++ by what any policy sees: the goal and the page's text. So its tasks can be solved.

A policy is a generator: it is given the goal and the page, yields actions, and is sent the page as it then is. What it
needs of a page it reads there; nothing of a page's own script or state is known to it. Where an icon has no text, it
clicks where a person would see it.
"""

from __future__ import annotations

from collections.abc import Mapping

from environments.browser.miniwob.policies import clicking, dates, forms, mail, reading
from environments.browser.miniwob.policies.acting import POLICIES, Policy

__all__ = ["clicking", "dates", "forms", "mail", "playable", "reading"]


def playable() -> Mapping[str, Policy]:
    """By the page; each module has filled in its own."""
    return POLICIES
