"""The journal against a model of it: writes in any order and many at a time, sweeps, restarts and kills."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from envserver.episodes.journal import Journal, JournalError, JournalSettings
from tests.unit.journal import rows
from tests.unit.journal.images import picture
from tests.unit.journal.model import Model

T = TypeVar("T")

SETTINGS = JournalSettings(
    max_age_s=30, max_closed_episodes=2, call_age_s=30, inline_bytes=100, slice_rows=2, checkpoint_bytes=50_000
)
EPISODES = ("ep_1", "ep_2", "ep_3", "ep_4")
NAMES = ("a", "b", "c")


class Write(NamedTuple):
    """A call of one of the journal's methods, which the model has too."""

    method: str
    arguments: tuple[Any, ...] = ()
    members: dict[str, Any] = {}  # noqa: RUF012

    def call(self, target: Any) -> Any:
        return getattr(target, self.method)(*self.arguments, **self.members)


episodes = st.sampled_from(EPISODES)
indexes = st.integers(1, 3)
times = st.integers(0, 60).map(float)
data = st.sampled_from([b"", b"{}", b"small", b"one " * 100, b"two " * 100])
changes = st.fixed_dictionaries(
    {},
    optional={
        "state": st.sampled_from(["live", "closed"]),
        "generation": indexes,
        "step_index": indexes,
        "reward": st.floats(-1, 1),
        "snapshot": data,
        "grade": st.none() | data,
        "closed_at": st.none() | times,
    },
)
generations = st.builds(
    lambda name, number, parent, started: rows.generation(name, number, parent_episode=parent, started=started),
    episodes,
    indexes,
    st.none() | episodes,
    st.none() | data,
)
groups = st.builds(rows.group, st.sampled_from(NAMES))
steps = st.builds(
    lambda name, number, index, series, action: rows.step(name, number, index, series=series, action=action),
    episodes,
    indexes,
    indexes,
    st.integers(0, 9),
    data,
)
writes = st.one_of(
    st.builds(
        lambda names, parent, own, group: Write(
            "add_episodes",
            (
                [rows.episode(name, group_id=group and group.group_id, parent_checkpoint=parent) for name in names],
                own,
                group,
            ),
        ),
        st.lists(episodes, min_size=1, max_size=3, unique=True),
        st.none() | st.sampled_from(NAMES),
        st.lists(generations, max_size=1),
        st.none() | groups,
    ),
    st.builds(
        lambda name, given, durable: Write("save_episode", (name,), {**given, "durable": durable}),
        episodes,
        changes,
        st.booleans(),
    ),
    st.builds(lambda row, given: Write("begin_generation", (row, given)), generations, changes),
    steps.map(lambda row: Write("intend_step", (row,))),
    st.builds(
        lambda name, number, index, result, given, at: Write(
            "finish_step",
            ((name, number, index),),
            {"result": result, "outcome": "ok", "reward": 0.5, "finished_at": at, "changes": given},
        ),
        episodes,
        indexes,
        indexes,
        data,
        changes,
        times,
    ),
    st.builds(lambda *key: Write("forget_step", (key,)), episodes, indexes, indexes),
    st.builds(
        lambda name, episode, state: Write("add_checkpoint", (rows.checkpoint(name, episode, state=state),)),
        st.sampled_from(NAMES),
        episodes,
        data,
    ),
    st.builds(lambda name: Write("forget_checkpoint", (name,)), st.sampled_from(NAMES)),
    st.builds(lambda name, at: Write("delete_checkpoint", (name, at)), st.sampled_from(NAMES), times),
    st.builds(
        lambda name, started, at: Write("save_group", (name,), {"started": started, "closed_at": at}),
        st.sampled_from(NAMES),
        st.none() | data,
        st.none() | times,
    ),
    st.builds(
        lambda name, body, at: Write("save_call", (rows.call(name, body=body, created_at=at),)),
        st.sampled_from(NAMES),
        st.none() | data,
        times,
    ),
)


