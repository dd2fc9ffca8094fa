"""What an earlier server left that belongs to no open episode: sandboxes and checkpoints, removed or listed as lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from envserver.access.tenants import DEFAULT_TENANT
from envserver.episodes.admission import Charge
from envserver.episodes.adopting import PatientRuntime
from envserver.episodes.catalog import Catalog
from envserver.episodes.entry import LostEpisode
from envserver.episodes.plan import PURPOSE_GRADING
from envserver.episodes.pool import PURPOSE_POOL
from envserver.episodes.saving import delete_checkpoint
from envserver.episodes.services import Services
from envserver.runtimes.base import Limits, SandboxInfo, SandboxState
from envserver_sdk.errors import NotFound


class Leftovers:
    """Used once, when all open episodes have been recovered."""

    def __init__(
        self, services: Services, catalog: Catalog, runtime: PatientRuntime, add: Callable[[LostEpisode], None]
    ) -> None:
        """`add` takes what is listed as lost."""
        self._services = services
        self._journal = services.journal
        self._catalog = catalog
        self._runtime = runtime
        self._add = add

    async def clear_sandboxes(self, known: set[str], found: Mapping[str, SandboxInfo]) -> None:
        """`known` are those of open episodes. Raises: SandboxError."""
        for sandbox_id, info in found.items():
            if sandbox_id in known and info.state is not SandboxState.ENDED:
                continue
            owner, purpose = info.labels.get("journal", ""), info.labels.get("purpose")
            if owner != self._journal.journal_id and owner:
                continue  # another server's
            if owner or purpose in (PURPOSE_GRADING, PURPOSE_POOL) or not info.running:
                await self._services.destroy_by_id(sandbox_id)
            else:
                self._add(self._lost(info))

    def _lost(self, info: SandboxInfo) -> LostEpisode:
        limits = self._limits_of(info)
        tenant = self._services.tenants.get(info.labels.get("owner", DEFAULT_TENANT))
        ticket = self._services.admission.occupy(Charge.of(limits))
        return LostEpisode(self._services, info, ticket, tenant.occupy(limits.disk_bytes))

    def _limits_of(self, info: SandboxInfo) -> Limits:
        try:
            return self._catalog.environment(info.labels.get("environment", "")).spec.limits
        except NotFound:
            return Limits()

    async def clear_checkpoints(self, open_episodes: set[str]) -> None:
        """Of this journal, which does not know them: their taking was cut short, or their deletion was.

        And those that were taken by themselves of episodes that have ended since.
        """
        if not self._journal.journal_id:
            return
        known = set()
        for row in await self._journal.checkpoints():
            if row.automatic and row.episode_id not in open_episodes:
                await delete_checkpoint(self._services, row)
            else:
                known.add(row.runtime_id)
        for stored in await self._runtime.checkpoints():
            if stored.labels.get("journal") == self._journal.journal_id and stored.checkpoint_id not in known:
                await self._services.forget_checkpoint(stored.checkpoint_id)
