"""What a server does at its start with what an earlier one left: journal and sandboxes are held against each other.

- An episode whose sandbox lives goes on, with the step that was under way when its server ended: by the same names, so
  that nothing runs twice. One on disk stays there until its next step.
- One whose beginning nobody was told of is closed; a keyed create that is repeated begins another.
- One whose world was being replaced gets that world.
- A launcher that is being started again, too, is waited for.
- One whose sandbox is gone comes back from its last checkpoint as the next generation, if its policy says so; else it
  is lost, and says so. So is one whose guest has done what this journal does not know of: it must not be believed.
- Keyed calls get their answers again: those that were written down, and those that can be told from what they made.
- Sandboxes and checkpoints of this journal that it does not know, or of which it knows that they are over, are removed.
  Sandboxes of other servers' episodes are listed as lost, and left to their deadlines.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import from_json

from envserver import clock, failpoints
from envserver.episodes.admission import Charge
from envserver.episodes.adopting import PatientRuntime
from envserver.episodes.answers import answer_calls
from envserver.episodes.entry import Tombstone
from envserver.episodes.episode import Episode
from envserver.episodes.group import Group
from envserver.episodes.journal.errors import JournalCorruptError
from envserver.episodes.journal.rows import EpisodeRow, GenerationRow, StepRow
from envserver.episodes.leftovers import Leftovers
from envserver.episodes.plan import Plan
from envserver.episodes.records import StepRecord
from envserver.episodes.saved import How, Origin, Saved
from envserver.episodes.stepping import Attempt
from envserver.episodes.world import Stage, World, resume_environment
from envserver.logs import get_logger
from envserver.runtimes.base import (
    RuntimeUnavailableError,
    SandboxError,
    SandboxGoneError,
    SandboxInfo,
    SandboxState,
    Usage,
)
from envserver_sdk.errors import Problem
from envserver_sdk.models import EpisodeInfo, EpisodeState, GradeResult, Stragglers

if TYPE_CHECKING:
    from envserver.episodes.manager import EpisodeManager

log = get_logger(__name__)

AT_ONCE = 32
"""Sandboxes that are dialled at a time."""
UNBEGUN = frozenset({How.CREATE, How.FORK})
BEGUN = frozenset({EpisodeState.LIVE, EpisodeState.PAUSED, EpisodeState.HIBERNATED})


@dataclass(frozen=True)
class Left:
    """One episode as the journal has it, and its sandbox if there is one."""

    row: EpisodeRow
    generation: GenerationRow | None
    """Of its current world; None if that never began."""
    running: StepRow | None
    found: SandboxInfo | None


class Recoverer:
    """Used once, before the server serves."""

    def __init__(self, manager: EpisodeManager) -> None:
        self._manager = manager
        self._services = manager.services
        self._journal = manager.services.journal
        self._runtime = PatientRuntime(manager.services.runtime, manager.services.config.start_timeout_s)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._started: dict[str, bytes] = {}
        """The encoded `EpisodeStarted` of current worlds, by episode."""

    async def recover(self) -> None:
        """Raises: JournalError, SandboxError when runtime or journal cannot be read."""
        found = {info.sandbox_id: info for info in await self._runtime.sandboxes()}
        await self._remember_closed()
        running = {(row.episode_id, row.generation): row for row in await self._journal.running_steps()}
        rows = await self._journal.open_episodes()
        episodes = await asyncio.gather(*(self._recover(row, running, found) for row in rows))
        recovered = [each for each in episodes if each is not None]
        await self._regroup(recovered)
        failpoints.hit("server.recovery.regrouped")
        await answer_calls(self._services, recovered, rows, self._started)
        leftovers = Leftovers(self._services, self._manager.catalog, self._runtime, self._manager.add)
        await leftovers.clear_sandboxes({row.sandbox_id for row in rows if row.sandbox_id}, found)
        await leftovers.clear_checkpoints({row.episode_id for row in rows})

    async def _remember_closed(self) -> None:
        """Damage in what is over is no reason not to go on with what is not."""
        try:
            rows = await self._journal.closed_episodes(self._services.config.tombstones)
        except JournalCorruptError as error:
            log.error("closed_episodes_unreadable", error=str(error)[:500])  # noqa: TRY400
            return
        for row in rows:
            self._manager.add(Tombstone(closed_info(row), row.owner))

    async def _recover(
        self, row: EpisodeRow, running: Mapping[tuple[str, int], StepRow], found: Mapping[str, SandboxInfo]
    ) -> Episode | None:
        generations = {each.generation: each for each in await self._journal.generations(row.episode_id)}
        info = found.get(row.sandbox_id or "")
        left = Left(
            row,
            generations.get(row.generation),
            running.get((row.episode_id, row.generation)),
            info if info is not None and info.state is not SandboxState.ENDED else None,
        )
        how = How(left.generation.origin) if left.generation else None
        if row.state in (EpisodeState.STARTING, EpisodeState.QUEUED) and (how is None or how in UNBEGUN):
            await self._give_up(row, "interrupted")
            return None
        try:
            episode = await self._make(left)
        except Problem as problem:
            log.error("episode_unplayable", episode_id=row.episode_id, problem=str(problem))  # noqa: TRY400
            await self._give_up(row, problem.code)
            return None
        self._manager.add(episode)
        if left.generation is not None and left.generation.started is not None:
            self._started[row.episode_id] = left.generation.started
        async with self._slots:
            result = await self._go_on(episode, left)
        if result != "attached":
            episode.lease.read_back(json.loads(row.clock))
        self._services.metrics.recoveries.labels(result).inc()
        log.info("episode_recovered", episode_id=row.episode_id, generation=episode.generation, result=result)
        return episode

    async def _give_up(self, row: EpisodeRow, reason: str) -> None:
        """Its sandbox, if there is one, is cleared away with the orphans."""
        closed = {"state": EpisodeState.CLOSED.value, "reason": reason, "closed_at": clock.wall()}
        await self._journal.save_episode(row.episode_id, durable=True, **closed)
        changed = await self._journal.episode(row.episode_id)
        if changed is not None:
            self._manager.add(Tombstone(closed_info(changed), row.owner))

    async def _make(self, left: Left) -> Episode:
        """The actor, with what the journal has of it. Raises: NotFound for what it plays."""
        row = left.row
        origin = await self._origin(left)
        choice = await self._manager.catalog.choose(row.environment, row.task_set, row.task, origin.seed)
        plan = Plan(
            episode_id=row.episode_id,
            environment_name=row.environment,
            environment=choice.environment,
            task_set=choice.task_set,
            task=choice.task,
            owner=row.owner,
            metadata=from_json(row.metadata),
            group_id=row.group_id,
            parent_checkpoint=row.parent_checkpoint,
            call_key=row.call_key,
            journal_id=self._journal.journal_id,
            **Plan.decode_rules(row.plan, choice.environment.spec, choice.task),
        )
        hold = self._services.tenants.get(row.owner).occupy(plan.limits.disk_bytes)
        episode = Episode(self._services, plan, on_closed=self._manager.bury, hold=hold, created_at=row.created_at)
        episode.take_over(row, origin)
        return episode

    async def _origin(self, left: Left) -> Origin:
        generation = left.generation
        if generation is None:
            return Origin(How.CREATE, 0)
        saved = await self._saved(generation.checkpoint_id)
        options = from_json(generation.options)
        return Origin(How(generation.origin), generation.seed, options, saved, generation.call_key)

    async def _saved(self, checkpoint_id: str | None) -> Saved | None:
        row = await self._journal.checkpoint(checkpoint_id) if checkpoint_id else None
        return Saved.of(row) if row is not None else None

    # What becomes of each

    async def _go_on(self, episode: Episode, left: Left) -> str:
        """In a word."""
        state = EpisodeState(left.row.state)
        if state in (EpisodeState.STARTING, EpisodeState.QUEUED):
            return self._begin_anew(episode, left)
        if state in (EpisodeState.FAILED, EpisodeState.LOST) or (left.row.sandbox_id is None and state not in BEGUN):
            return "ended"
        if left.found is None:
            return await self._without_sandbox(episode, "sandbox_gone")
        try:
            world = await self._world(episode, left, left.found)
        except RuntimeUnavailableError:  # which says nothing of the sandbox
            raise
        except (SandboxError, TimeoutError) as error:
            log.warning("sandbox_not_adopted", episode_id=episode.episode_id, error=repr(error)[:300])
            await self._services.destroy_by_id(left.found.sandbox_id)
            return await self._without_sandbox(episode, "sandbox_gone")
        if world is None:
            return await self._without_sandbox(episode, "journal_behind")
        ticket = None
        if world.stage is not None:
            ticket = self._services.admission.occupy(Charge.of(episode.plan.limits))
        failpoints.hit("server.recovery.adopted")
        episode.take_world(world, ticket, left.row)
        self._resume(episode, left)
        await episode.note_time()
        if state is EpisodeState.PAUSED and world.stage is not None:
            with contextlib.suppress(Problem):  # it runs, then
                await episode.rest(state)
        return "attached"

    def _begin_anew(self, episode: Episode, left: Left) -> str:
        origin = episode.origin
        if left.generation is not None and left.generation.checkpoint_id and (origin is None or origin.saved is None):
            episode.lose("checkpoint_gone")
            return "lost"
        episode.begin_anew()
        return "restarted"

    async def _world(self, episode: Episode, left: Left, found: SandboxInfo) -> World | None:
        """None when its guest has run more than the journal knows of. Raises: SandboxError, InfraError."""
        row, generation = left.row, left.generation
        if generation is None or generation.started is None:
            raise SandboxGoneError("its beginning is not recorded")
        started = from_json(generation.started)
        observation = await self._last_observation(row) or started["observation"]
        stage, snapshot = None, from_json(row.snapshot)
        if found.state is not SandboxState.HIBERNATED:
            spec = episode.plan.sandbox_spec(row.generation)
            sandbox = await self._runtime.adopt(found.sandbox_id, spec)
            if sandbox.reserve_series() > row.series + 1:
                await self._services.destroy(sandbox)
                return None
            if left.running is None:  # the last server may have been killed before it said so
                sandbox.settle_series(row.series)
            stage = Stage(sandbox, resume_environment(episode.plan, sandbox, snapshot))
        return World(
            row.generation, found.sandbox_id, stage, generation.seed, json.dumps(observation).encode(), started["info"],
            from_json(generation.options), snapshot, generation.first_index,
        )  # fmt: skip

    async def _last_observation(self, row: EpisodeRow) -> object:
        steps = await self._journal.steps(row.episode_id, row.generation, row.step_index, row.step_index)
        return from_json(steps[0].result)["observation"] if steps and steps[0].result else None

    def _resume(self, episode: Episode, left: Left) -> None:
        running = left.running
        if running is not None and episode.state is EpisodeState.LIVE:
            usage = from_json(running.usage)
            before = Usage(**usage) if usage else None
            attempt = Attempt(running.series, running.timeout_s, before, again=True)
            episode.take_step_again(StepRecord.of(running), from_json(running.action), attempt)
        elif episode.state is EpisodeState.ENDED and episode.reason == "graded" and episode.grade_result is None:
            self._services.spawn(_grade(episode))

    async def _without_sandbox(self, episode: Episode, reason: str) -> str:
        if episode.state is EpisodeState.LIVE and (saved := await episode.last_saved()) is not None:
            episode.recover(saved)
            return "restored"
        episode.lose(reason)
        await self._journal.save_episode(
            episode.episode_id, durable=True, state=EpisodeState.LOST.value, reason=reason, sandbox_id=None
        )
        return "lost"

    async def _regroup(self, episodes: Sequence[Episode]) -> None:
        for row in await self._journal.groups():
            members = [each for each in episodes if each.plan.group_id == row.group_id]
            if row.started is None or not members:
                for member in members:  # nobody was told of them
                    await member.close("interrupted")
                await self._journal.save_group(row.group_id, closed_at=clock.wall())
                continue
            stragglers = from_json(row.settings)["stragglers"]
            rule = Stragglers.model_validate(stragglers) if stragglers else None
            self._manager.add_group(Group(self._services, row, members, rule))


async def _grade(episode: Episode) -> None:
    try:
        await episode.grade()
    except Problem as problem:
        log.warning("grading_interrupted", episode_id=episode.episode_id, problem=str(problem)[:300])


def closed_info(row: EpisodeRow) -> EpisodeInfo:
    """What is remembered of a closed episode."""
    return EpisodeInfo(
        episode_id=row.episode_id,
        state=EpisodeState(row.state),
        environment=row.environment,
        task_set=row.task_set,
        task=row.task,
        generation=row.generation,
        step_index=row.step_index,
        reward=row.reward,
        created_at=row.created_at,
        reason=row.reason,
        grade=GradeResult.model_validate_json(row.grade) if row.grade else None,
        group_id=row.group_id,
        metadata=from_json(row.metadata),
    )
