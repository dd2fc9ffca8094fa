"""What a policy may ask of the code environment, and how a malformed request is explained to it.

The one table `MEMBERS` yields both the parser and the published JSON Schema, so they cannot disagree. A
request that does not fit raises `ActionError`, whose message names the member, the value's type or size and what would
be right: it is the observation that a model learns from.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORKSPACE = "/workspace"
MAX_TEXT_BYTES = 800_000
MAX_PATH_BYTES = 4096
LANGUAGES = ("python", "bash", "javascript", "c", "cpp")


class ActionError(ValueError):
    """The action is malformed; the message is fit for the policy."""


@dataclass(frozen=True)
class Member:
    """One member of an action: a string, with what is checked beyond that."""

    description: str
    required: bool = True
    choices: tuple[str, ...] = ()
    path: bool = False
    not_empty: bool = False
    no_nul: bool = False

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string", "description": self.description}
        if self.choices:
            schema["enum"] = list(self.choices)
        else:
            schema["maxLength"] = MAX_PATH_BYTES if self.path else MAX_TEXT_BYTES
        if self.path or self.not_empty:
            schema["minLength"] = 1
        return schema


@dataclass(frozen=True)
class Action:
    """A well-formed action. Absent optional members are absent from `members`; paths are absolute."""

    type: str
    members: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.members[name]


_PATH = Member(f"Absolute, or relative to {WORKSPACE}", path=True)

MEMBERS: Mapping[str, tuple[str, Mapping[str, Member]]] = {
    "python": (
        "Run a cell in the live Python interpreter: variables persist, a last expression is shown.",
        {"code": Member("Python source")},
    ),
    "bash": (
        "Run a command in the live shell: directory, variables, functions and background jobs persist.",
        {"command": Member("Shell source", no_nul=True)},
    ),
    "run": (
        "Run a whole program in a process of its own, with standard input.",
        {
            "language": Member("The program's language", choices=LANGUAGES),
            "code": Member("The program's source"),
            "stdin": Member("Its standard input; empty when left out", required=False),
        },
    ),
    "write_file": (
        "Create or replace a file, with missing directories.",
        {"path": _PATH, "content": Member("The whole content")},
    ),
    "read_file": ("Read a file.", {"path": _PATH}),
    "edit": (
        "Replace a text that occurs exactly once in a file.",
        {"path": _PATH, "old": Member("The text to replace", not_empty=True), "new": Member("What takes its place")},
    ),
    "submit": ("End the episode and have it graded.", {}),
}


def action_schema() -> dict[str, Any]:
    """JSON Schema of every action. Lengths count characters there and UTF-8 bytes here."""
    return {"oneOf": [_type_schema(name, *MEMBERS[name]) for name in MEMBERS]}


def _type_schema(name: str, description: str, members: Mapping[str, Member]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "properties": {"type": {"const": name}, **{key: member.schema() for key, member in members.items()}},
        "required": ["type", *(key for key, member in members.items() if member.required)],
        "additionalProperties": False,
    }


def parse_action(value: Any) -> Action:
    """The action that `value`, any JSON value, stands for. Raises: ActionError."""
    if not isinstance(value, dict):
        raise ActionError(f"an action is an object with a member 'type', not {_kind(value)}")
    if "type" not in value:
        raise ActionError(f"the action has no member 'type'; one of {_names(MEMBERS)} is needed")
    name = value["type"]
    if not isinstance(name, str) or name not in MEMBERS:
        shown = repr(name[:64]) if isinstance(name, str) else _kind(name)
        raise ActionError(f"'type' is {shown}, must be one of {_names(MEMBERS)}")
    members = MEMBERS[name][1]
    for key in value:
        if key != "type" and key not in members:
            raise ActionError(f"{name!r} has no member {str(key)[:64]!r}; it takes {_names(members) or 'none'}")
    return Action(name, {key: text for key in members if (text := _member(name, key, value)) is not None})


def _member(name: str, key: str, value: Mapping[str, Any]) -> str | None:
    member = MEMBERS[name][1][key]
    if key not in value:
        if member.required:
            raise ActionError(f"{name!r} needs a member {key!r}: {member.description}")
        return None
    text = value[key]
    if not isinstance(text, str):
        raise ActionError(f"{key!r} of {name!r} must be a string, not {_kind(text)}")
    _check_text(key, text, member)
    return posixpath.normpath(posixpath.join(WORKSPACE, text)) if member.path else text


def _check_text(key: str, text: str, member: Member) -> None:
    limit = MAX_PATH_BYTES if member.path else MAX_TEXT_BYTES
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ActionError(f"{key!r} is no valid Unicode: a lone surrogate at character {error.start}") from None
    if size > limit:
        raise ActionError(f"{key!r} has {size} bytes of UTF-8, at most {limit} are allowed")
    if member.choices and text not in member.choices:
        raise ActionError(f"{key!r} is {text[:64]!r}, must be one of {_names(member.choices)}")
    if (member.path or member.not_empty) and not text:
        raise ActionError(f"{key!r} must not be empty")
    if (member.path or member.no_nul) and "\0" in text:
        raise ActionError(f"{key!r} holds a NUL character at {text.index(chr(0))}, which cannot be passed on")


def _names(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return kinds.get(type(value), type(value).__name__)
