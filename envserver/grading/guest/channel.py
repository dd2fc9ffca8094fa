"""Messages on descriptors 3 and 4, and errors as frames; for both guest programs of a grader."""

from __future__ import annotations

import builtins
import fcntl
import os
from typing import Any

from envserver.grading.guest.codec import EXCEPTIONS, MAX_TEXT


class Channel:
    """The session's two pipes, out of the way of code that uses or closes low numbers, and closed on exec."""

    def __init__(self) -> None:
        self._requests = fcntl.fcntl(3, fcntl.F_DUPFD_CLOEXEC, 24)
        self._answers = fcntl.fcntl(4, fcntl.F_DUPFD_CLOEXEC, 24)
        os.close(3)
        os.close(4)

    def read(self) -> bytes:
        """The next message. Raises: EOFError when there is none."""
        length = b""
        while not length.endswith(b"\n"):
            length += self._part(1)
        data, size = b"", int(length)
        while len(data) < size:
            data += self._part(size - len(data))
        return data

    def _part(self, size: int) -> bytes:
        part = os.read(self._requests, size)
        if not part:
            raise EOFError
        return part

    def write(self, data: bytes) -> None:
        data = b"%d\n%s" % (len(data), data)
        while data:
            data = data[os.write(self._answers, data) :]


def name_of(error: BaseException) -> str:
    """The nearest builtin exception that may cross the border, or `SystemExit` and its kin by their names."""
    for kind in type(error).__mro__:
        if kind.__name__ in EXCEPTIONS and kind.__module__ == "builtins":
            return kind.__name__
    return "BaseException"


def text_of(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except Exception:
        return ""


def make_error(name: str, text: str) -> BaseException:
    """The exception itself; some builtins take more than a text, which is then their only argument all the same."""
    kind: Any = getattr(builtins, name) if name in EXCEPTIONS else Exception
    try:
        error: BaseException = kind(text)
    except TypeError:
        error = kind.__new__(kind, text)
    return error
