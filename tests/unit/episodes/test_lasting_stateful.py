"""The promises of a lasting episode, held against a model under any order of calls, kills, restarts and hours.

The model is what a client may believe: a list of actions and answers a generation, one value that the policy's
processes hold, a reward. hypothesis creates, steps, repeats, saves, forks, rolls back, puts to rest, grades and closes
episodes, lets hours pass on a virtual clock, and kills the server in between and under running steps. Each
answer must be the model's, each action must have run once, and in the end nothing may be left.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from envserver import clock
from envserver.episodes.episode import Episode
from envserver.episodes.saved import Saved
from envserver.episodes.saving import Wish, delete_checkpoint
from envserver_sdk.errors import Problem
from envserver_sdk.models import CheckpointKind, EpisodeState, ForkCheckpoint
from tests.unit import scripted
from tests.unit.episodes.helpers import begin, request, until
from tests.unit.episodes.lives import Lives
from tests.unit.scripted import gates

TTL_S = 10_000.0
EPISODE_S = scripted.ScriptedEnvironment.spec.episode_timeout_s
MAX_STEPS = scripted.ScriptedEnvironment.spec.max_steps
ASLEEP = (EpisodeState.PAUSED, EpisodeState.HIBERNATED)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes as real time does, and by hours where a test says so."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


@dataclass
class Believed:
    """What a client knows of one episode."""

    value: Any
    generation: int = 1
    first: int = 0
    answers: dict[int, tuple[dict[str, Any], bytes]] = field(default_factory=dict)
    """By index, of this generation: the action, and the bytes of its answer."""
    reward: float = 0.0
    taken: int = 0
    over: str | None = None
    """ended, closed or lost."""
    grade: float | None = None
    asleep: EpisodeState | None = None
    used_s: float = 0.0
    """Of the episode's time."""

    @property
    def index(self) -> int:
        return self.first + len(self.answers)


@dataclass(frozen=True)
class Kept:
    checkpoint_id: str
    kind: CheckpointKind
    then: Believed
    seed: int


