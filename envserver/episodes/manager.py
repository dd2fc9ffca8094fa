"""The registry of this server's episodes: makes them, finds them, lists them, lets go of them all at shutdown."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from environments.environment import Environment, Needs
from environments.spoken import speaking
from environments.tasks import Task
from envserver.access.tenants import DEFAULT_TENANT
from envserver.episodes.catalog import Catalog, Choice
from envserver.episodes.durable import written
from envserver.episodes.entry import Entry, LostEpisode, Tombstone
from envserver.episodes.episode import Episode
from envserver.episodes.group import Group
from envserver.episodes.journal.rows import GroupRow
from envserver.episodes.ledger import new_row
from envserver.episodes.plan import Plan, Policies
from envserver.episodes.recovery import Recoverer
from envserver.episodes.saved import How, Origin, Saved
from envserver.episodes.services import Services
from envserver.logs import get_logger
from envserver.runtimes.base import Limits
from envserver_sdk.errors import InvalidRequest, NotFound, Problem
from envserver_sdk.models import CreateEpisode, EpisodeInfo, EpisodeList, EpisodeState, LimitsRequest

log = get_logger(__name__)


SETTLE_S = 3.0
"""How long what still runs in the background may take when the server ends."""


class EpisodeManager:
    """Belongs to one event loop."""

    def __init__(self, services: Services, catalog: Catalog) -> None:
        self.services = services
        self.catalog = catalog
        self._entries: dict[str, tuple[int, Entry]] = {}
        self._tombstones: OrderedDict[str, None] = OrderedDict()
        self._serial = 0
        self.groups: OrderedDict[str, Group] = OrderedDict()

    # Starting and ending of the server

    async def adopt(self) -> None:
        """Go on with what an earlier server left: see recovery.py."""
        await Recoverer(self).recover()

    @property
    def draining(self) -> bool:
        return self.services.admission.closed

    async def drain(self, timeout_s: float) -> None:
        """Begin nothing new, and let running steps and gradings finish for so long."""
        self.services.admission.close()
        await self.services.pool.close()
        running = [task for episode in self.episodes() for task in episode.work()]
        if running:
            await asyncio.wait(running, timeout=timeout_s)

    async def shutdown(self, timeout_s: float) -> None:
        """Let go of every episode: with a journal they live on for the next server, else they are closed.

        Lost ones of other servers are left to their deadline: they are not ours to end.
        """
        self.services.admission.close()
        await self.services.pool.close()
        outlives = bool(self.services.journal.journal_id)
        endings = [
            asyncio.ensure_future(episode.suspend() if outlives else episode.close("shutdown"))
            for episode in self.episodes()
        ]
        if endings:
            _, late = await asyncio.wait(endings, timeout=timeout_s)
            if late:
                log.error("episodes_not_let_go", count=len(late))
        await self.services.settle(SETTLE_S)

    # Making

    async def create(
        self,
        request: CreateEpisode,
        owner: str = DEFAULT_TENANT,
        on_made: Callable[[Episode], None] = lambda _: None,
        call_key: str | None = None,
    ) -> bytes:
        """Make and begin an episode; an encoded `EpisodeStarted`. Nothing is left of one that fails or is cancelled.

        Raises: NotFound, InvalidRequest, Overloaded, QuotaExceeded, ShuttingDown, InfraError; EpisodeClosed when
        it was closed while it began.
        """
        choice, plan = await self.plan(request, owner, call_key=call_key)
        episode = self.make(plan)
        try:
            starting = episode.start(Origin(How.CREATE, choice.seed, request.options), self.write_down([episode]))
        except Problem:
            episode.discard()
            raise
        self.add(episode)
        on_made(episode)
        return await self._started(episode, starting)

    async def plan(
        self, request: CreateEpisode, owner: str, *, group_id: str | None = None, call_key: str | None = None
    ) -> tuple[Choice, Plan]:
        """What a request asks for. Raises: NotFound, InvalidRequest."""
        choice = await self.catalog.choose(
            request.environment, request.task_set, request.task, request.seed, request.options
        )
        config = self.services.config
        needs = needs_of(choice.environment, choice.task, request.options)
        ttl_s = request.ttl_s or config.default_ttl_s
        return choice, Plan(
            episode_id=new_episode_id(),
            environment_name=request.environment,
            environment=choice.environment,
            task_set=choice.task_set,
            task=choice.task,
            image=needs.image,
            limits=merge_limits(needs.limits, request.limits, choice.task.limits),
            checkpoints=needs.checkpoints,
            ttl_s=ttl_s,
            idle_timeout_s=request.idle_timeout_s or config.default_idle_timeout_s,
            sandbox_ttl_s=ttl_s + config.sandbox_ttl_margin_s,
            owner=owner,
            policies=Policies(request.checkpoints, request.recovery, request.pause_after_s, request.hibernate_after_s),
            metadata=request.metadata,
            group_id=group_id,
            call_key=call_key,
            journal_id=self.services.journal.journal_id,
        )

    def make(self, plan: Plan) -> Episode:
        """Charged to its tenant. Raises: QuotaExceeded."""
        hold = self.services.tenants.get(plan.owner).admit(plan.limits.disk_bytes)
        return Episode(self.services, plan, on_closed=self.bury, hold=hold)

    def write_down(self, episodes: list[Episode], group: GroupRow | None = None) -> Callable[[], asyncio.Task[None]]:
        """Gives, whenever called, the one task that has the journal know them: all of them or none."""

        @cache
        def write() -> asyncio.Task[None]:
            rows = [new_row(each.plan, each.created_at, each.lease) for each in episodes]
            return self.services.spawn(written(self.services.journal.add_episodes(rows, group=group)))

        return write

    async def _started(self, episode: Episode, starting: asyncio.Task[bytes]) -> bytes:
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled():  # closed, or the server stopped, while it began
                raise episode.disturbance() from None
            await episode.close("cancelled")
            raise
        except BaseException:
            await episode.close("create_failed")
            raise

    async def reset(
        self, episode_id: str, seed: int | None, options: dict[str, object], call_key: str | None = None
    ) -> bytes:
        """Begin the next generation. Raises: as `create`; EpisodeNotLive while it is beginning already."""
        episode = self.episode(episode_id)
        plan = episode.plan
        needs = needs_of(plan.environment, plan.task, options)
        if (needs.image, needs.checkpoints) != (plan.image, plan.checkpoints):
            raise InvalidRequest(f"these options need a sandbox of {needs.image}, not {plan.image}: a new episode's")
        return await self._replaced(
            episode, episode.reset(secrets.randbits(31) if seed is None else seed, options, call_key)
        )

    async def restore(self, episode_id: str, saved: Saved, call_key: str | None = None) -> bytes:
        """Roll back in place: the next generation goes on where the checkpoint was taken. Raises: as `reset`."""
        episode = self.episode(episode_id)
        plan, state = episode.plan, saved.state
        if (state.environment, state.task_set, state.task) != (plan.environment_name, plan.task_set, plan.task.task_id):
            raise InvalidRequest(f"checkpoint {saved.row.checkpoint_id} is of another task: fork it instead")
        return await self._replaced(episode, episode.replace(Origin.of(How.RESTORE, saved, call_key)))

    async def _replaced(self, episode: Episode, starting: asyncio.Task[bytes]) -> bytes:
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled():
                raise episode.disturbance() from None
            raise

    # Finding

    def entry(self, episode_id: str) -> Entry:
        """Raises: NotFound."""
        try:
            return self._entries[episode_id][1]
        except KeyError:
            raise unknown_episode(episode_id) from None

    def find(self, episode_id: str) -> Entry | None:
        """None for one that is not, or no longer, known."""
        found = self._entries.get(episode_id)
        return found[1] if found else None

    def episode(self, episode_id: str) -> Episode:
        """The actor. Raises: NotFound, EpisodeClosed, EpisodeLost."""
        entry = self.entry(episode_id)
        refusal = entry.refusal()
        if refusal is not None:
            raise refusal
        assert isinstance(entry, Episode)
        return entry

    async def close(self, episode_id: str) -> Entry:
        """Idempotent. Raises: NotFound, InfraError."""
        entry = self.entry(episode_id)
        try:
            await entry.close("deleted")
        finally:
            if isinstance(entry, LostEpisode) and entry.info().state is EpisodeState.CLOSED:
                self.bury(entry)
        return entry

    def page(
        self,
        *,
        state: EpisodeState | None,
        environment: str | None,
        cursor: str | None,
        limit: int,
        owner: str | None = None,
    ) -> EpisodeList:
        """Episodes in the order of their making; closed ones only where asked for; of all tenants without `owner`."""
        after = int(cursor) if cursor and cursor.isdecimal() and len(cursor) < 18 else 0
        shown: list[EpisodeInfo] = []
        last = after
        for serial, entry in self._entries.values():
            if serial <= after or (owner is not None and entry.owner != owner):
                continue
            info = entry.info()
            wanted = info.state is not EpisodeState.CLOSED if state is None else info.state is state
            if not wanted or (environment is not None and info.environment != environment):
                continue
            if len(shown) == limit:
                return EpisodeList(episodes=shown, next_cursor=str(last))
            shown.append(info)
            last = serial
        return EpisodeList(episodes=shown)

    def count_states(self) -> Counter[EpisodeState]:
        return Counter(entry.shown_state if isinstance(entry, Episode) else EpisodeState.LOST for entry in self._open())

    def episodes(self) -> list[Episode]:
        """Those that are not closed, in the order of their making."""
        return [entry for entry in self._open() if isinstance(entry, Episode)]

    def _open(self) -> list[Entry]:
        return [entry for _, entry in self._entries.values() if not isinstance(entry, Tombstone)]

    # What the registry holds

    def add(self, entry: Entry) -> None:
        self._serial += 1
        self._entries[entry.episode_id] = (self._serial, entry)
        if isinstance(entry, Tombstone):
            self._remember(entry.episode_id)

    def add_group(self, group: Group) -> None:
        """As many are remembered as closed episodes are."""
        self.groups[group.group_id] = group
        if len(self.groups) > self.services.config.tombstones:
            self.groups.popitem(last=False)

    def group(self, group_id: str) -> Group:
        """Raises: NotFound."""
        try:
            return self.groups[group_id]
        except KeyError:
            raise unknown_group(group_id) from None

    def bury(self, entry: Entry) -> None:
        """Replace a closed episode by its tombstone, and forget the oldest one too many."""
        serial, _ = self._entries[entry.episode_id]
        info = entry.info()
        self._entries[entry.episode_id] = (serial, Tombstone(info, entry.owner))
        self.services.audit.record(
            "closed", tenant=entry.owner, episode_id=entry.episode_id, generation=info.generation, reason=info.reason,
            steps=entry.steps_taken if isinstance(entry, Episode) else None,
        )  # fmt: skip
        self._remember(entry.episode_id)

    def _remember(self, episode_id: str) -> None:
        self._tombstones[episode_id] = None
        if len(self._tombstones) > self.services.config.tombstones:
            forgotten, _ = self._tombstones.popitem(last=False)
            del self._entries[forgotten]


def new_episode_id() -> str:
    return "ep_" + secrets.token_hex(12)


def unknown_episode(episode_id: str) -> NotFound:
    """Also what is said of another tenant's episode, so that nobody learns which ids there are."""
    return NotFound(f"there is no episode {episode_id[:64]!r}")


