"""An observation as the text that a model reads: what it says first, then whatever else it has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from environments.protocols.messages import Picture

_PLAIN = ("content", "text", "stdout", "user", "prompt")
"""Shown as they are."""
_NAMED = ("result", "stderr", "error", "traceback", "exit_code", "signal", "note", "refused")
"""Shown behind their names, unless they say nothing."""
_SILENT = frozenset(
    {"number", "tool", "tools", "images", "page", "pages", "truncated", "session", "workspace", "browser"}
)
"""Of no use to a model, or shown in another way."""


PAGES = ("text", "changes", "html", "text_content", "found", "read")
"""Of a browser: what it has to show, each as long as a page."""


def as_text(observation: Mapping[str, Any]) -> str:
    """Of any environment; pictures are left out: see `pictures_of`."""
    if "url" in observation:
        return _browser_as_text(observation)
    parts = [str(observation[name]).rstrip("\n") for name in _PLAIN if observation.get(name)]
    parts += [_named(name, observation[name]) for name in _NAMED if _says_something(observation.get(name))]
    rest = {
        name: value
        for name, value in observation.items()
        if name not in _SILENT and name not in _PLAIN and name not in _NAMED
    }
    if parts:
        rest.pop("observation", None)  # a simulator's, in numbers: what was said says the same
    if rest:
        parts.append(json.dumps(rest, ensure_ascii=False))
    if observation.get("session") in ("interrupted", "restarted", "lost") and not observation.get("note"):
        parts.append(f"session: {observation['session']}")
    return "\n".join(parts) or "(no output)"


def _browser_as_text(seen: Mapping[str, Any]) -> str:
    """What is not the page comes first: of a long text only the first part may be shown."""
    about = {name: value for name, value in seen.items() if name not in PAGES and name != "images"}
    lines = [
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in about.items()
        if value not in (None, [])
    ]
    pages = [name for name in PAGES if name in seen]
    shown = [str(seen[name]) if len(pages) == 1 else f"{name}:\n{seen[name]}" for name in pages]
    return "\n\n".join(("\n".join(lines), *shown))


def _named(name: str, value: Any) -> str:
    text = str(value).rstrip("\n")
    return f"{name}:\n{text}" if "\n" in text else f"{name}: {text}"


def _says_something(value: Any) -> bool:
    return not isinstance(value, bool) and value not in (None, "", 0)


def pictures_of(observation: Mapping[str, Any]) -> tuple[Picture, ...]:
    return tuple(Picture(picture["format"], picture["data"]) for picture in observation.get("images", ()))
