"""An episode's tools made of MCP servers, in a directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from environments.environment import JsonObject, StepContext
from environments.tasks import GraderSpec, Task
from environments.tools.mcp.kit import mcp_kits
from environments.tools.rules import Rules
from environments.tools.toolbox import Toolbox
from envserver_sdk.models import Outcome
from tests.unit.environments.test_repetition import Cut, CutSandbox, ServerKilledError

SERVER = "/workspace/server.py"
SOURCE = (Path(__file__).parent / "scripted_server.py").read_bytes()
ONE: list[JsonObject] = [{"name": "one", "command": ["python3", SERVER], "env": {"COLOUR": "red"}}]
TASK = Task("t", "Do it.", GraderSpec("answer"))
RULES = Rules(page_chars=2_000_000)


class World:
    """A sandbox and toolbox through the lives of its servers."""

    def __init__(self, root: Path, mcp: Sequence[JsonObject] = ONE) -> None:
        self.root, self.mcp = root, mcp
        self.sandbox = CutSandbox(root)
        self.toolbox = Toolbox(mcp_kits(mcp), RULES, 0)

    async def begin(self) -> None:
        await self.sandbox.write_file(SERVER, SOURCE)
        await self.toolbox.begin(self.sandbox, TASK)

    async def call(
        self, name: str, said: str = "", *, timeout_s: float = 20, cuts: Sequence[Cut] = ()
    ) -> tuple[JsonObject, Outcome]:
        """Under its series, by as many servers as it takes."""
        number, before = self.sandbox.reserve_series(), json.dumps(self.toolbox.snapshot())
        for cut in (*cuts, None):
            self.sandbox.calls, self.sandbox.cut = 0, cut
            try:
                with self.sandbox.series(number):
                    found = await self.toolbox.call(name, {"text": said}, StepContext(timeout_s))
            except ServerKilledError:
                self.next_server(before)
            else:
                self.sandbox.settle_series(number)
                return found.observation, found.outcome
        raise AssertionError("unreachable")

    async def said(self, name: str, said: str = "", **options: Any) -> str:
        return str((await self.call(name, said, **options))[0]["content"])

    def next_server(self, snapshot: str | None = None) -> None:
        state = json.loads(snapshot or json.dumps(self.toolbox.snapshot()))
        self.sandbox = CutSandbox(self.root, self.sandbox.guest)
        self.toolbox = Toolbox(mcp_kits(self.mcp), RULES, 0)
        self.toolbox.restore(self.sandbox, TASK, state)

    async def end(self) -> None:
        """The programs are groups of their own, which a directory's guest does not kill: they end with their input."""
        bridges = [program.process for program in self.sandbox.guest.sessions.values()]
        await self.sandbox.destroy()
        for process in bridges:
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                await stream.read()

    @property
    def marks(self) -> int:
        """How many calls of `count` any process has seen."""
        path = self.root / "workspace" / "marks"
        return len(path.read_text()) if path.exists() else 0
