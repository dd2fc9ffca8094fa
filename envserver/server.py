"""The server, assembled: configuration and a runtime in, a listening program out.

    async with RunningServer(config, runtime) as server:   # in a loop that is there already; tests, embedding
        print(server.url)

    run(config, make_runtime)                              # a process of its own: uvloop, signals, exit

On SIGTERM or SIGINT it ends in bounded time and in this order: nothing new begins (503 `shutting_down`), running
steps finish and are answered over the connections that are still open, then connections are closed and episodes let
go of: with a journal they live on, and the next server goes on with them; without one they are closed. A second signal
skips the waiting. SIGKILL leaves sandboxes running, since the launcher owns them, and costs a journaled episode
nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Self

import uvicorn

from environments.environment import Environment
from environments.tools.mcp import operator
from environments.tools.mcp.operator import Operator
from envserver import clock
from envserver.access.audit import AuditLog
from envserver.access.keyring import Keyring
from envserver.access.tenants import Tenants
from envserver.api.app import build_app
from envserver.api.calls import Calls
from envserver.api.protocol import BoundedHttpProtocol
from envserver.config import ServerConfig, is_loopback
from envserver.episodes.catalog import Catalog, folder_task_sets, installed_environments
from envserver.episodes.journal.errors import JournalError
from envserver.episodes.journal.journal import Journal
from envserver.episodes.journal.settings import JournalSettings
from envserver.episodes.manager import EpisodeManager
from envserver.episodes.saving import delete_old_checkpoints
from envserver.episodes.services import Services
from envserver.grading.base import Grader
from envserver.logs import configure_logging, get_logger
from envserver.network import egress
from envserver.network.egress import Egress
from envserver.runtimes.base import Runtime
from envserver_sdk.errors import Problem

log = get_logger(__name__)

USER_TIMEOUT_MS = 60_000
"""The kernel drops a connection whose peer has taken nothing for so long, so that its unsent bytes go too."""


def _installed_graders(kind: str) -> Grader:
    from envserver.grading.registry import get_grader

    return get_grader(kind)


class _Uvicorn(uvicorn.Server):
    """Uvicorn that drains before it closes connections."""

    def __init__(self, config: uvicorn.Config, manager: EpisodeManager, *, signals: bool) -> None:
        super().__init__(config)
        self._manager = manager
        self._signals = signals
        self._loop = asyncio.get_running_loop()
        self._draining: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if not self._signals:
            yield
            return
        with super().capture_signals():
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Runs between two bytecodes of whatever the loop was doing: only hand over.
        self._loop.call_soon_threadsafe(self._exit, sig)

    def _exit(self, sig: int) -> None:
        if self._draining is not None or sig == signal.SIGQUIT:
            self.should_exit = True
            return
        log.info("shutdown_began", signal=sig)
        self._draining = asyncio.ensure_future(self.drain_and_exit())

    async def drain_and_exit(self) -> None:
        await self._manager.drain(self._manager.services.config.drain_timeout_s)
        self.should_exit = True


class RunningServer:
    """A server in the running loop, from `start` until `stop`."""

    def __init__(
        self,
        config: ServerConfig,
        runtime: Runtime,
        *,
        environments: Mapping[str, type[Environment]] | None = None,
        graders: Callable[[str], Grader] | None = None,
        signals: bool = False,
    ) -> None:
        self.config = config
        operator.configure(Operator.of(config.mcp_hosts, config.mcp_headers_file))
        egress.configure(Egress(config.egress_hosts))
        found = installed_environments() if environments is None else environments
        self.journal = Journal.open(config.journal, _journal_settings(config))
        tenants, self.audit = Tenants(), AuditLog(config.audit_file)
        self.keyring = Keyring(config.keys_file, config.read_api_key(), tenants, self.audit)
        self.services = Services(
            config, runtime, graders or _installed_graders, tenants=tenants, audit=self.audit, journal=self.journal
        )
        catalog = Catalog(found, folder_task_sets(found, config.task_folders))
        self.manager = EpisodeManager(self.services, catalog)
        self.calls = Calls(self.manager)
        self._socket = _listen(config.host, config.port)
        # Not asked of the socket later: a server that is told to end while it starts has closed it by then.
        self.url = _url_of(self._socket, tls=config.tls_cert_file is not None)
        self._uvicorn = _Uvicorn(self._uvicorn_config(), self.manager, signals=signals)
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Return when it answers, having taken over what an earlier server left. Raises: whatever kept it from that."""
        try:
            with self._uvicorn.capture_signals():
                await self.manager.adopt()
        except BaseException:
            self._socket.close()
            await self.journal.close()
            await asyncio.to_thread(self.audit.close)
            raise
        self._serving = asyncio.ensure_future(self._uvicorn.serve([self._socket]))
        while not self._uvicorn.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("the server could not start; see its log")
            await asyncio.sleep(0.005)
        if not is_loopback(self.config.host) and self.config.tls_cert_file is None:
            log.warning("served_without_tls", host=self.config.host)
        runtime, report = self.services.runtime, self.journal.report
        if self.config.journal is None:
            log.warning("no_journal", consequence="episodes end with this process")
        if report.cut_bytes:
            log.error("journal_cut", cut_bytes=report.cut_bytes, what=report.cut_what)
        log.info("server_started", url=self.url, runtime=runtime.name, runtime_reason=runtime.reason)

    async def wait(self) -> None:
        """Until it has ended."""
        assert self._serving is not None
        await self._serving

    async def stop(self) -> None:
        """Drain, close everything, and return when it has ended. Idempotent."""
        if self._serving is not None and not self._serving.done():
            await self._uvicorn.drain_and_exit()
        await self.wait()

    def _uvicorn_config(self) -> uvicorn.Config:
        config = self.config
        return uvicorn.Config(
            build_app(self.calls, self.keyring, self._lifespan),
            lifespan="on",
            http=BoundedHttpProtocol,
            ws="websockets-sansio",
            ws_max_size=config.max_body_bytes,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=75,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            ssl_certfile=config.tls_cert_file,
            ssl_keyfile=config.tls_key_file,
            ssl_ca_certs=None if config.tls_client_ca_file is None else str(config.tls_client_ca_file),
            ssl_cert_reqs=ssl.CERT_NONE if config.tls_client_ca_file is None else ssl.CERT_REQUIRED,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[None]:
        watches = (self.services.metrics.watch_loop(), self.keyring.watch(), self._sweep())
        watching = [asyncio.ensure_future(watch) for watch in watches]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await self.manager.shutdown(self.config.shutdown_timeout_s)
            await self.journal.close()
            await asyncio.to_thread(self.audit.close)
            log.info("server_stopped")

    async def _sweep(self) -> None:
        """Keep the journal within its bounds, for ever."""
        while True:
            await asyncio.sleep(self.config.journal_sweep_s)
            try:
                await delete_old_checkpoints(self.services)
                await self.journal.sweep(clock.wall())
            except (JournalError, Problem) as error:
                log.warning("journal_not_swept", error=str(error)[:300])


def _journal_settings(config: ServerConfig) -> JournalSettings:
    return JournalSettings(
        max_bytes=config.journal_bytes,
        max_age_s=config.journal_age_s,
        max_closed_episodes=config.journal_episodes,
        call_age_s=config.idempotency_age_s,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host.strip("[]"), port), family=family, backlog=2048)
    listener.setblocking(False)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url_of(listener: socket.socket, *, tls: bool) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(config: ServerConfig, make_runtime: Callable[[], Awaitable[Runtime]], **options: Any) -> None:
    """Serve until a signal; `options` as `RunningServer` takes them. The runtime is closed in the end."""
    runtime = await make_runtime()
    try:
        server = RunningServer(config, runtime, signals=True, **options)
        await server.start()
        await server.wait()
    finally:
        await runtime.close()


def _spare_collections() -> None:
    """Collect garbage seldom: a full collection walks every episode's objects while all steps wait.

    What was imported is never walked again; little of what a step makes is cyclic, so little piles up.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def run(config: ServerConfig, make_runtime: Callable[[], Awaitable[Runtime]], **options: Any) -> None:
    """`serve` in a process of its own: logs, uvloop, and exit when a signal asks for it."""
    import uvloop

    _spare_collections()
    configure_logging(config.log_level, config.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(serve(config, make_runtime, **options))
