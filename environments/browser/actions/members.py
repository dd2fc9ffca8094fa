"""What the members of an action may hold: each kind of value yields its JSON Schema and its own check.

Both come from one object, so what is published and what is refused cannot differ. A check returns the value as the
driver gets it, or raises `ActionError`, whose message names the member and says what would be right: it is what a
policy learns from.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from environments.browser.actions.keys import MAX_CHORD, as_pressed, chord_problem
from environments.environment import JsonObject
from environments.protocols.hints import did_you_mean, names, quoted
from environments.protocols.schema import kind_of

NOT_BLANK = r"\S"
REF = re.compile(r"(?:f[0-9]{1,6})?e[0-9]{1,9}")


class ActionError(ValueError):
    """The action is malformed; the message is fit for the policy."""


@dataclass(frozen=True)
class Viewport:
    """What of a page is in view, in CSS pixels."""

    width: int
    height: int


@dataclass(frozen=True)
class Member(ABC):
    """One member of an action."""

    description: str
    required: bool = True

    def schema(self) -> JsonObject:
        return self._schema() | ({"description": self.description} if self.description else {})

    @abstractmethod
    def _schema(self) -> JsonObject: ...

    @abstractmethod
    def read(self, name: str, value: Any, viewport: Viewport) -> Any:
        """The value as the driver gets it. Raises: ActionError, which calls the member `name`."""


@dataclass(frozen=True)
class Text(Member):
    """A string. Its length counts characters."""

    max_chars: int = 1000
    not_empty: bool = False
    not_blank: bool = False

    def _schema(self) -> JsonObject:
        schema: JsonObject = {"type": "string", "maxLength": self.max_chars}
        if self.not_blank:
            return schema | {"pattern": NOT_BLANK}
        return schema | ({"minLength": 1} if self.not_empty else {})

    def read(self, name: str, value: Any, viewport: Viewport) -> str:
        text = read_text(name, value)
        if len(text) > self.max_chars:
            raise ActionError(f"{name} has {len(text)} characters, at most {self.max_chars} are allowed")
        if (self.not_empty or self.not_blank) and not text:
            raise ActionError(f"{name} must not be empty: {self.description}")
        if self.not_blank and not re.search(NOT_BLANK, text):
            raise ActionError(f"{name} must not be blank: {self.description}")
        return text


@dataclass(frozen=True)
class Chord(Member):
    """A key, or several pressed together."""

    def _schema(self) -> JsonObject:
        return {"type": "string", "minLength": 1, "maxLength": MAX_CHORD}

    def read(self, name: str, value: Any, viewport: Viewport) -> str:
        text = read_text(name, value)
        if len(text) > MAX_CHORD:
            raise ActionError(f"{name} has {len(text)} characters: for text use the action 'type'")
        if problem := chord_problem(text):
            raise ActionError(f"{name}: {problem}")
        return as_pressed(text)


@dataclass(frozen=True)
class Ref(Member):
    """An element of the page, as its text names it."""

    def _schema(self) -> JsonObject:
        return {"type": "string", "pattern": f"^{REF.pattern}$", "examples": ["e12"]}

    def read(self, name: str, value: Any, viewport: Viewport) -> str:
        if isinstance(value, str) and REF.fullmatch(value):
            return value
        found = REF.findall(value[:200]) if isinstance(value, str) else []
        meant = f"write {quoted(found[0])}" if len(found) == 1 else "see the page's text for [ref=e12]"
        raise ActionError(f"{name} is {quoted(value)}, must be a ref such as 'e12' or 'f1e2': {meant}")


@dataclass(frozen=True)
class Number(Member):
    """A finite number; `whole` refuses fractions."""

    low: float = -math.inf
    high: float = math.inf
    whole: bool = False

    def _schema(self) -> JsonObject:
        schema: JsonObject = {"type": "integer" if self.whole else "number"}
        if math.isfinite(self.low):
            schema["minimum"] = self.low
        if math.isfinite(self.high):
            schema["maximum"] = self.high
        return schema

    def read(self, name: str, value: Any, viewport: Viewport) -> float:
        number = read_number(name, value, whole=self.whole)
        if not self.low <= number <= self.high:
            raise ActionError(f"{name} is {quoted(number)}, must be from {self.low} to {self.high}")
        return number


@dataclass(frozen=True)
class Coordinate(Member):
    """A place in the viewport along one axis, which is the name of a viewport's member."""

    axis: str = "width"

    def _schema(self) -> JsonObject:
        return {"type": "number", "minimum": 0}

    def read(self, name: str, value: Any, viewport: Viewport) -> float:
        number = read_number(name, value)
        limit = getattr(viewport, self.axis)
        if not 0 <= number < limit:
            size = f"{viewport.width} wide and {viewport.height} high"
            raise ActionError(
                f"{name} is {quoted(number)}, outside of the viewport, which is {size}: from 0 to {limit - 1}; "
                "scroll to what is not in view, or name it by its ref"
            )
        return number


