"""The tools that an MCP server says it has, checked: names that models can call, texts and schemas within bounds.

Nothing of it is evaluated here. A schema is passed on as it came, to be read by a model; whether arguments fit it is
the MCP server's to say.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from environments.environment import JsonObject

MAX_TOOLS = 128
"""Of one server."""
MAX_NAME = 64
"""Characters of a tool's name, as model APIs have it."""
MAX_DESCRIPTION = 8_000
MAX_SCHEMA_BYTES = 16_384
MAX_DEPTH = 32
_NOT_OF_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")


class ListingError(ValueError):
    """What a server lists is no list of tools, or too much of one."""


@dataclass(frozen=True)
class ListedTool:
    """One tool as its server names and describes it."""

    name: str
    description: str
    parameters: JsonObject

    def as_json(self) -> JsonObject:
        return asdict(self)


def parse_listing(value: Any) -> list[ListedTool]:
    """Raises: ListingError."""
    if not isinstance(value, list) or len(value) > MAX_TOOLS:
        many = f"{len(value)} tools, at most {MAX_TOOLS} are taken" if isinstance(value, list) else "no list of tools"
        raise ListingError(f"it lists {many}")
    tools = [_parse(entry) for entry in value]
    if twice := [name for name, count in Counter(tool.name for tool in tools).items() if count > 1]:
        raise ListingError(f"it lists two tools called {twice[0]!r}")
    return tools


def _parse(entry: Any) -> ListedTool:
    name = entry.get("name") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not 1 <= len(name) <= 128 or clean(name) != name:
        raise ListingError("it lists a tool without a usable name")
    description = entry.get("description") or ""
    if not isinstance(description, str):
        raise ListingError(f"the description of its tool {name!r} is no text")
    if len(description) > MAX_DESCRIPTION:
        description = f"{description[:MAX_DESCRIPTION]} [...]"
    return ListedTool(name, clean(description), _schema(name, entry.get("inputSchema")))


def _schema(name: str, schema: Any) -> JsonObject:
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise ListingError(f"the input schema of its tool {name!r} is none of an object")
    if depth_of(schema) > MAX_DEPTH:
        raise ListingError(f"the input schema of its tool {name!r} is nested more than {MAX_DEPTH} deep")
    try:
        size = len(json.dumps(schema, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise ListingError(f"the input schema of its tool {name!r} is no valid Unicode") from None
    if size > MAX_SCHEMA_BYTES:
        raise ListingError(f"the input schema of its tool {name!r} has {size} bytes, more than {MAX_SCHEMA_BYTES}")
    return {"type": "object", "properties": {}, **schema}


def exposed_names(tools: Mapping[str, Sequence[ListedTool]]) -> dict[str, tuple[str, str]]:
    """By the name that a policy calls: which server's tool, and how that calls it.

    A name that two servers share is put behind the server's; so is one that only differs in what no model can write.
    """
    plain = Counter(_callable(tool.name) for listed in tools.values() for tool in listed)
    exposed: dict[str, tuple[str, str]] = {}
    for server, listed in tools.items():
        for tool in listed:
            name = _callable(tool.name)
            if plain[name] > 1:
                name = _callable(f"{server}_{tool.name}")
            number, free = 2, name
            while free in exposed:
                free = f"{name[: MAX_NAME - 4]}_{number}"
                number += 1
            exposed[free] = (server, tool.name)
    return exposed


def _callable(name: str) -> str:
    return _NOT_OF_A_NAME.sub("_", name)[:MAX_NAME]


def clean(text: str) -> str:
    """As valid Unicode."""
    return text.encode("utf-8", "backslashreplace").decode()


def depth_of(value: Any) -> int:
    """How deep a JSON value is nested; anything past `MAX_DEPTH` is one more."""
    level = [value]
    for depth in range(MAX_DEPTH + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return depth
    return MAX_DEPTH + 1
