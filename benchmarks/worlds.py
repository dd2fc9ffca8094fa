"""A world in a process on this machine, for programs that check thousands of calls of ours: no sandbox, no node."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from environments.environment import JsonObject
from environments.tools.worlds import session
from environments.tools.worlds.record import WorldRecord
from environments.tools.worlds.session import WorldAnswer, WorldSpec, call_message, guest_source, parse_answer

Calls = Sequence[Mapping[str, Any]]
CALL_S = 10.0


def use_installed(package_folder: Path) -> None:
    """Have worlds find the simulators of a package that is installed here, not where the sandbox's image keeps them."""
    session.PATHS = (str(package_folder.parent),)


class LocalWorld:
    """The program of `guest/world_session.py`, asked over two pipes."""

    def __init__(self) -> None:
        message_end, self._messages = os.pipe()
        self._answers, answer_end = os.pipe()

        def attach() -> None:
            low = [os.dup(message_end), os.dup(answer_end)]
            os.dup2(low[0], 3)
            os.dup2(low[1], 4)

        source = guest_source("world_session")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", source], preexec_fn=attach, close_fds=True, pass_fds=(3, 4)
        )
        os.close(message_end)
        os.close(answer_end)

    def __enter__(self) -> LocalWorld:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._messages)
        self._process.wait()
        os.close(self._answers)

    def begin(self, spec: WorldSpec) -> WorldAnswer:
        """Raises: WorldLostError."""
        return self._ask(spec.message())

    def call(self, tool: str, arguments: JsonObject) -> WorldAnswer:
        """Raises: WorldLostError."""
        return self._ask(call_message(tool, arguments))

    def replay(self, spec: WorldSpec, turns: Iterable[Calls]) -> WorldRecord:
        """What the calls come to, from the world's beginning."""
        record = WorldRecord(dict(self.begin(spec).digests))
        for number, calls in enumerate(turns, 1):
            record.begin_turn(number)
            for call in calls:
                answer = self.call(call["tool"], call["arguments"])
                record.turns[-1].add(call["tool"], call["arguments"], answer)
        return record

    def _ask(self, message: bytes) -> WorldAnswer:
        data = b"%d\n%s" % (len(message), message)
        while data:
            data = data[os.write(self._messages, data) :]
        return parse_answer(self._read())

    def _read(self) -> bytes:
        head = b""
        while b"\n" not in head:
            head += self._more()
        size, _, body = head.partition(b"\n")
        while len(body) < int(size):
            body += self._more()
        return body

    def _more(self) -> bytes:
        if not select.select([self._answers], [], [], CALL_S)[0]:
            self._process.send_signal(signal.SIGINT)  # as a sandbox ends a call that takes too long
            if not select.select([self._answers], [], [], CALL_S)[0]:
                self._process.kill()
        if part := os.read(self._answers, 1 << 20):
            return part
        raise RuntimeError(f"the world's process ended with {self._process.wait()}")