def expected_of(model: Model, write: Write) -> type[BaseException] | None:
    try:
        write.call(model)
    except JournalError as error:
        return type(error)
    return None


class JournalMachine(RuleBasedStateMachine):
    """On disk; `directories` is where its pictures go."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.model = Model(SETTINGS)
        self.number = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 10))

    @property
    def directory(self) -> Path | None:
        return self.folder / str(self.number)

    @initialize()
    def start(self) -> None:
        self.journal = Journal.open(self.directory, SETTINGS)

    @rule(batch=st.lists(writes, min_size=1, max_size=6))
    def write(self, batch: list[Write]) -> None:
        async def send() -> list[Any]:
            return await asyncio.gather(*(write.call(self.journal) for write in batch), return_exceptions=True)

        expected = [expected_of(self.model, write) for write in batch]
        answers = self.run(send())
        assert [None if answer is None else type(answer) for answer in answers] == expected, answers

    @rule(now=times)
    def sweep(self, now: float) -> None:
        assert self.run(self.journal.sweep(now)).episodes == self.model.sweep(now)

    @rule()
    def restart(self) -> None:
        self.run(self.journal.close())
        self.start()
        assert not self.journal.report.cut_bytes

    @rule()
    def kill(self) -> None:
        """Go on from a picture of the directory, as if the server had been killed when it was taken."""
        before = self.directory
        self.number += 1
        assert before is not None
        assert self.directory is not None
        picture(before, self.directory)
        self.run(self.journal.close())
        self.start()
        assert not self.journal.report.cut_bytes
        assert not self.journal.report.created

    @invariant()
    def answers_as_the_model(self) -> None:
        if hasattr(self, "journal"):
            self.run(self._compare(self.journal, self.model))

    async def _compare(self, journal: Journal, model: Model) -> None:
        everything = list(model.episodes_by_id.values())
        closed = sorted((row for row in everything if row.closed_at is not None), key=lambda row: row.closed_at or 0.0)
        assert await journal.find_episodes() == everything
        assert await journal.open_episodes() == [row for row in everything if row.closed_at is None]
        assert await journal.closed_episodes(3) == closed[-3:]
        generations = [row for name in EPISODES for row in await journal.generations(name)]
        assert generations == [row for _, row in sorted(model.generations_by_key.items())]
        steps = [row for name in EPISODES for number in (1, 2, 3) for row in await journal.steps(name, number)]
        assert steps == [row for _, row in sorted(model.steps_by_key.items())]
        assert [await journal.checkpoint(name) for name in NAMES] == [model.checkpoints_by_id.get(n) for n in NAMES]
        there = [row for row in model.checkpoints_by_id.values() if row.deleted_at is None]
        assert await journal.checkpoints() == there
        assert [await journal.group(name) for name in NAMES] == [model.groups_by_id.get(name) for name in NAMES]
        calls = sorted(model.calls_by_key.values(), key=lambda row: (row.created_at, row.call_key))
        assert await journal.calls(-1.0) == calls
        running = {(row.episode_id, row.generation, row.step_index) for row in await journal.running_steps()}
        assert running == {key for key, row in model.steps_by_key.items() if self._runs(key, row.result)}

    def _runs(self, key: tuple[str, int, int], result: bytes | None) -> bool:
        episode = self.model.episodes_by_id.get(key[0])
        return result is None and episode is not None and episode.closed_at is None and episode.generation == key[1]

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.run(self.journal.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)


class MemoryMachine(JournalMachine):
    """In memory, where nothing survives."""

    directory = None

    @rule()
    def restart(self) -> None:
        """Does nothing."""

    @rule()
    def kill(self) -> None:
        """Does nothing."""


JournalMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
MemoryMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)
TestJournal = JournalMachine.TestCase
TestMemory = MemoryMachine.TestCase
