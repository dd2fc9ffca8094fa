"""Requests on one descriptor, answers on another, of any length: those longer than a message come in parts.

A message is a length in ASCII, a newline and so many bytes; it says with its first byte whether its part is the last
("." or "+"). Each gets one message back: a part that is not the last an empty one, the last part the answer's first
part, and the empty message, which asks for more, the next part.
"""

from __future__ import annotations

import os

MAX_PART = 800_000
LAST, MORE = b".", b"+"


class Channel:
    """Belongs to the one program that serves it."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests = requests
        self._answers = answers

    def receive(self) -> bytes | None:
        """The next request, whole; None at the end."""
        whole = b""
        while (part := self._read()) is not None:
            whole += part[1:]
            if part[:1] == LAST:
                return whole
            self._write(LAST)
        return None

    def send(self, answer: bytes) -> bool:
        """Whether it was asked for to its end."""
        while len(answer) > MAX_PART:
            self._write(MORE + answer[:MAX_PART])
            answer = answer[MAX_PART:]
            if self._read() is None:
                return False
        self._write(LAST + answer)
        return True

    def _read(self) -> bytes | None:
        length = b""
        while not length.endswith(b"\n"):
            byte = os.read(self._requests, 1)
            if not byte:
                return None
            length += byte
        parts, missing = [], int(length)
        while missing:
            part = os.read(self._requests, missing)
            if not part:
                return None
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _write(self, data: bytes) -> None:
        rest = memoryview(b"%d\n%s" % (len(data), data))
        while rest:
            rest = rest[os.write(self._answers, rest) :]
