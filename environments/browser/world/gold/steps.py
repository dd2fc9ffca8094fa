"""What a solution can do: the little that every kind of browser can."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from environments.browser.world.gold.page import Page


@dataclass(frozen=True)
class Open:
    url: str


@dataclass(frozen=True)
class Click:
    """The one element of that role (link, button, radio, checkbox) and name."""

    role: str
    name: str


@dataclass(frozen=True)
class Fill:
    """The one text field of that label."""

    label: str
    value: str


@dataclass(frozen=True)
class Select:
    """Of the one list of that label, the option that is shown as `value`."""

    label: str
    value: str


@dataclass(frozen=True)
class Answer:
    """The end: what was asked for, or nothing where something was to be done."""

    text: str = ""


@dataclass(frozen=True)
class Infeasible:
    """The end: it cannot be done."""

    reason: str


Step: TypeAlias = Open | Click | Fill | Select | Answer | Infeasible
Steps: TypeAlias = Generator[Step, Page, None]
Walk: TypeAlias = Generator[Step, Page, Page]
"""A part of a solution, which leads to a page."""