class LastingEpisodes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        gates.GATES = scripted.Gates()
        self.directory = Path(tempfile.mkdtemp(prefix="journal-"))
        self.lives = Lives(self.directory, default_idle_timeout_s=1e9, default_ttl_s=TTL_S)
        self.real_clock = clock.steady, clock.wall
        clock.steady = lambda: self.real_clock[0]() + self.loop.ahead_s
        clock.wall = lambda: self.real_clock[1]() + self.wall_off_s
        self.wall_off_s = 0.0
        self.believed: dict[str, Believed] = {}
        self.seeds: dict[str, int] = {}
        self.kept: list[Kept] = []

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    @initialize()
    def boot(self) -> None:
        self.run(self.lives.boot())

    def pick(self, number: int, *, live: bool = True) -> tuple[str, Believed] | None:
        found = [(key, each) for key, each in self.believed.items() if not live or each.over is None]
        return found[number % len(found)] if found else None

    def actor(self, episode_id: str) -> Episode:
        return self.lives.episode(episode_id)

    # Steps

    @rule(seed=st.integers(0, 99))
    def create(self, seed: int) -> None:
        if len(self.believed) < 6:
            episode = self.run(begin(self.lives.manager, seed=seed))
            self.believed[episode.episode_id] = Believed(value=seed)
            self.seeds[episode.episode_id] = seed

    @rule(
        number=st.integers(0, 9),
        action=st.sampled_from(
            [
                {"type": "set", "value": 1}, {"type": "set", "value": 2}, {"type": "get"}, {"type": "random"},
                {"type": "score", "reward": 0.25}, {"type": "end"}, {"type": "submit", "answer": "a"},
            ]
        ),
        killed=st.sampled_from([None, None, None, "before", "after"]),
    )  # fmt: skip
    def step(self, number: int, action: dict[str, Any], killed: str | None) -> None:
        """Take the next one, perhaps with the server killed while it runs, or right after it was written down."""
        chosen = self.pick(number)
        if chosen is None:
            return
        episode_id, believed = chosen
        index = believed.index + 1
        answer = self.run(self._stepped(episode_id, index, action, killed))
        self._believe(believed, index, action, answer)

    async def _stepped(self, episode_id: str, index: int, action: dict[str, Any], killed: str | None) -> bytes:
        record = self.actor(episode_id).step(request(index, action))
        if killed == "before":
            await asyncio.sleep(0)
            await self.lives.reboot()
            return await self._repeated(episode_id, index, action)
        assert await record.wait(10)
        if killed == "after":
            first = record.result
            await self.lives.reboot()
            assert await self._repeated(episode_id, index, action) == first
        return record.result

    async def _repeated(self, episode_id: str, index: int, action: dict[str, Any]) -> bytes:
        episode = self.actor(episode_id)
        await episode.recall(index)
        record = episode.step(request(index, action))
        assert await record.wait(10)
        return record.result

    def _believe(self, believed: Believed, index: int, action: dict[str, Any], answer: bytes) -> None:
        result = json.loads(answer)
        kind = action["type"]
        believed.answers[index] = (action, answer)
        believed.asleep = None
        believed.taken += 1
        assert result["info"]["outcome"] == "ok", result
        assert result["step_index"] == index
        assert result["generation"] == believed.generation
        if kind == "set":
            believed.value = action["value"]
        if kind in ("set", "get"):
            assert result["observation"]["taken"] == believed.taken
        if kind == "get":
            assert result["observation"]["value"] == believed.value
        expected = {"score": 0.25, "submit": 1.0}.get(kind, 0.0)
        assert result["reward"] == expected
        believed.reward += expected
        if kind in ("end", "submit") or index >= MAX_STEPS:
            believed.over = "ended"
            believed.grade = 1.0 if kind == "submit" else None
            assert result["terminated"] == (kind in ("end", "submit"))

    @rule(number=st.integers(0, 9), back=st.integers(0, 5), another=st.booleans())
    def repeat(self, number: int, back: int, another: bool) -> None:
        chosen = self.pick(number, live=False)
        if chosen is None or chosen[1].over in ("closed", "lost") or not chosen[1].answers:
            return
        episode_id, believed = chosen
        index = max(believed.first + 1, believed.index - back)
        action, answer = believed.answers[index]
        if another:
            with pytest.raises(Problem) as caught:
                self.run(self._repeated(episode_id, index, {"type": "another"}))
            assert caught.value.code == "idempotency_mismatch"
        else:
            assert self.run(self._repeated(episode_id, index, action)) == answer

    @rule(number=st.integers(0, 9), seed=st.integers(0, 99), killed=st.booleans())
    def reset(self, number: int, seed: int, killed: bool) -> None:
        chosen = self.pick(number, live=False)
        if chosen is None or chosen[1].over == "closed":
            return
        episode_id, believed = chosen

        async def reset() -> None:
            episode = self.actor(episode_id)
            starting = episode.reset(seed, {})
            if killed:
                for _ in range(3):
                    await asyncio.sleep(0)
                await self.lives.reboot()
                episode = self.actor(episode_id)
                if episode.generation == believed.generation:  # it was not written down, and nobody was told
                    starting = episode.reset(seed, {})
                else:
                    await until(lambda: episode.state is EpisodeState.LIVE)
                    return
            await starting

        self.run(reset())
        self.believed[episode_id] = Believed(value=seed, generation=believed.generation + 1)
        self.seeds[episode_id] = seed

    # Checkpoints

    @rule(number=st.integers(0, 9), kind=st.sampled_from([None, *CheckpointKind]))
    def save(self, number: int, kind: CheckpointKind | None) -> None:
        chosen = self.pick(number)
        if chosen is None:
            return
        episode_id, believed = chosen
        row = self.run(self.actor(episode_id).checkpoint(Wish(kind)))
        believed.asleep = None
        assert row.kind == (kind or CheckpointKind.PROCESS)
        self.kept.append(
            Kept(
                row.checkpoint_id,
                CheckpointKind(row.kind),
                replace(believed, answers=dict(believed.answers)),
                self.seeds[episode_id],
            )
        )

    def _after(self, kept: Kept, generation: int) -> Believed:
        then = kept.then
        value = None if kept.kind is CheckpointKind.FILESYSTEM else then.value
        return Believed(
            value=value, generation=generation, first=then.index, reward=then.reward, taken=then.taken,
            used_s=then.used_s,
        )  # fmt: skip

    async def _saved(self, kept: Kept) -> Saved:
        row = await self.lives.manager.services.journal.checkpoint(kept.checkpoint_id)
        assert row is not None
        return Saved.of(row)

    @precondition(lambda self: self.kept)
    @rule(number=st.integers(0, 9), n=st.integers(1, 3))
    def fork(self, number: int, n: int) -> None:
        kept = self.kept[number % len(self.kept)]
        if len(self.believed) > 6 or EPISODE_S - kept.then.used_s < 1:
            return

        async def fork() -> list[dict[str, Any]]:
            body = await self.lives.forks.fork(await self._saved(kept), ForkCheckpoint(n=n), "default")
            started: list[dict[str, Any]] = json.loads(body)["episodes"]
            return started

        for started in self.run(fork()):
            assert started["step_index"] == kept.then.index
            self.believed[started["episode_id"]] = self._after(kept, 1)
            self.seeds[started["episode_id"]] = kept.seed
            if kept.kind is CheckpointKind.REPLAY:
                random = any(action["type"] == "random" for action, _ in kept.then.answers.values())
                assert random or kept.then.first or started["info"]["divergence"] is None

    @precondition(lambda self: self.kept)
    @rule(number=st.integers(0, 9), which=st.integers(0, 9))
    def roll_back(self, number: int, which: int) -> None:
        chosen, kept = self.pick(number, live=False), self.kept[which % len(self.kept)]
        if chosen is None or chosen[1].over == "closed" or EPISODE_S - kept.then.used_s < 1:
            return
        episode_id, believed = chosen

        async def restore() -> None:
            await self.lives.manager.restore(episode_id, await self._saved(kept))

        self.run(restore())
        self.believed[episode_id] = self._after(kept, believed.generation + 1)
        self.seeds[episode_id] = kept.seed

    @precondition(lambda self: self.kept)
    @rule(which=st.integers(0, 9))
    def forget(self, which: int) -> None:
        kept = self.kept.pop(which % len(self.kept))

        async def delete() -> None:
            await delete_checkpoint(self.lives.manager.services, (await self._saved(kept)).row)

        self.run(delete())

    # Rest, end, kill

    @rule(number=st.integers(0, 9), state=st.sampled_from([*ASLEEP, None]))
    def put_to_rest(self, number: int, state: EpisodeState | None) -> None:
        chosen = self.pick(number)
        if chosen is not None:
            episode = self.actor(chosen[0])
            self.run(episode.resume() if state is None else episode.rest(state))
            deeper = chosen[1].asleep is EpisodeState.HIBERNATED and state is EpisodeState.PAUSED
            chosen[1].asleep = chosen[1].asleep if deeper else state

    @rule(number=st.integers(0, 9))
    def grade(self, number: int) -> None:
        chosen = self.pick(number, live=False)
        if chosen is None or chosen[1].over in ("closed", "lost"):
            return
        believed = chosen[1]
        graded = self.run(self.actor(chosen[0]).grade())
        believed.over, believed.asleep = "ended", None
        assert graded.reward is not None
        if believed.grade is not None:
            assert graded.reward == believed.grade
        believed.grade = graded.reward

    @rule(number=st.integers(0, 9), really=st.sampled_from([False, False, True]))
    def close(self, number: int, really: bool) -> None:
        chosen = self.pick(number, live=False)
        if chosen is not None and really:
            self.run(self.lives.manager.close(chosen[0]))
            chosen[1].over = "closed"

    @rule(gently=st.booleans())
    def restart(self, gently: bool) -> None:
        async def restart() -> None:
            if gently:
                await self.lives.manager.drain(1)
                await self.lives.manager.shutdown(5)
                await self.lives.manager.services.journal.close()
                await self.lives.boot()
            else:
                await self.lives.reboot()

        self.run(restart())

    @rule(number=st.integers(0, 9))
    def lose(self, number: int) -> None:
        """Its sandbox goes while no server runs."""
        chosen = self.pick(number)
        if chosen is None:
            return

        async def lose() -> None:
            await self.lives.kill()
            for sandbox_id, sandbox in list(self.lives.runtime.sandboxes.items()):
                if sandbox.spec.labels.get("episode") == chosen[0]:
                    await self.lives.runtime.destroy(sandbox_id)
            await self.lives.boot()

        self.run(lose())
        chosen[1].over, chosen[1].asleep = "lost", None

    @rule(seconds=st.sampled_from([1.0, 100.0, 400.0]), wall=st.sampled_from([0.0, -1e6, 1e6]))
    def let_time_pass(self, seconds: float, wall: float) -> None:
        """And somebody sets the wall clock."""
        self.wall_off_s += wall
        self.loop.ahead_s += seconds
        self.run(asyncio.sleep(0.002))
        for believed in self.believed.values():
            if believed.over is None and believed.asleep is None:
                believed.used_s += seconds
                if believed.used_s >= EPISODE_S:
                    believed.over = "ended"

    # What holds at any time

    @invariant()
    def the_registry_says_what_a_client_believes(self) -> None:
        if not hasattr(self.lives, "manager"):
            return
        for episode_id, believed in self.believed.items():
            info = self.lives.manager.entry(episode_id).info()
            told = believed.over or (believed.asleep.value if believed.asleep else "live")
            assert info.state.value == told, (episode_id, info)
            assert (info.generation, info.step_index) == (believed.generation, believed.index)
            assert info.reward == pytest.approx(believed.reward)

    @invariant()
    def each_action_ran_once(self) -> None:
        for sandbox in self.lives.runtime.sandboxes.values():
            assert all(count == 1 for count in sandbox.guest.ran.values())

    def teardown(self) -> None:
        try:
            if hasattr(self.lives, "manager"):
                self.run(self.lives.end())
                assert not self.lives.runtime.sandboxes
                assert self.lives.manager.services.admission.admitted == 0
        finally:
            clock.steady, clock.wall = self.real_clock
            self.loop.close()
            shutil.rmtree(self.directory)


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )


@pytest.mark.timeout(300)
def test_lasting_episodes_in_any_order() -> None:
    run_state_machine_as_test(LastingEpisodes, settings=_settings(40))


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_lasting_episodes_in_very_many_orders() -> None:
    run_state_machine_as_test(LastingEpisodes, settings=_settings(3000))
