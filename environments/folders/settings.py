"""YAML whose values know their lines.

A file is composed into nodes, never constructed into objects, so a fault can name its line and nothing but plain
values can come out. Each value is taken by name, with its type and bounds; what was not taken is unknown, and a fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import yaml

from environments.folders.places import Fault, nearest

_KINDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "a truth value", "null": "nothing"}


def _describe(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    kind = _KINDS.get(node.tag.rpartition(":")[2], "a value")
    return f"{kind}, {str(node.value)[:80]!r}"


class Settings:
    """One mapping of a YAML file. Faults are added to `faults`; a value that has one is its default."""

    def __init__(self, path: Path, node: yaml.Node | None, faults: list[Fault], name: str = "") -> None:
        self._path = path
        self._faults = faults
        self._name = name
        self._line = node.start_mark.line + 1 if node else 1
        self._values: dict[str, yaml.Node] = {}
        self._known: set[str] = set()
        if isinstance(node, yaml.MappingNode):
            self._read(node)
        elif node is not None:
            self._fault(node, f"{name or 'the file'} is {_describe(node)}, must be a mapping")

    def _read(self, node: yaml.MappingNode) -> None:
        for key, value in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            if not name:
                self._fault(key, f"a name is {_describe(key)}, must be a text")
            elif name in self._values:
                self._fault(key, f"{self._full(name)} is given twice")
            else:
                self._values[name] = value

    @classmethod
    def load(cls, path: Path, text: str, faults: list[Fault]) -> Settings:
        """The settings of a file; of one that is no YAML, none."""
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 0
            faults.append(Fault(path, line, f"no YAML: {error.problem}"))
            node = None
        except yaml.YAMLError as error:
            faults.append(Fault(path, 0, f"no YAML: {error}"))
            node = None
        except RecursionError:
            faults.append(Fault(path, 0, "is nested too deeply"))
            node = None
        return cls(path, node, faults)

    def _full(self, name: str) -> str:
        return f"{self._name}.{name}" if self._name else name

    def _fault(self, node: yaml.Node, reason: str) -> None:
        self._faults.append(Fault(self._path, node.start_mark.line + 1, reason))

    def fault(self, name: str, reason: str) -> None:
        """Add a fault at a value's line, or at the mapping's where it has none."""
        line = self.line(name)
        self._faults.append(Fault(self._path, line, f"{self._full(name)} {reason}"))

    def line(self, name: str) -> int:
        """Where a value is; the mapping's own line where it is missing."""
        return self._values[name].start_mark.line + 1 if name in self._values else self._line

    def _take(self, name: str, tags: tuple[str, ...], wanted: str, *, required: bool) -> Any:
        self._known.add(name)
        node = self._values.get(name)
        if node is None:
            if required:
                self.fault(name, f"is missing: {wanted}")
            return None
        if not isinstance(node, yaml.ScalarNode) or node.tag.rpartition(":")[2] not in tags:
            hint = "; put it in quotes" if isinstance(node, yaml.ScalarNode) and tags == ("str",) else ""
            self.fault(name, f"is {_describe(node)}, must be {wanted}{hint}")
            return None
        loader = yaml.SafeLoader("")
        try:
            return loader.construct_object(node)
        except ValueError as error:
            self.fault(name, f"is {node.value!r}: {error}")
            return None

    def text(self, name: str, wanted: str, *, pattern: str = "(?s).+", required: bool = False) -> str | None:
        """A text that `pattern` describes as a whole; `wanted` says so in words."""
        value = cast(str | None, self._take(name, ("str",), wanted, required=required))
        if value is not None and not re.fullmatch(pattern, value):
            self.fault(name, f"is {value[:80]!r}, must be {wanted}")
            return None
        return value

    def number(self, name: str, low: float, high: float, *, whole: bool = False) -> float | None:
        """A number within bounds."""
        kind = "a whole number" if whole else "a number"
        wanted = f"{kind} between {low:,.12g} and {high:,.12g}"
        value = cast(float | None, self._take(name, ("int",) if whole else ("int", "float"), wanted, required=False))
        if value is not None and not low <= value <= high:  # also of NaN
            self.fault(name, f"is {value:,}, must be {wanted}")
            return None
        return value

    def mapping(self, name: str, *, required: bool = False) -> Settings:
        """The settings below a name; empty where there are none."""
        self._known.add(name)
        node = self._values.get(name)
        if node is None and required:
            self.fault(name, "is missing: a mapping")
        below = Settings(self._path, node, self._faults, self._full(name))
        if node is None:
            below._line = self._line
        return below

    def texts(self, name: str) -> list[tuple[str, int]] | None:
        """A list of texts, each with its line; None where it is missing or no such list."""
        self._known.add(name)
        node = self._values.get(name)
        if node is None:
            return None
        entries = node.value if isinstance(node, yaml.SequenceNode) else None
        if entries is None or any(entry.tag.rpartition(":")[2] != "str" for entry in entries):
            self.fault(name, f"is {_describe(node)}, must be a list of texts")
            return None
        return [(str(entry.value), entry.start_mark.line + 1) for entry in entries]

    def names(self) -> list[str]:
        """Every name that is given."""
        return list(self._values)

    def refuse_unknown(self, also: Iterable[str] = ()) -> None:
        """Every name that nothing has asked for is a fault."""
        known = self._known | set(also)
        for name in self._values.keys() - known:
            self.fault(name, f"is not known{nearest(name, known)}")
