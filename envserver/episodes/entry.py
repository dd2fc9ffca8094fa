"""What the registry knows under an episode's id: a live actor, a lost sandbox, or the memory of a closed one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime

from envserver.access.tenants import Hold
from envserver.episodes.admission import Ticket
from envserver.episodes.services import Services
from envserver.logs import get_logger
from envserver.runtimes.base import SandboxInfo
from envserver_sdk.errors import EpisodeClosed, EpisodeLost, Problem
from envserver_sdk.models import EpisodeInfo, EpisodeState

log = get_logger(__name__)


class Entry(ABC):
    """Anything with an episode id."""

    episode_id: str
    owner: str
    """The tenant whose keys may see it."""

    @abstractmethod
    def info(self) -> EpisodeInfo: ...

    def observed(self) -> EpisodeInfo:
        """`info`, with the last observation where there is a world."""
        return self.info()

    @abstractmethod
    async def close(self, reason: str) -> None:
        """Free everything that it holds. Idempotent."""

    @abstractmethod
    def refusal(self) -> Problem | None:
        """Why it cannot be used at all; None for an actor."""


class Tombstone(Entry):
    """A closed episode: answers what became of it."""

    def __init__(self, info: EpisodeInfo, owner: str) -> None:
        self.episode_id = info.episode_id
        self.owner = owner
        self._info = info

    def info(self) -> EpisodeInfo:
        return self._info

    async def close(self, reason: str) -> None:
        """There is nothing left to close."""

    def refusal(self) -> Problem:
        return EpisodeClosed(f"episode {self.episode_id} is closed: {self._info.reason}")


class LostEpisode(Entry):
    """A sandbox of an earlier server, whose actor died with it: it is listed, and can be closed."""

    REASON = "server_restarted"

    def __init__(self, services: Services, found: SandboxInfo, ticket: Ticket, hold: Hold) -> None:
        self.episode_id = found.labels.get("episode") or found.sandbox_id
        self.owner = hold.tenant.name
        self._services = services
        self._found = found
        self._ticket = ticket
        self._hold = hold
        self._closed_because: str | None = None

    @property
    def sandbox_id(self) -> str:
        return self._found.sandbox_id

    def info(self) -> EpisodeInfo:
        labels: Mapping[str, str] = self._found.labels
        generation = labels.get("generation", "")
        return EpisodeInfo(
            episode_id=self.episode_id,
            state=EpisodeState.CLOSED if self._closed_because else EpisodeState.LOST,
            environment=labels.get("environment", ""),
            task_set=labels.get("task_set"),
            task=labels.get("task"),
            generation=int(generation) if generation.isdecimal() else 1,
            step_index=0,
            reward=0.0,
            created_at=self._found.created_at,
            expires_at=self._found.deadline,
            reason=self._closed_because or self.REASON,
        )

    async def close(self, reason: str) -> None:
        if self._closed_because is None:
            self._closed_because = reason
            try:
                await self._services.runtime.destroy(self._found.sandbox_id)
            except BaseException:
                self._closed_because = None
                raise
            self._ticket.release()
            self._hold.release()

    def refusal(self) -> Problem:
        since = datetime.fromtimestamp(self._found.created_at, UTC).isoformat(timespec="seconds")
        return EpisodeLost(f"episode {self.episode_id} (of {since}) lost its state when the server restarted")
