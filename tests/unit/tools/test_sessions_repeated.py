"""A call that a killed server leaves half done is gone through again by the next one: the same comes of it, once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from environments.environment import JsonObject, StepContext
from environments.tasks import GraderSpec, Task
from environments.tools.kit import Kit
from environments.tools.kits.code import BashKit, PythonKit
from environments.tools.kits.files import FilesKit
from environments.tools.kits.sql import SqlKit
from environments.tools.rules import Rules
from environments.tools.toolbox import Toolbox
from envserver_sdk.models import Outcome
from tests.unit.environments.test_repetition import WHEN, Cut, CutSandbox, ServerKilledError
from tests.unit.local_sandbox import LocalGuest

FILES = {"/workspace/things.csv": b"n\n1\n2\n", "/workspace/text": b"one two"}
PLAIN = Task("t", "Do it.", GraderSpec("answer"), files=FILES)
TABLES = replace(PLAIN, public={"sql": {"tables": {"things": "/workspace/things.csv"}}})
RULES = Rules(page_chars=200)

Step = tuple[str, JsonObject]

CELL: Step = ("python", {"code": "n = globals().get('n', 0) + 1\nprint(file=open('marks', 'a'))\nn"})
CELL_THAT_FAILS: Step = ("python", {"code": "print(file=open('marks', 'a'))\n1 / 0"})
CELL_THAT_ENDS_IT: Step = ("python", {"code": "import os; os._exit(3)"})
COMMAND: Step = ("bash", {"command": "echo >> marks; k=$((k + 1)); echo $k"})
LONG: Step = ("bash", {"command": "echo >> marks; seq 200"})
INSERT: Step = ("sql", {"query": "INSERT INTO things SELECT max(n) + 1 FROM things; SELECT * FROM things"})
MISTAKE: Step = ("sql", {"query": "INSERT INTO things VALUES (0); SELECT * FROM nothing"})
EDIT: Step = ("edit_file", {"path": "text", "old": "one", "new": "two one"})
WRITE: Step = ("write_file", {"path": "text", "content": "one"})


def kits() -> list[Kit]:
    return [PythonKit(), BashKit(), SqlKit(), FilesKit()]


class World:
    """An episode's sandbox and toolbox through the lives of its servers."""

    def __init__(self, root: Path, task: Task) -> None:
        self.root, self.task = root, task
        self.sandbox = CutSandbox(root)
        self.toolbox = Toolbox(kits(), RULES, 0)

    async def begin(self) -> None:
        for path, data in self.task.files.items():
            await self.sandbox.write_file(path, data)
        await self.toolbox.begin(self.sandbox, self.task)

    async def step(self, step: Step, cuts: Sequence[Cut] = ()) -> tuple[JsonObject, Outcome]:
        """Under its series, by as many servers as it takes."""
        number, before = self.sandbox.reserve_series(), json.dumps(self.toolbox.snapshot())
        for cut in (*cuts, None):
            self.sandbox.calls, self.sandbox.cut = 0, cut
            try:
                with self.sandbox.series(number):
                    done = await self.toolbox.call(*step, StepContext(20))
            except ServerKilledError:
                self._next_server(before, self.sandbox.guest)
            else:
                self.sandbox.settle_series(number)
                return json.loads(json.dumps(done.observation).replace(str(self.root), "")), done.outcome
        raise AssertionError("unreachable")

    def _next_server(self, snapshot: str, guest: LocalGuest) -> None:
        self.sandbox = CutSandbox(self.root, guest)
        self.toolbox = Toolbox(kits(), RULES, 0)
        self.toolbox.restore(self.sandbox, self.task, json.loads(snapshot))

    def left(self) -> dict[str, bytes]:
        """The workspace's files but for the database, whose pages count writes: its rows are in the results."""
        found = (path for path in (self.root / "workspace").rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in found if path.suffix != ".sqlite"}


PLANS: dict[str, tuple[list[Step], int]] = {
    "first cell": ([CELL], 2),
    "cell that fails": ([CELL, CELL_THAT_FAILS], 2),
    "cell that ends its session": ([CELL, CELL_THAT_ENDS_IT], 2),
    "cell after that": ([CELL, CELL_THAT_ENDS_IT, CELL], 2),
    "command": ([COMMAND, COMMAND], 1),
    "long result": ([COMMAND, LONG], 2),
    "statements": ([INSERT, INSERT], 1),
    "statement that fails": ([MISTAKE], 2),
    "edit": ([EDIT], 2),
    "write": ([WRITE], 1),
}


@pytest.mark.parametrize("name", PLANS)
async def test_wherever_a_call_is_cut_it_comes_to_the_same_and_runs_nothing_twice(name: str, tmp_path: Path) -> None:
    steps, calls = PLANS[name]
    task = TABLES if steps[-1][0] == "sql" else PLAIN
    for place in itertools.product(range(1, calls + 1), WHEN):
        directory = tmp_path / "-".join(map(str, place))
        cut, twin = World(directory / "cut", task), World(directory / "twin", task)
        try:
            for world in (cut, twin):
                await world.begin()
            for step in steps[:-1]:
                assert await cut.step(step) == await twin.step(step)
            assert await cut.step(steps[-1], [place]) == await twin.step(steps[-1])
            assert twin.sandbox.calls == calls
            assert await cut.step(steps[0]) == await twin.step(steps[0])
            assert cut.toolbox.snapshot() == twin.toolbox.snapshot()
            assert cut.left() == twin.left()
        finally:
            await cut.sandbox.destroy()
            await twin.sandbox.destroy()


async def test_after_a_checkpoint_of_files_alone_the_tables_are_there_and_the_sessions_begin_anew(
    tmp_path: Path,
) -> None:
    world = World(tmp_path / "world", TABLES)
    await world.begin()
    for step in (CELL, INSERT):
        await world.step(step)
    state: Any = json.dumps(world.toolbox.snapshot())
    await world.sandbox.stop_processes()
    world._next_server(state, LocalGuest())
    cell, _ = await world.step(CELL)
    rows, _ = await world.step(("sql", {"query": "SELECT max(n) FROM things"}))
    for observation, shown in ((cell, "1"), (rows, "3")):
        assert shown in observation["content"]
        assert "this step began a new session" in observation["content"]
    await world.sandbox.destroy()