@dataclass(frozen=True)
class Flag(Member):
    def _schema(self) -> JsonObject:
        return {"type": "boolean"}

    def read(self, name: str, value: Any, viewport: Viewport) -> bool:
        if not isinstance(value, bool):
            raise ActionError(f"{name} is {quoted(value)}, must be true or false")
        return value


@dataclass(frozen=True)
class Choice(Member):
    """One of a few texts."""

    choices: tuple[str, ...] = ()

    def _schema(self) -> JsonObject:
        return {"type": "string", "enum": list(self.choices)}

    def read(self, name: str, value: Any, viewport: Viewport) -> str:
        if not isinstance(value, str) or value not in self.choices:
            hint = did_you_mean(value, self.choices) if isinstance(value, str) else ""
            asked = f"; {hint}" if hint.startswith("did") else ""
            raise ActionError(f"{name} is {quoted(value)}, must be one of {names(self.choices)}{asked}")
        return value


@dataclass(frozen=True)
class Items(Member):
    """A list of values of one kind; `item`'s own description is not shown."""

    item: Member | None = None
    low: int = 0
    high: int = 100
    distinct: bool = False

    @property
    def _item(self) -> Member:
        assert self.item is not None
        return self.item

    def _schema(self) -> JsonObject:
        schema: JsonObject = {"type": "array", "items": self._item.schema(), "maxItems": self.high}
        return schema | ({"minItems": self.low} if self.low else {}) | ({"uniqueItems": True} if self.distinct else {})

    def read(self, name: str, value: Any, viewport: Viewport) -> list[Any]:
        if not isinstance(value, list):
            raise ActionError(f"{name} is {quoted(value)}, must be a list: {self.description}")
        if not self.low <= len(value) <= self.high:
            raise ActionError(f"{name} has {len(value)} items, must have from {self.low} to {self.high}")
        read = [self._item.read(within(name, f"[{number}]"), each, viewport) for number, each in enumerate(value)]
        if self.distinct and any(each in read[:number] for number, each in enumerate(read)):
            raise ActionError(f"{name} has the same item twice")
        return read


@dataclass(frozen=True)
class Point(Member):
    """A place in the viewport, as [x, y]."""

    def _schema(self) -> JsonObject:
        return {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 2, "maxItems": 2}

    def read(self, name: str, value: Any, viewport: Viewport) -> list[float]:
        if not isinstance(value, list) or len(value) != 2:
            raise ActionError(f"{name} is {quoted(value)}, must be two numbers [x, y]")
        axes = (Coordinate("", axis="width"), Coordinate("", axis="height"))
        return [
            axis.read(within(name, f"[{number}]"), each, viewport)
            for number, (axis, each) in enumerate(zip(axes, value, strict=True))
        ]


def within(name: str, place: str) -> str:
    """What a part of a member is called: `'files[0]' of 'upload'`."""
    member, of, kind = name.partition("' of ")
    return f"{member}{place}{of}{kind}"


def read_text(name: str, value: Any) -> str:
    """A string that can be sent on. Raises: ActionError."""
    if not isinstance(value, str):
        raise ActionError(f"{name} is {quoted(value)}, must be a string, not {kind_of(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ActionError(f"{name} is no valid Unicode: a lone surrogate at character {error.start}") from None
    if "\0" in value:
        raise ActionError(f"{name} holds a NUL character at {value.index(chr(0))}, which nothing can type")
    return value


def read_number(name: str, value: Any, *, whole: bool = False) -> float:
    """Any finite number that is no boolean. Raises: ActionError."""
    wanted = "a whole number" if whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ActionError(f"{name} is {quoted(value)}, must be {wanted}, not {kind_of(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ActionError(f"{name} is {value}, must be {wanted} that is finite")
    if whole and isinstance(value, float):
        if not value.is_integer():
            raise ActionError(f"{name} is {value}, must be {wanted}")
        return int(value)
    return value
