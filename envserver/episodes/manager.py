"""The registry of this server's episodes: makes them, finds them, lists them, ends them all at shutdown."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace

from envserver.access.tenants import DEFAULT_TENANT, Hold
from envserver.episodes.admission import Charge
from envserver.episodes.catalog import Catalog
from envserver.episodes.entry import Entry, LostEpisode, Tombstone
from envserver.episodes.episode import Episode
from envserver.episodes.pool import PURPOSE_POOL
from envserver.episodes.services import Services
from envserver.episodes.world import PURPOSE_GRADING, Plan
from envserver.logs import get_logger
from envserver.runtimes.base import Limits, SandboxError, SandboxInfo
from envserver_sdk.errors import InvalidRequest, NotFound, Problem
from envserver_sdk.models import CreateEpisode, EpisodeInfo, EpisodeList, EpisodeState, LimitsRequest

log = get_logger(__name__)


class EpisodeManager:
    """Belongs to one event loop."""

    def __init__(self, services: Services, catalog: Catalog) -> None:
        self.services = services
        self.catalog = catalog
        self._entries: dict[str, tuple[int, Entry]] = {}
        self._tombstones: OrderedDict[str, None] = OrderedDict()
        self._serial = 0

    # Starting and ending of the server

    async def adopt(self) -> None:
        """Find what an earlier server left: its episodes are listed as lost, all else is destroyed."""
        for found in await self.services.runtime.list():
            if found.labels.get("purpose") in (PURPOSE_GRADING, PURPOSE_POOL):
                await self._destroy_left(found.sandbox_id)
            elif found.running:
                ticket = self.services.admission.occupy(self._charge_of(found))
                self._add(LostEpisode(self.services, found, ticket, self._hold_of(found)))
            else:
                await self._destroy_left(found.sandbox_id)

    async def _destroy_left(self, sandbox_id: str) -> None:
        try:
            await self.services.runtime.destroy(sandbox_id)
        except SandboxError as error:
            log.warning("sandbox_not_destroyed", sandbox_id=sandbox_id, error=type(error).__name__)

    def _charge_of(self, found: SandboxInfo) -> Charge:
        return Charge.of(self._limits_of(found))

    def _hold_of(self, found: SandboxInfo) -> Hold:
        tenant = self.services.tenants.get(found.labels.get("owner", DEFAULT_TENANT))
        return tenant.occupy(self._limits_of(found).disk_bytes)

    def _limits_of(self, found: SandboxInfo) -> Limits:
        try:
            return self.catalog.environment(found.labels.get("environment", "")).spec.limits
        except NotFound:
            return Limits()

    @property
    def draining(self) -> bool:
        return self.services.admission.closed

    async def drain(self, timeout_s: float) -> None:
        """Begin nothing new, and let running steps and gradings finish for so long."""
        self.services.admission.close()
        await self.services.pool.close()
        running = [task for entry in self._open() if isinstance(entry, Episode) for task in entry.work()]
        if running:
            await asyncio.wait(running, timeout=timeout_s)

    async def shutdown(self, timeout_s: float) -> None:
        """Close every episode of this server. Lost ones are left to their deadline: they are not ours to end."""
        self.services.admission.close()
        await self.services.pool.close()
        closings = [
            asyncio.ensure_future(entry.close("shutdown")) for entry in self._open() if isinstance(entry, Episode)
        ]
        if closings:
            _, late = await asyncio.wait(closings, timeout=timeout_s)
            if late:
                log.error("episodes_not_closed", count=len(late))
        await self.services.settle(1.0)

    # Episodes

    async def create(
        self, request: CreateEpisode, owner: str = DEFAULT_TENANT, on_made: Callable[[Episode], None] = lambda _: None
    ) -> bytes:
        """Make and begin an episode; an encoded `EpisodeStarted`. Nothing is left of one that fails or is cancelled.

        Raises: NotFound, InvalidRequest, Overloaded, QuotaExceeded, ShuttingDown, InfraError; EpisodeClosed when
        it was closed while it began.
        """
        choice = await self.catalog.choose(request.environment, request.task_set, request.task, request.seed)
        config = self.services.config
        ttl_s = request.ttl_s or config.default_ttl_s
        plan = Plan(
            episode_id="ep_" + secrets.token_hex(12),
            environment_name=request.environment,
            environment=choice.environment,
            task_set=choice.task_set,
            task=choice.task,
            limits=merge_limits(choice.environment.spec.limits, request.limits, choice.task.limits),
            sandbox_ttl_s=ttl_s + config.sandbox_ttl_margin_s,
            owner=owner,
        )
        episode = Episode(
            self.services,
            plan,
            ttl_s=ttl_s,
            idle_timeout_s=request.idle_timeout_s or config.default_idle_timeout_s,
            metadata=request.metadata,
            on_closed=self._bury,
            hold=self.services.tenants.get(owner).admit(plan.limits.disk_bytes),
        )
        try:
            starting = episode.start(choice.seed, request.options)
        except Problem:
            episode.discard()
            raise
        self._add(episode)
        on_made(episode)
        return await self._started(episode, starting)

    async def _started(self, episode: Episode, starting: asyncio.Task[bytes]) -> bytes:
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled():  # closed while it began
                raise episode.refusal() or NotFound() from None
            await episode.close("cancelled")
            raise
        except BaseException:
            await episode.close("create_failed")
            raise

    async def reset(self, episode_id: str, seed: int | None, options: dict[str, object]) -> bytes:
        """Begin the next generation. Raises: as `create`; EpisodeNotLive while it is beginning already."""
        episode = self.episode(episode_id)
        starting = episode.reset(secrets.randbits(31) if seed is None else seed, options)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            if starting.cancelled():
                raise episode.refusal() or NotFound() from None
            raise

    def entry(self, episode_id: str) -> Entry:
        """Raises: NotFound."""
        try:
            return self._entries[episode_id][1]
        except KeyError:
            raise unknown_episode(episode_id) from None

    def episode(self, episode_id: str) -> Episode:
        """The actor. Raises: NotFound, EpisodeClosed, EpisodeLost."""
        entry = self.entry(episode_id)
        refusal = entry.refusal()
        if refusal is not None:
            raise refusal
        assert isinstance(entry, Episode)
        return entry

    async def close(self, episode_id: str) -> Entry:
        """Idempotent. Raises: NotFound."""
        entry = self.entry(episode_id)
        try:
            await entry.close("deleted")
        finally:
            if isinstance(entry, LostEpisode) and entry.info().state is EpisodeState.CLOSED:
                self._bury(entry)
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
        return Counter(entry.state if isinstance(entry, Episode) else EpisodeState.LOST for entry in self._open())

    def _open(self) -> list[Entry]:
        return [entry for _, entry in self._entries.values() if not isinstance(entry, Tombstone)]

    def _add(self, entry: Entry) -> None:
        self._serial += 1
        self._entries[entry.episode_id] = (self._serial, entry)

    def _bury(self, entry: Entry) -> None:
        """Replace a closed episode by its tombstone, and forget the oldest one too many."""
        serial, _ = self._entries[entry.episode_id]
        info = entry.info()
        self._entries[entry.episode_id] = (serial, Tombstone(info, entry.owner))
        self.services.audit.record(
            "closed", tenant=entry.owner, episode_id=entry.episode_id, generation=info.generation, reason=info.reason,
            steps=entry.steps_taken if isinstance(entry, Episode) else None,
        )  # fmt: skip
        self._tombstones[entry.episode_id] = None
        if len(self._tombstones) > self.services.config.tombstones:
            forgotten, _ = self._tombstones.popitem(last=False)
            del self._entries[forgotten]


def unknown_episode(episode_id: str) -> NotFound:
    """Also what is said of another tenant's episode, so that nobody learns which ids there are."""
    return NotFound(f"there is no episode {episode_id[:64]!r}")


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
