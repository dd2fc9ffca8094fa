"""What the members of one action have to do with each other: each rule yields its JSON Schema and its own check."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from environments.browser.actions.members import ActionError
from environments.environment import JsonObject
from environments.protocols.hints import names, quoted


class Rule(ABC):
    @abstractmethod
    def schema(self) -> JsonObject:
        """What an action must fit besides."""

    @abstractmethod
    def check(self, kind: str, action: Mapping[str, Any]) -> None:
        """Raises: ActionError."""


@dataclass(frozen=True)
class Place(Rule):
    """An element by its ref, or a point by both of its coordinates; never both of them."""

    prefix: str = ""
    optional: bool = False

    @property
    def _names(self) -> tuple[str, str, str]:
        return f"{self.prefix}ref", f"{self.prefix}x", f"{self.prefix}y"

    def schema(self) -> JsonObject:
        ref, x, y = self._names
        ways = [_only([ref], [x, y]), _only([x, y], [ref])]
        return {"oneOf": [*ways, _only([], [ref, x, y])] if self.optional else ways}

    def check(self, kind: str, action: Mapping[str, Any]) -> None:
        ref, x, y = self._names
        given = [name for name in (x, y) if name in action]
        either = f"either {ref!r}, or {x!r} and {y!r}"
        if ref in action and given:
            raise ActionError(f"{kind!r} has both {ref!r} and {names(given)}: it takes {either}")
        if len(given) == 1:
            raise ActionError(f"{kind!r} has {given[0]!r} alone: a point needs both {x!r} and {y!r}")
        if not given and ref not in action and not self.optional:
            raise ActionError(f"{kind!r} does not say where: it takes {either}")


@dataclass(frozen=True)
class ExactlyOne(Rule):
    """One of these members, and no other of them."""

    names: tuple[str, ...]

    def schema(self) -> JsonObject:
        return {"oneOf": [_only([name], [each for each in self.names if each != name]) for name in self.names]}

    def check(self, kind: str, action: Mapping[str, Any]) -> None:
        given = [name for name in self.names if name in action]
        if len(given) != 1:
            found = names(given) if given else "none"
            raise ActionError(f"{kind!r} takes exactly one of {names(self.names)}; it has {found}")


@dataclass(frozen=True)
class AtLeastOne(Rule):
    names: tuple[str, ...]

    def schema(self) -> JsonObject:
        return {"anyOf": [{"required": [name]} for name in self.names]}

    def check(self, kind: str, action: Mapping[str, Any]) -> None:
        if not any(name in action for name in self.names):
            raise ActionError(f"{kind!r} needs {' or '.join(map(quoted, self.names))}")


@dataclass(frozen=True)
class OnlyWhen(Rule):
    """A member that says nothing unless another has one of these values; `default` is the other's, left out."""

    name: str
    other: str
    values: tuple[Any, ...]
    default: Any

    def schema(self) -> JsonObject:
        fits: JsonObject = {"properties": {self.other: {"enum": list(self.values)}}}
        if self.default not in self.values:
            fits["required"] = [self.other]
        return {"anyOf": [_only([], [self.name]), fits]}

    def check(self, kind: str, action: Mapping[str, Any]) -> None:
        value = action.get(self.other, self.default)
        if self.name in action and value not in self.values:
            raise ActionError(
                f"{kind!r} takes {self.name!r} only when {self.other!r} is "
                f"{' or '.join(map(quoted, self.values))}, not {quoted(value)}"
            )


def _only(required: Sequence[str], forbidden: Sequence[str]) -> JsonObject:
    schema: JsonObject = {"required": list(required)} if required else {}
    if forbidden:
        schema["not"] = {"anyOf": [{"required": [name]} for name in forbidden]}
    return schema