def unknown_group(group_id: str) -> NotFound:
    """As `unknown_episode`."""
    return NotFound(f"there is no group {group_id[:64]!r}")


def needs_of(environment: type[Environment], task: Task, options: Mapping[str, Any]) -> Needs:
    """Raises: InvalidRequest."""
    try:
        _, own = speaking(environment(), options)
        environment.check(task, own)
        return environment.needs(task, options)
    except ValueError as error:
        raise InvalidRequest(f"options: {error}") from error


def merge_limits(default: Limits, asked: LimitsRequest | None, of_task: Mapping[str, float] | None = None) -> Limits:
    """The environment's limits with the task's, and with the caller's wishes.

    What a task sets is part of the problem: a caller may ask for less of it, never for more.

    Raises: InvalidRequest.
    """
    wishes = asked.model_dump(exclude_none=True) if asked else {}
    for name, most in (of_task or {}).items():
        if wishes.get(name, most) > most:
            raise InvalidRequest(f"limits: {name} is {wishes[name]}, this task allows at most {most}")
    wishes = {**(of_task or {}), **wishes}
    if "memory_bytes" in wishes and "shm_bytes" not in wishes:
        wishes["shm_bytes"] = min(default.shm_bytes, wishes["memory_bytes"] * 2 // 5)
    try:
        return replace(default, **wishes)
    except ValueError as error:
        raise InvalidRequest(f"limits: {error}") from error
