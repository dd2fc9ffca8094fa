"""What a policy gets to see: results of commands and sessions as observations and outcomes.

Everything here reads what untrusted programs said, so every value is checked before it is shown: texts become valid
Unicode, numbers are bounded, pictures begin like pictures. An observation has no member that does not apply.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from envserver.runtimes.base import CommandResult, Ending
from envserver_sdk.models import Outcome

PNG = b"\x89PNG\r\n\x1a\n"
MAX_IMAGES = 16
MAX_TEXT = 100_000

# An interactive bash without a terminal says this whenever a child dies by a signal.
_NO_TERMINAL = re.compile(r"^bash: \[\d+: \d+ \(\d+\)\] tcsetattr: Inappropriate ioctl for device\n", re.MULTILINE)

OUTCOMES = {Ending.TIMEOUT: Outcome.POLICY_TIMEOUT, Ending.OVERFLOW: Outcome.OUTPUT_OVERFLOW}

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}

OBSERVATION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "prompt": {**_TEXT, "description": "The task; in the first observation"},
        "workspace": {**_TEXT, "description": "The policy's directory; in the first observation"},
        "stdout": {**_TEXT, "description": "Bytes that are no UTF-8 are shown as \\xNN"},
        "stderr": _TEXT,
        "truncated": {
            "type": "boolean",
            "description": "Output was left out of the middle; a line there says how much",
        },
        "exit_code": {"type": ["integer", "null"], "description": "Null when it died by a signal or did not end"},
        "signal": {"type": ["integer", "null"]},
        "result": {**_TEXT, "description": "repr of a cell's last expression; absent when it is None"},
        "error": {**_TEXT, "description": "What went wrong, in a line"},
        "traceback": _TEXT,
        "images": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"format": {"const": "png"}, "data": {**_TEXT, "contentEncoding": "base64"}},
            },
        },
        "images_dropped": {**_COUNT, "description": "Figures that could not be drawn or sent"},
        "session": {
            "enum": ["live", "interrupted", "restarted", "lost"],
            "description": "live: state kept. interrupted: the step was stopped, state kept. restarted: this step "
            "began a new session. lost: the session has ended, the next step begins a new one",
        },
        "note": {**_TEXT, "description": "What became of the session or the program, in words"},
        "phase": {"enum": ["compile", "run"], "description": "Which part of `run` the output is of"},
        "content": {**_TEXT, "description": "A file's content"},
        "size_bytes": _COUNT,
        "path": _TEXT,
    },
}


class JunkError(ValueError):
    """A session's answer is not what its driver would say."""


def show_output(result: CommandResult) -> dict[str, Any]:
    stderr = result.stderr.text
    if "tcsetattr" in stderr:
        stderr = _NO_TERMINAL.sub("", stderr)
    return {
        "stdout": result.stdout.text,
        "stderr": stderr,
        "truncated": result.stdout.truncated or result.stderr.truncated,
    }


def show_ending(result: CommandResult, timeout_s: float, limit_bytes: int) -> str:
    """Why it was stopped, in words."""
    if result.ending is Ending.OVERFLOW:
        return f"stopped: more than {limit_bytes} bytes of output"
    return f"stopped: it ran longer than {timeout_s:g} s"


def show_death(result: CommandResult) -> str:
    if result.signal is not None:
        return f"it was killed by signal {result.signal}"
    return f"it ended with exit code {result.exit_code}"


def bash_answer(message: bytes) -> dict[str, Any]:
    """The shell's answer is a status. Raises: JunkError."""
    if not re.fullmatch(rb"\d{1,3}", message):
        raise JunkError("not an exit status")
    return {"exit_code": int(message)}


def python_answer(message: bytes) -> dict[str, Any]:
    """The interpreter's answer, checked member by member. Raises: JunkError."""
    try:
        answer = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise JunkError("not JSON") from error
    if not isinstance(answer, dict):
        raise JunkError("not an object")
    shown: dict[str, Any] = {}
    for key in ("result", "error", "traceback"):
        if key in answer:
            shown[key] = _text(answer[key])
    code = answer.get("exit_code")
    if code is not None:
        if type(code) is not int or not 0 <= code <= 255:
            raise JunkError("exit_code is no exit code")
        shown["exit_code"] = code
    if answer.get("clipped") is True:
        shown["truncated"] = True
    shown.update(_images(answer))
    return shown


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise JunkError("not a text, or too long")
    return value.encode("utf-8", "backslashreplace").decode()


def _images(answer: dict[str, Any]) -> dict[str, Any]:
    texts, dropped = answer.get("images", []), answer.get("images_dropped", 0)
    if not isinstance(texts, list) or len(texts) > MAX_IMAGES:
        raise JunkError("images is no list of a few")
    if type(dropped) is not int or not 0 <= dropped < 1_000_000:
        raise JunkError("images_dropped is no count")
    images = []
    for text in texts:
        if _decode(text).startswith(PNG):
            images.append({"format": "png", "data": text})
        else:
            dropped += 1
    return ({"images": images} if images else {}) | ({"images_dropped": dropped} if dropped else {})


def _decode(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise JunkError("an image is no base64") from error
