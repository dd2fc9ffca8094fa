"""A step that a killed server leaves half done is gone through again by the next one, and nobody can tell.

The server is cut off before, during or after any of the step's calls, as often as a test likes; each successor has a
new environment from the snapshot, over what the guest remembers. A twin that nothing happens to says what is right.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.code import CodeEnvironment
from environments.environment import StepContext, Transition
from environments.tasks import GraderSpec, Task
from tests.unit.local_sandbox import LocalGuest, LocalSandbox

T = TypeVar("T")
Cut = tuple[int, str]
"""At which call of the step, and when: a server knows nothing of a call that it has sent, or was about to."""
WHEN = ("before", "during", "after")

TASK = Task("t", "Do it.", GraderSpec("worker"), files={"/workspace/text": b"one two"})
MARK = "echo {0} >> marks; echo {0} goes; sleep 0.01"
DEATH = {"type": "python session dies"}

ACTIONS: dict[str, dict[str, Any]] = {
    "cell": {
        "type": "python",
        "code": "n = globals().get('n', 0) + 1\nprint(file=open('marks', 'a'))\nn",
    },
    "cell that fails": {"type": "python", "code": "open('marks', 'a').write('x'); 1 / 0"},
    "cell that ends its session": {"type": "python", "code": "import os; os._exit(3)"},
    "command": {"type": "bash", "command": MARK.format("shell") + "; k=$((k + 1)); echo $k"},
    "command that ends its session": {"type": "bash", "command": MARK.format("exit") + "; exit 4"},
    "program": {"type": "run", "language": "bash", "code": MARK.format("program") + "; basename $(dirname $0)"},
    "program that fails": {"type": "run", "language": "bash", "code": MARK.format("failure") + "; exit 1"},
    "compiled program": {
        "type": "run",
        "language": "c",
        "code": '#include <stdlib.h>\nint main(void) { return system("echo c >> marks"); }',
    },
    "program that does not compile": {"type": "run", "language": "c", "code": "int main("},
    "edit": {"type": "edit", "path": "text", "old": "one", "new": "two one"},
    "edit of nothing": {"type": "edit", "path": "text", "old": "three", "new": ""},
    "file": {"type": "write_file", "path": "text", "content": "one"},
    "reading": {"type": "read_file", "path": "marks"},
    "nonsense": {"type": "dance"},
}


class ServerKilledError(Exception):
    pass


class CutSandbox(LocalSandbox):
    """One server's. Counts its calls, and kills the server at one of them."""

    def __init__(self, root: Path, guest: LocalGuest | None = None) -> None:
        super().__init__(root, guest=guest)
        self.calls = 0
        self.cut: Cut | None = None

    async def once(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self.calls += 1
        number, when = self.cut or (0, "")
        if number != self.calls:
            return await super().once(call)
        if when == "during":
            sent = asyncio.ensure_future(super().once(call))
            await asyncio.sleep(0)  # it arrives
            sent.cancel()
        if when == "after":
            await asyncio.wait([asyncio.ensure_future(super().once(call))])
        raise ServerKilledError


class World:
    """An episode's sandbox and environment through the lives of its servers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sandbox = CutSandbox(root)
        self.environment = CodeEnvironment()

    async def begin(self) -> None:
        await self.environment.reset(self.sandbox, TASK, 0, {})

    async def step(self, action: dict[str, Any], cuts: Sequence[Cut] = ()) -> Transition:
        """Under its series, by as many servers as it takes."""
        if action == DEATH:
            return await self._kill_session()
        number = self.sandbox.reserve_series()
        before = json.dumps(self.environment.snapshot())
        for cut in (*cuts, None):
            self.sandbox.calls, self.sandbox.cut = 0, cut
            try:
                with self.sandbox.series(number):
                    transition = await self.environment.step(action, StepContext(20))
            except ServerKilledError:
                self._next_server(before)
            else:
                self.sandbox.settle_series(number)
                return self._without_root(transition)
        raise AssertionError("unreachable")

    def _next_server(self, snapshot: str) -> None:
        self.sandbox = CutSandbox(self.root, self.sandbox.guest)
        self.environment = CodeEnvironment()
        self.environment.restore(self.sandbox, TASK, json.loads(snapshot))

    async def _kill_session(self) -> Transition:
        if session := self.sandbox.guest.sessions.get("python"):
            session.process.kill()
            await session.process.wait()
        return Transition({})

    def _without_root(self, transition: Transition) -> Transition:
        text = json.dumps(transition.observation).replace(str(self.root), "")
        return replace(transition, observation=json.loads(text))

    def left(self) -> dict[str, bytes]:
        """The workspace's files: a program that ran twice has left two marks."""
        return {path.name: path.read_bytes() for path in (self.root / "workspace").iterdir()}


async def check(actions: Sequence[dict[str, Any]], cuts: Sequence[Sequence[Cut]], directory: Path) -> list[int]:
    """Steps cut here and there against steps that are not. Returns how many calls each made."""
    cut, twin = World(directory / "cut"), World(directory / "twin")
    calls = []
    try:
        for world in (cut, twin):
            await world.begin()
        for action, where in itertools.zip_longest(actions, cuts, fillvalue=()):
            assert isinstance(action, dict)
            assert await cut.step(action, where) == await twin.step(action)
            assert cut.environment.snapshot() == twin.environment.snapshot()
            assert cut.left() == twin.left()
            calls.append(twin.sandbox.calls)
    finally:
        await cut.sandbox.destroy()
        await twin.sandbox.destroy()
    return calls


PLANS = {
    "compiled program": (["compiled program"], 3),
    "program that fails": (["program that fails"], 3),
    "edit": (["edit"], 2),
    "first cell": (["cell"], 2),
    "cell that fails": (["cell", "cell that fails"], 2),
    "second command": (["command", "command"], 1),
    "shell that ended": (["command", "command that ends its session", "command"], 2),
    "cell that ends its session": (["cell", "cell that ends its session"], 2),
    "command that ends its session": (["command that ends its session"], 4),
}


@pytest.mark.parametrize("name", PLANS)
async def test_wherever_a_step_is_cut_it_comes_to_the_same_and_runs_nothing_twice(name: str, tmp_path: Path) -> None:
    names, calls = PLANS[name]
    actions = [ACTIONS[name] for name in names]
    for place in itertools.product(range(1, calls + 1), WHEN):
        directory = tmp_path / "-".join(map(str, place))
        made = await check([*actions, ACTIONS["cell"]], [*[()] * (len(names) - 1), [place]], directory)
        assert made[len(names) - 1] == calls


async def test_a_session_that_died_between_steps_is_replaced_once(tmp_path: Path) -> None:
    actions = [ACTIONS["cell"], DEATH, ACTIONS["cell"], ACTIONS["cell"]]
    for place in itertools.product(range(1, 5), WHEN):
        made = await check(actions, [(), (), [place]], tmp_path / "-".join(map(str, place)))
        assert made[2] == 4, "a call that fails, the old one's end, a new session, its call"


cuts = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(WHEN)), max_size=3)


@settings(max_examples=60, deadline=None)
@given(plan=st.lists(st.tuples(st.sampled_from([*ACTIONS.values(), DEATH]), cuts), min_size=1, max_size=4))
def test_an_episode_whose_servers_are_killed_again_and_again_is_that_of_one_server(
    plan: list[tuple[dict[str, Any], list[Cut]]],
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check([action for action, _ in plan], [where for _, where in plan], Path(directory)))


async def test_a_sandbox_whose_sessions_are_gone_goes_on_with_new_ones(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    await world.begin()
    assert (await world.step(ACTIONS["cell"])).observation["result"] == "1"
    state = json.dumps(world.environment.snapshot())
    await world.sandbox.stop_processes()
    world._next_server(state)
    transition = await world.step(ACTIONS["cell"])
    assert (transition.observation["result"], transition.observation["session"]) == ("1", "restarted")
    await world.sandbox.destroy()


async def test_prepared_sessions_are_of_the_snapshot(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    await world.environment.prepare(world.sandbox)
    await world.begin()
    world._next_server(json.dumps(world.environment.snapshot()))
    transition = await world.step(ACTIONS["command"])
    assert (transition.observation["session"], world.sandbox.calls) == ("live", 1)
    await world.sandbox.destroy()
