"""A page as its text shows it: elements with role, name, state and ref, as a tree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

_KEY = re.compile(r'(\S+)(?: ("(?:[^"\\]|\\.)*"))?((?: \[[^\]]*\])*)')


@dataclass(eq=False)
class Node:
    """One element, or a piece of text between elements (role `text`)."""

    role: str
    name: str = ""
    value: str = ""
    """Its text, where it has no children; of a field, what is in it."""
    states: dict[str, str] = field(default_factory=dict)
    """`checked`, `selected`, `expanded`, `active`, ...; with `level` and `cursor` the value counts."""
    children: list[Node] = field(default_factory=list)
    parent: Node | None = field(default=None, repr=False)

    @property
    def ref(self) -> str:
        return self.states["ref"]

    @property
    def text(self) -> str:
        """Everything that is said in it, in one line."""
        parts = [self.name, self.value, *(child.text for child in self.children)]
        return " ".join(part for part in parts if part)

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, *roles: str, text: str | None = None, where: Callable[[Node], bool] | None = None) -> list[Node]:
        """In the page's order; `text` is what they say, without regard to case."""
        found = [node for node in self.walk() if node is not self and (not roles or node.role in roles)]
        if text is not None:
            found = [node for node in found if node.text.strip().lower() == text.strip().lower()]
        return [node for node in found if where is None or where(node)]

    def one(self, *roles: str, text: str | None = None, where: Callable[[Node], bool] | None = None) -> Node:
        """The first. Raises: LookupError."""
        found = self.all(*roles, text=text, where=where)
        if not found:
            raise LookupError(f"no {' or '.join(roles) or 'element'} {text or ''} in {self.text[:200]!r}")
        return found[0]

    def pressable(self, text: str) -> Node:
        """What has a ref and says this: a button or a link before anything else."""
        named = [node for node in self.all(text=text) if "ref" in node.states]
        roles = ("button", "link", "tab", "menuitem", "option", "radio", "checkbox")
        ranked = sorted(named, key=lambda node: (node.role not in roles, len(node.children)))
        if not ranked:
            raise LookupError(f"nothing says {text!r} in {self.text[:200]!r}")
        return ranked[0]


class Page(Node):
    """The root of what a text shows."""

    def __init__(self, text: str) -> None:
        super().__init__("page")
        # Everything stays text: a number in a page is not a number here.
        self._fill(self, yaml.load(text, Loader=yaml.BaseLoader) or [])

    def _fill(self, parent: Node, items: Any) -> None:
        for item in items:
            key, below = next(iter(item.items())) if isinstance(item, dict) else (item, "")
            if key.startswith("/"):
                parent.states[key] = str(below)
                continue
            node = _node(key)
            node.parent = parent
            parent.children.append(node)
            if isinstance(below, list):
                self._fill(node, below)
            else:
                node.value = below


def _node(key: str) -> Node:
    found = _KEY.fullmatch(key)
    if found is None:
        return Node("text", value=key)
    role, name, states = found.groups()
    pairs = [state.partition("=") for state in re.findall(r"\[([^\]]*)\]", states or "")]
    return Node(role, json.loads(name) if name else "", states={name: value for name, _, value in pairs})
