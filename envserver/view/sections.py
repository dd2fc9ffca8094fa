"""Any value of an episode as sections: what reads as text, as text; pictures; and all the rest as JSON.

A section is `{"title", "kind", "text"}`, where `kind` says how the page draws it (`text`, `error`, `json`, or `folded`,
which is opened first), or a picture, `{"title", "kind": "picture", "format", "data", "width", ...}`. No
environment is known here: names that several of them use read better, and others are shown all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from envserver.view.pictures import Claim, NoPictureError, claim_of, read
from envserver.view.room import Room, visible

Section = dict[str, Any]

READ = frozenset(
    "answer changes code command content error found html message note prompt query read reasoning_content result "
    "stderr stdout text text_content thinking thought traceback user".split()
)
"""Members that are texts, however short."""
ERRORS = frozenset({"error", "stderr", "traceback"})
FOLDED = frozenset({"observations", "tool_schemas", "tools"})
"""Long, and seldom what is looked for: schemas, and what the messages beside them say too."""
LONG_CHARS = 100
WIDTH = 100
"""JSON that fits on a line of so many characters is not broken."""
BROKEN_CHARS = 200_000
"""Longer JSON is not broken into lines."""
MAX_DEPTH = 64
"""As deep as a server takes JSON."""
MAX_SECTIONS = 100
"""Of one value: the last is the JSON of all that has none."""
MAX_PICTURES = 50
TITLE_CHARS = 100


def sections_of(value: Any, room: Room) -> list[Section]:
    """Of an action, an observation, or anything else that is JSON."""
    layout = _Layout(room)
    layout.show(value)
    return layout.sections


def one_line(value: Any, chars: int = 120) -> str:
    """What an action is, for a list of steps."""
    words = _words(value, chars) if isinstance(value, Mapping) else [_word(value, chars)]
    line = " ".join(visible(" ".join(words)).split())
    return line if len(line) <= chars else f"{line[:chars]}…"


def _words(members: Mapping[str, Any], chars: int) -> list[str]:
    first = [name for name in ("type", "name") if name in members]
    return [_word(members[name], chars) for name in (*first, *(name for name in members if name not in first))]


def _word(value: Any, chars: int) -> str:
    return (value if isinstance(value, str) else _compact(value))[:chars]


class _Layout:
    """The sections of one value, as they come to be."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._pictures: list[Section] = []
        self._texts: list[Section] = []
        self._claims = 0

    @property
    def sections(self) -> list[Section]:
        """Pictures say the most."""
        return self._pictures + self._texts

    def show(self, value: Any) -> None:
        plain = self._without_pictures(value, MAX_DEPTH)
        if isinstance(plain, str):
            self._add("", "text", plain)
        elif isinstance(plain, dict):
            self._show_members(plain, "")
        elif plain is not None:
            self._add("", "json", written(plain))

    def _show_members(self, members: Mapping[str, Any], prefix: str) -> None:
        rest = {name: value for name, value in members.items() if not self._show_member(name, value, prefix)}
        if rest:
            self._add(prefix.rstrip(": ") or ("more" if self._texts else ""), "json", written(rest))

    def _show_member(self, name: str, value: Any, prefix: str) -> bool:
        """Whether it has sections of its own."""
        title = prefix.rstrip(": ") if prefix and name in ("content", "text") else f"{prefix}{name}"
        if len(self._texts) >= MAX_SECTIONS - 1 or not value:
            return False
        if isinstance(value, str):
            if name not in READ and len(value) <= LONG_CHARS and "\n" not in value:
                return False
            self._add(title, "error" if name in ERRORS else "text", value)
        elif name in FOLDED:
            self._add(title, "folded", written(value))
        elif name in ("message", "messages", "content") and _are_parts(value):
            for part in [value] if isinstance(value, dict) else value:
                self._show_part(part, title if name == "content" else prefix)
        elif isinstance(value, dict) and prefix == "" and any(map(_is_long, value.values())):
            self._show_members(value, f"{title}: ")
        else:
            return False
        return True

    def _show_part(self, part: Any, title: str) -> None:
        """A message, or a block of one."""
        if isinstance(part, str):
            self._add(title, "text", part)
            return
        rest = dict(part)
        if isinstance(part.get("role"), str):
            title = rest.pop("role")
        if part.get("type") == "text":
            del rest["type"]  # its text says so
        self._show_members(rest, f"{title}: " if title else "")

    def _add(self, title: str, kind: str, text: str) -> None:
        if len(self._texts) >= MAX_SECTIONS:
            self._room.leave_out(text)
            return
        shown = self._room.text(text)
        if shown is not None:
            self._texts.append({"title": visible(title[:TITLE_CHARS]), "kind": kind, "text": shown})

    def _without_pictures(self, value: Any, depth: int) -> Any:
        """The same with pictures taken out, and nothing below `depth`."""
        claim = claim_of(value)
        if claim is not None:
            return self._take_picture(claim)
        if not isinstance(value, dict | list):
            return value
        if depth == 0:
            return "[nested too deeply to be shown]"
        if isinstance(value, dict):
            return {name: self._without_pictures(member, depth - 1) for name, member in value.items()}
        return [self._without_pictures(element, depth - 1) for element in value]

    def _take_picture(self, claim: Claim) -> str:
        """What stands in its place."""
        self._claims += 1
        title = f"picture {self._claims}"
        try:
            picture = read(claim)
        except NoPictureError as error:
            self._room.cuts.bad_pictures += 1
            return f"[{title}: one {error}]"
        if len(self._pictures) >= MAX_PICTURES or not self._room.picture(picture.data):
            self._room.cuts.pictures += 1
            return f"[{title}: {picture.size_bytes:,} bytes that do not fit into the page]"
        title = f"{title}, {picture.width} x {picture.height}"
        self._pictures.append({"title": title, "kind": "picture", **asdict(picture)})
        return f"[picture {self._claims}]"


def _are_parts(value: Any) -> bool:
    if isinstance(value, dict):
        return True
    return (
        isinstance(value, list) and len(value) <= MAX_SECTIONS and all(isinstance(part, dict | str) for part in value)
    )


def _is_long(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > LONG_CHARS or "\n" in value)


def written(value: Any) -> str:
    """JSON for people: one line where it is short, a line a member where it is not, lists of numbers unbroken."""
    compact = _compact(value)
    return "\n".join(_broken(value, "")) if WIDTH < len(compact) <= BROKEN_CHARS else compact


def _broken(value: Any, indent: str) -> Iterator[str]:
    compact = _compact(value)
    if not isinstance(value, dict | list) or len(indent) + len(compact) <= WIDTH or _is_flat(value):
        yield compact
        return
    inner = indent + "  "
    named = [(f"{_compact(name)}: ", member) for name, member in value.items()] if isinstance(value, dict) else (
        [("", element) for element in value]
    )  # fmt: skip
    yield "{" if isinstance(value, dict) else "["
    for place, (name, member) in enumerate(named, 1):
        first, *others = _broken(member, inner)
        lines = [f"{inner}{name}{first}", *others]
        lines[-1] += "," if place < len(named) else ""
        yield from lines
    yield indent + ("}" if isinstance(value, dict) else "]")


def _is_flat(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(element, int | float) for element in value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
