"""What every episode of a server shares: configuration, runtime, capacity, instruments. No episode's own state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import chain, repeat
from typing import Any, TypeVar

from envserver.access.audit import AuditLog
from envserver.access.tenants import Tenants
from envserver.config import ServerConfig
from envserver.episodes.admission import Admission
from envserver.episodes.pool import WarmPool
from envserver.grading.base import Grader
from envserver.logs import get_logger
from envserver.metrics import Metrics
from envserver.runtimes.base import Runtime, Sandbox, SandboxError
from envserver_sdk.errors import Problem

T = TypeVar("T")

log = get_logger(__name__)

DESTROY_BACKOFF_S = (0.5, 2.0, 5.0, 15.0)


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
    ) -> None:
        self.config = config
        self.runtime = runtime
        self.graders = graders
        self.metrics = metrics or Metrics()
        self.tenants = tenants or Tenants()
        self.audit = audit or AuditLog(None)
        self.admission = Admission(config, self.metrics)
        self.starts = asyncio.Semaphore(config.start_concurrency)
        self.starting = 0
        """Worlds being made now, or waiting for their turn."""
        self.pool = WarmPool(
            config, runtime, self.metrics, spawn=self.spawn, destroy=self.destroy, busy=lambda: self._is_beginning
        )
        self.gradings = asyncio.Semaphore(config.grade_concurrency)
        self._tasks: set[asyncio.Task[Any]] = set()

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
        """Wait for what was spawned; what does not end in time is cancelled."""
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
        if not await asyncio.shield(self.spawn(self._destroy_once(sandbox))):
            self.spawn(self._destroy_at_last(sandbox))

    async def _destroy_at_last(self, sandbox: Sandbox) -> None:
        for delay_s in chain(DESTROY_BACKOFF_S, repeat(DESTROY_BACKOFF_S[-1])):
            await asyncio.sleep(delay_s)
            if await self._destroy_once(sandbox):
                return

    async def _destroy_once(self, sandbox: Sandbox) -> bool:
        try:
            async with asyncio.timeout(self.config.destroy_timeout_s):
                await sandbox.destroy()
        except (SandboxError, TimeoutError) as error:
            log.warning("sandbox_not_destroyed", sandbox_id=sandbox.sandbox_id, error=type(error).__name__)
        except Exception:
            log.exception("sandbox_not_destroyed", sandbox_id=sandbox.sandbox_id)
        else:
            return True
        self.metrics.destroy_failures.inc()
        return False
