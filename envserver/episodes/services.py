"""What every episode of a server shares: configuration, runtime, capacity, instruments. No episode's own state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from itertools import chain, repeat
from typing import Any, TypeVar

from envserver.access.audit import AuditLog
from envserver.access.tenants import Tenants
from envserver.config import ServerConfig
from envserver.episodes.admission import Admission
from envserver.episodes.durable import written
from envserver.episodes.idempotency import IdempotencyStore
from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.rows import CheckpointRow
from envserver.episodes.journal.settings import JournalSettings
from envserver.episodes.pool import WarmPool
from envserver.grading.base import Grader
from envserver.logs import get_logger
from envserver.metrics import Metrics
from envserver.runtimes.base import Runtime, Sandbox, SandboxError
from envserver_sdk.errors import InfraError, Problem

T = TypeVar("T")

log = get_logger(__name__)

DESTROY_BACKOFF_S = (0.5, 2.0, 5.0, 15.0)
LEAVING_S = 0.2
"""Between two attempts once the server is asked to end."""


class Services:
    """Belongs to one event loop."""

    def __init__(
        self,
        config: ServerConfig,
        runtime: Runtime,
        graders: Callable[[str], Grader],
        metrics: Metrics | None = None,
        tenants: Tenants | None = None,
        audit: AuditLog | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Without `journal`, one in memory: nothing outlives the process."""
        self.config = config
        self.runtime = runtime
        self.graders = graders
        self.metrics = metrics or Metrics()
        self.tenants = tenants or Tenants()
        self.audit = audit or AuditLog(None)
        self.journal = journal or Journal.open(None, JournalSettings())
        self.admission = Admission(config, self.metrics)
        self.starts = asyncio.Semaphore(config.start_concurrency)
        self.starting = 0
        """Worlds being made now, or waiting for their turn."""
        self.pool = WarmPool(
            config, runtime, self.metrics, spawn=self.spawn, destroy=self.destroy, busy=lambda: self._is_beginning,
            labels={"journal": self.journal.journal_id} if self.journal.journal_id else {},
        )  # fmt: skip
        self.gradings = asyncio.Semaphore(config.grade_concurrency)
        self._once: dict[str, IdempotencyStore] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._leaving = asyncio.Event()

    def once(self, tenant: str) -> IdempotencyStore:
        """A tenant's keyed calls: its keys meet no other's, and push no other's out."""
        store = self._once.get(tenant)
        if store is None:
            config = self.config
            store = self._once[tenant] = IdempotencyStore(
                self.journal, config.idempotency_entries, config.idempotency_bytes, config.idempotency_age_s
            )
        return store

    @property
    def _is_beginning(self) -> bool:
        return self.starting > 0 or self.admission.queued > 0

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run detached from whoever asked; the loop alone keeps only weak references to tasks."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Problem):
            log.error("task_failed", task=task.get_name(), exc_info=error)

    async def settle(self, timeout_s: float) -> None:
        """Wait for what was spawned, at the end; what failed is tried at once, what does not end in time is cancelled.

        A launcher that was away a second ago may be back, and until the next server starts nobody else would remove
        what it could not.
        """
        self._leaving.set()
        tasks = {task for task in self._tasks if task is not asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()

    async def destroy(self, sandbox: Sandbox) -> None:
        """End a sandbox whatever happens to the caller.

        What fails is tried again in the background for as long as this server lives; after that the next server
        finds it, and the runtime's own deadline is the backstop.
        """
        await self._destroy(sandbox.sandbox_id, sandbox.destroy)

    async def destroy_by_id(self, sandbox_id: str) -> None:
        """The same for one that nobody drives."""
        await self._destroy(sandbox_id, partial(self.runtime.destroy, sandbox_id))

    async def _destroy(self, sandbox_id: str, destroy: Callable[[], Awaitable[None]]) -> None:
        await self._insist(partial(self._destroy_once, sandbox_id, destroy))

    async def forget_checkpoint(self, runtime_id: str) -> None:
        """Free what a runtime has stored.

        What fails is tried again in the background; after that it is an orphan, which the next server's start removes.
        """
        await self._insist(partial(self._forget_once, runtime_id))

    async def take_back(self, row: CheckpointRow) -> None:
        """A checkpoint that the journal may have or not, since its disk failed: nobody was told, and another is taken.

        First the row, then what the runtime has: a server that finds the row can begin from it.
        """
        await self._insist(partial(self._take_back_once, row))

    async def _take_back_once(self, row: CheckpointRow) -> bool:
        try:
            await written(self.journal.forget_checkpoint(row.checkpoint_id))
        except InfraError:
            return False
        return row.runtime_id is None or await self._forget_once(row.runtime_id)

    async def _insist(self, once: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        """Waits for the first attempt. More follow until one works, whether or not anybody waited to the end."""

        def tried(first: asyncio.Task[bool]) -> None:
            if not first.cancelled() and first.exception() is None and not first.result():
                self.spawn(self._again(once))

        first = self.spawn(once())
        first.add_done_callback(tried)
        await asyncio.shield(first)

    async def _again(self, once: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        for delay_s in chain(DESTROY_BACKOFF_S, repeat(DESTROY_BACKOFF_S[-1])):
            await self._pause(delay_s)
            if await once():
                return

    async def _pause(self, delay_s: float) -> None:
        """Short once the server is leaving: `settle` waits for no long one."""
        if self._leaving.is_set():
            await asyncio.sleep(min(delay_s, LEAVING_S))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._leaving.wait()

    async def _forget_once(self, runtime_id: str) -> bool:
        try:
            async with asyncio.timeout(self.config.destroy_timeout_s):
                await self.runtime.delete_checkpoint(runtime_id)
        except (SandboxError, TimeoutError) as error:
            log.warning("checkpoint_not_deleted", runtime_id=runtime_id, error=type(error).__name__)
            return False
        return True

    async def _destroy_once(self, sandbox_id: str, destroy: Callable[[], Awaitable[None]]) -> bool:
        try:
            async with asyncio.timeout(self.config.destroy_timeout_s):
                await destroy()
        except (SandboxError, TimeoutError) as error:
            log.warning("sandbox_not_destroyed", sandbox_id=sandbox_id, error=type(error).__name__)
        except Exception:
            log.exception("sandbox_not_destroyed", sandbox_id=sandbox_id)
        else:
            return True
        self.metrics.destroy_failures.inc()
        return False
