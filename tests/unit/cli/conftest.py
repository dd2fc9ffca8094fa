"""The command line in this process, on the scripted runtime's server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from envserver.cli import main
from tests.unit.fixtures import gates, grader, make_manager, make_server, runtime, server, unblocked_loop

__all__ = ["gates", "grader", "make_manager", "make_server", "runtime", "server", "unblocked_loop"]


@dataclass(frozen=True)
class Said:
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output, after what a server in this process may have logged there."""
        return json.loads(self.out.splitlines()[-1])


Run = Callable[..., Said]
Ask = Callable[..., Awaitable[Said]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("episodes", "list")` as a process would, with no variable of this one's."""
    for name in ("ENVSERVER_URL", "ENVSERVER_API_KEY", "ENVSERVER_HOST", "ENVSERVER_PORT", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)

    def run_command(*arguments: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        status = ended.value.code
        return Said(status if isinstance(status, int) else 0, captured.out, captured.err)

    return run_command


@pytest.fixture
def ask(run: Run) -> Ask:
    """The same beside a server in this loop."""

    async def in_thread(*arguments: str) -> Said:
        return await asyncio.to_thread(run, *arguments)

    return in_thread
