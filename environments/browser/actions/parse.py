"""From any JSON value to the driver's request, and from the table of kinds to the published JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from environments.browser.actions.keys import split_chord
from environments.browser.actions.kinds import KINDS, Kind
from environments.browser.actions.members import ActionError, Viewport
from environments.environment import JsonObject
from environments.protocols.hints import did_you_mean, names, quoted
from environments.protocols.schema import kind_of


def action_schema(kinds: Collection[str] | None = None) -> JsonObject:
    """JSON Schema of every action of these kinds, all when left out; coordinates have no upper limit there.

    Raises: KeyError for a kind that there is not.
    """
    return {"oneOf": [_schema(name, KINDS[name]) for name in _in_order(kinds)]}


def parse_action(action: Any, viewport: Viewport, kinds: Collection[str] | None = None) -> JsonObject:
    """The request to the driver that `action`, any JSON value, stands for; absent members stay absent.

    Raises: ActionError.
    """
    allowed = list(_in_order(kinds))
    name = read_kind(action, allowed)
    kind = KINDS[name]
    for key in action:
        if key != "type" and key not in kind.members:
            hint = did_you_mean(key, kind.members) if kind.members else "it takes none"
            takes = f" it takes {names(kind.members)}" if hint.startswith("did") else ""
            raise ActionError(f"{name!r} has no member {quoted(key)}; {hint}{takes}")
    for key, member in kind.members.items():
        if member.required and key not in action:
            raise ActionError(f"{name!r} needs a member {key!r}: {member.description}")
    read = {
        key: member.read(f"{key!r} of {name!r}", action[key], viewport)
        for key, member in kind.members.items()
        if key in action
    }
    for rule in kind.rules:
        rule.check(name, read)
    return {"type": name, **_FINISH.get(name, _as_it_is)(read, viewport)}


def _in_order(kinds: Collection[str] | None) -> Iterable[str]:
    if kinds is None:
        return KINDS
    for name in kinds:
        KINDS[name]  # raises for one that there is not
    return (name for name in KINDS if name in kinds)


def read_kind(action: Any, allowed: list[str]) -> str:
    """The action's `type`, one of those that are allowed. Raises: ActionError."""
    if not isinstance(action, dict):
        raise ActionError(f"an action is an object with a member 'type', not {quoted(action)}")
    if "type" not in action:
        raise ActionError(f"the action has no member 'type'; one of {names(allowed)} is needed")
    name = action["type"]
    if not isinstance(name, str):
        raise ActionError(f"'type' is {quoted(name)}, must be a string, not {kind_of(name)}")
    if name not in allowed:
        hint = did_you_mean(name, allowed)
        listed = f" there are {names(allowed)}" if hint.startswith("did") else ""
        where = "in this episode " if name in KINDS else ""
        raise ActionError(f"there is no action {quoted(name)} {where}; {hint}{listed}".replace(" ;", ";"))
    return name


def _schema(name: str, kind: Kind) -> JsonObject:
    schema: JsonObject = {
        "type": "object",
        "description": kind.description,
        "properties": {"type": {"const": name}, **{key: each.schema() for key, each in kind.members.items()}},
        "required": ["type", *(key for key, each in kind.members.items() if each.required)],
        "additionalProperties": False,
    }
    return schema | ({"allOf": [rule.schema() for rule in kind.rules]} if kind.rules else {})


def _as_it_is(read: JsonObject, viewport: Viewport) -> JsonObject:
    return read


def _zoom(read: JsonObject, viewport: Viewport) -> JsonObject:
    """What lies outside of the viewport has no picture."""
    for start, size, limit in (("x", "width", viewport.width), ("y", "height", viewport.height)):
        if read[start] + read[size] > limit:
            most = limit - read[start]
            raise ActionError(
                f"{size!r} of 'zoom' is {quoted(read[size])}: from {start} {quoted(read[start])} on there are "
                f"{quoted(most)} pixels of the viewport"
            )
    return read


def _address(read: JsonObject, viewport: Viewport) -> JsonObject:
    """Space around an address means nothing, and models write it."""
    return {**read, "url": read["url"].strip(" \n\r\t")} if "url" in read else read


def _hold(read: JsonObject, viewport: Viewport) -> JsonObject:
    """The driver presses and releases keys one by one."""
    return {"keys": split_chord(read["key"]), "time_s": read["time_s"]}


_FINISH: Mapping[str, Callable[[JsonObject, Viewport], JsonObject]] = {
    "zoom": _zoom,
    "goto": _address,
    "new_tab": _address,
    "key_hold": _hold,
}

ACTION_SCHEMA = action_schema()
