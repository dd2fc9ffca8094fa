"""What a solution can do: the little that every kind of browser can."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from environments.browser.world.gold.page import Page

T = TypeVar("T")


class Step:
    """One of the following."""


@dataclass(frozen=True)
class Open(Step):
    url: str


@dataclass(frozen=True)
class Click(Step):
    """The one element of that role (link, button, radio, checkbox) and name."""

    role: str
    name: str


@dataclass(frozen=True)
class Fill(Step):
    """The one text field of that label."""

    label: str
    value: str


@dataclass(frozen=True)
class Select(Step):
    """Of the one list of that label, the option that is shown as `value`."""

    label: str
    value: str


@dataclass(frozen=True)
class Answer(Step):
    """The end: what was asked for, or nothing where something was to be done."""

    text: str = ""


@dataclass(frozen=True)
class Infeasible(Step):
    """The end: it cannot be done."""

    reason: str


Steps: TypeAlias = Generator[Step, Page, None]
Walk: TypeAlias = Generator[Step, Page, T]
"""A part of a solution, and what it finds."""
