"""The server's half of the call frames: everything from a candidate is hostile until it went through here.

The value format itself is `envserver.grading.guest.codec`. The server builds no value from a frame: it checks
the tree, and relays nothing that it does not know.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from envserver.grading.guest.codec import EXCEPTIONS, MAX_TEXT, Refused, check, load

LARGE_BYTES = 32_000
"""Larger frames are checked in a thread, so that no candidate can hold up the event loop."""
MAX_ARGUMENTS = 256


class CandidateError(Exception):
    """The candidate's answer rules out a passing verdict; the message says why, without its values."""


@dataclass(frozen=True)
class Call:
    """One call of the tests, ready to be sent on."""

    frame: dict[str, Any]

    @property
    def arguments(self) -> int:
        return len(self.frame["args"]) + len(self.frame["kwargs"])


@dataclass(frozen=True)
class Verdict:
    passed: bool
    error: str | None = None


async def read_answer(data: bytes, call: Call) -> dict[str, Any]:
    """A candidate's answer to `call` as the frame for the harness. Raises: CandidateError."""
    if len(data) > LARGE_BYTES:
        return await asyncio.to_thread(parse_answer, data, call.arguments)
    return parse_answer(data, call.arguments)


def parse_answer(data: bytes, arguments: int) -> dict[str, Any]:
    """As `read_answer`, for a call of so many arguments."""
    try:
        frame = load(data)
        if not isinstance(frame, dict):
            raise CandidateError("its answer is no frame")
        members = frozenset(frame)
        if members == {"value", "changed"}:
            check(frame["value"])
            return {"value": frame["value"], "changed": _changes(frame["changed"], arguments)}
    except Refused as error:
        raise CandidateError(f"its answer is malformed: {error}") from None
    if members == {"raised", "text"}:
        return _raised(frame)
    if members == {"refused"}:
        raise CandidateError(f"its answer cannot be passed on: {str(frame['refused'])[:MAX_TEXT]}")
    raise CandidateError("its answer is no known frame")


def _changes(changed: Any, arguments: int) -> dict[str, Any]:
    if not isinstance(changed, dict):
        raise CandidateError("its answer is no known frame")
    known = {str(position) for position in range(arguments)}
    for position, tree in changed.items():
        if position not in known:
            raise CandidateError("it changed an argument that does not exist")
        check(tree)
    return changed


def _raised(frame: dict[str, Any]) -> dict[str, Any]:
    name, text = frame["raised"], frame["text"]
    if not isinstance(name, str) or not isinstance(text, str) or len(text) > MAX_TEXT:
        raise CandidateError("its answer is no known frame")
    if name not in EXCEPTIONS:
        raise CandidateError("it tried to exit or raised what cannot be passed on")
    return {"raised": name, "text": text}


def parse_loaded(data: bytes) -> None:
    """The answer to {"load": ...}. Raises: CandidateError."""
    try:
        frame = load(data)
    except Refused as error:
        raise CandidateError(f"its answer is malformed: {error}") from None
    if frame == {"loaded": True}:
        return
    name = frame.get("fatal") if isinstance(frame, dict) else None
    shown = name if isinstance(name, str) and name in EXCEPTIONS else "an exit"
    raise CandidateError(f"it cannot be imported: {shown}")


def parse_harness(data: bytes) -> Call | Verdict:
    """What a harness says: the next call or its verdict. Raises: Refused for anything else."""
    frame = load(data)
    if not isinstance(frame, dict):
        raise Refused("no frame")
    members = frozenset(frame)
    if members == {"call", "args", "kwargs"}:
        call = Call(frame)
        if not isinstance(frame["call"], str) or call.arguments > MAX_ARGUMENTS:
            raise Refused("no call, or one with too many arguments")
        return call
    if frame == {"verdict": "passed"}:
        return Verdict(True)
    if members == {"verdict", "error"} and frame["verdict"] == "failed" and isinstance(frame["error"], str):
        return Verdict(False, frame["error"][:100])
    raise Refused(str(frame.get("broken", "no known frame"))[:MAX_TEXT])
