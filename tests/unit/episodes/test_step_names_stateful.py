"""The promise of step names, held against a model under any order of calls.

The model is a dozen lines: a list of actions a generation. hypothesis sends right and wrong names, repetitions,
resets and closes in any order, with steps left running; each answer must be the model's.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from envserver.episodes.catalog import Catalog
from envserver.episodes.episode import Episode
from envserver.episodes.manager import EpisodeManager
from envserver.episodes.records import StepRecord
from envserver.episodes.services import Services
from envserver_sdk.errors import Problem
from tests.unit import scripted
from tests.unit.episodes.helpers import begin
from tests.unit.fixtures import ENVIRONMENTS, make_config
from tests.unit.scripted import gates

ACTIONS = [{"type": "echo", "value": 1}, {"type": "echo", "value": 2}, {"type": "wait", "gate": "g"}, {"type": "end"}]


class StepNames(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        gates.GATES = scripted.Gates()
        self.runtime = scripted.ScriptedRuntime()
        self.generation = 1
        self.sent: list[dict[str, Any]] = []
        self.answers: dict[tuple[int, int], bytes] = {}
        self.running = self.ended = self.closed = False
        self.executed = 0

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 5))

    @initialize()
    def start(self) -> None:
        async def make() -> tuple[EpisodeManager, Episode]:
            services = Services(make_config(), self.runtime, scripted.ScriptedGrader().get)
            manager = EpisodeManager(services, Catalog(ENVIRONMENTS))
            return manager, await begin(manager)

        self.manager: EpisodeManager
        self.episode: Episode
        self.manager, self.episode = self.run(make())

    def expected(self, index: int, generation: int | None, action: dict[str, Any]) -> str:
        if self.closed:
            return "episode_closed"
        if generation not in (None, self.generation):
            return "stale_generation"
        if index <= len(self.sent):
            return "record" if self.sent[index - 1] == action else "idempotency_mismatch"
        if self.ended:
            return "episode_ended"
        if self.running or index != len(self.sent) + 1:
            return "wrong_step_index"
        return "new"

    @rule(
        ahead=st.integers(-3, 2),
        back=st.sampled_from([None, 0, 0, 0, 1]),
        action=st.sampled_from(ACTIONS),
    )
    def send(self, ahead: int, back: int | None, action: dict[str, Any]) -> None:
        index = max(1, len(self.sent) + 1 + ahead)
        generation = None if back is None else max(1, self.generation - back)
        expected = self.expected(index, generation, action)

        async def call() -> StepRecord:
            from tests.unit.episodes.helpers import request

            record: StepRecord = self.episode.step(request(index, action, generation=generation))
            if action["type"] != "wait":
                await record.wait(5)
            elif not record.done:
                await gates.GATES.reached("g")
            return record

        try:
            record = self.run(call())
        except Problem as problem:
            assert problem.code == expected
            return
        assert expected in ("record", "new")
        if expected == "new":
            self.sent.append(action)
            self.executed += 1
            self.running = action["type"] == "wait"
            # hypothesis may take more steps than the environment's max_steps: the last one truncates.
            self.ended = action["type"] == "end" or (len(self.sent) == 5 and not self.running)
        if record.done:
            first = self.answers.setdefault((self.generation, index), record.result)
            assert record.result == first, "a record changed"

    @rule()
    def let_finish(self) -> None:
        if not self.running:
            return

        async def finish() -> None:
            gates.GATES.open("g")
            await self.episode.record(len(self.sent), None).wait(5)

        self.run(finish())
        self.close_gates()
        self.running = False
        self.ended = len(self.sent) == 5

    @staticmethod
    def close_gates() -> None:
        counts, gates.GATES = gates.GATES.counts, scripted.Gates()
        gates.GATES.counts = counts

    @rule()
    def reset(self) -> None:
        if self.closed:
            return
        self.run(self.manager.reset(self.episode.episode_id, None, {}))
        self.close_gates()
        self.generation += 1
        self.sent, self.running, self.ended = [], False, False

    @rule(really=st.sampled_from([False, False, False, True]))
    def close(self, really: bool) -> None:
        if really:
            self.run(self.manager.close(self.episode.episode_id))
            self.closed, self.running = True, False

    @invariant()
    def each_name_ran_once(self) -> None:
        assert gates.GATES.counts["steps"] == self.executed

    @invariant()
    def one_container_or_none(self) -> None:
        assert len(self.runtime.sandboxes) <= (0 if self.closed else 1)

    def teardown(self) -> None:
        if hasattr(self, "manager"):
            self.run(self.manager.shutdown(5))
            self.run(self.manager.services.journal.close())
        assert not self.runtime.sandboxes
        self.loop.close()


StepNames.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestStepNames = StepNames.TestCase
