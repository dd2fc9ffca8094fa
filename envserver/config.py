"""Configuration of the server: every number that an operator may want to turn, with its unit in its name.

Read once from `ENVSERVER_*` variables (or built in code) and never changed afterwards. Defaults are those of
one small node; capacities left out are taken from the machine when the server starts.

Episodes are admitted by the sum of their limits. Most episodes use a small part of what they may use, so that
sum may exceed the machine by the overcommit factors; `min_available_memory_bytes` is what keeps it honest:
no episode starts while the machine has less memory left than that.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


def is_loopback(host: str) -> bool:
    """Whether `host` can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class ServerConfig(BaseSettings):
    """Everything about one server process."""

    model_config = SettingsConfigDict(env_prefix="ENVSERVER_", frozen=True, extra="ignore")

    # Where it listens, and who may call.
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: SecretStr | None = None
    """Required unless `host` is a loopback address."""
    api_key_file: Path | None = None
    """Read instead of `api_key`, so that the key is in no environment."""
    keys_file: Path | None = None
    """Keys with scopes, and tenants with quotas; `envserver keys` writes it, and changes act at once."""
    audit_file: Path | None = None
    """Where the audit log is appended; without it nothing is recorded."""
    tls_cert_file: Path | None = None
    """The server's certificate with its chain, PEM; HTTP and WebSocket are then served over TLS alone."""
    tls_key_file: Path | None = None
    tls_client_ca_file: Path | None = None
    """Clients must show a certificate of this authority, and still a key."""

    runtime: Literal["auto", "crun", "docker"] = "auto"
    """What makes sandboxes; `auto` takes crun where it can work, else docker, and says why in its log and health."""

    # What a request may be.
    max_body_bytes: int = 16 * MIB
    """Of an ordinary request, and of one WebSocket frame."""
    max_file_bytes: int = 64 * MIB
    """Of a file put or got over HTTP."""
    files_bytes: int = 256 * MIB
    """Of all files that are in the server's memory at a time; who finds no room waits for `file_timeout_s`."""
    max_json_depth: int = Field(default=64, ge=4, le=200)
    body_timeout_s: float = 60.0
    """A request's body must have arrived by then."""
    max_wait_s: float = 3600.0
    """A call never waits longer than this for a step, whatever `wait_s` says."""

    # WebSocket connections.
    ws_max_in_flight: int = 1024
    """Calls of one connection at a time; further frames are left in the socket."""
    ws_in_flight_bytes: int = 64 * MIB
    """The same for the sum of their frames."""
    ws_outbox_bytes: int = 4 * MIB
    """Unsent bytes of one connection; past it results wait and streamed output is dropped and counted."""
    ws_send_timeout_s: float = 30.0
    """A reader that takes nothing for so long is disconnected."""

    # What the node may give away.
    capacity_memory_bytes: int | None = None
    """Default: four fifths of the machine's memory."""
    capacity_cpus: float | None = None
    """Default: the machine's CPUs."""
    memory_overcommit: float = Field(default=64.0, ge=1)
    cpu_overcommit: float = Field(default=512.0, ge=1)
    min_available_memory_bytes: int = 512 * MIB
    """Nothing starts while the machine has less left (0: do not look)."""
    max_episodes: int = 4096
    queue_length: int = 1024
    """Creates that may wait for capacity; more are refused at once."""
    queue_timeout_s: float = 60.0
    """A create that waited so long is refused with `overloaded`."""
    start_concurrency: int = Field(default=8, ge=1)
    pool_size: int = Field(default=16, ge=0)
    """Sandboxes kept warm at most, all kinds together; how many there are follows demand. 0: none."""

    tasks: str = ""
    """Folders of task sets, with `:` between them; each a set or a folder of sets."""

    # Which MCP services episodes may use: environments/tools/mcp/operator.py.
    mcp_hosts: str = ""
    """Hosts that this server calls for episodes, with `,` between them, a port where it is none of the usual."""
    mcp_headers_file: Path | None = None
    """JSON: by host, what requests to it bear beside; keys, so that no episode need have them."""

    egress_hosts: str = ""
    """Real hosts that pages of a browser may reach, with `,` between them: envserver/network/egress.py."""

    # Time limits of episodes.
    start_timeout_s: float = 60.0
    """Making one sandbox."""
    reset_timeout_s: float = 120.0
    """One `Environment.reset`."""
    step_margin_s: float = 15.0
    """Past a step's time limit plus this, its sandbox is destroyed: an `infra_error`."""
    default_ttl_s: float = 24 * 3600.0
    default_idle_timeout_s: float = 1800.0
    sandbox_ttl_margin_s: float = 300.0
    """The runtime's own deadline of a sandbox lies so far behind its episode's."""
    file_timeout_s: float = 60.0
    destroy_timeout_s: float = 30.0

    checkpoint_timeout_s: float = 120.0
    """Saving, hibernating or waking one sandbox."""
    pause_after_s: float | None = Field(default=None, gt=0)
    """An episode without `pause_after_s` of its own is frozen after so long between two steps; unset: never."""
    hibernate_after_s: float | None = Field(default=None, gt=0)
    """The same for going to disk, which gives its memory and capacity back."""

    # Grading has a reserve of its own, so that graders never wait for episodes to end.
    grade_concurrency: int = Field(default=4, ge=1)
    grade_max_sandboxes: int = Field(default=4, ge=1)
    """Sandboxes that one grading may hold at a time."""
    grade_timeout_s: float = 300.0
    """One grading, beginning when its turn comes."""
    grade_queue_timeout_s: float = 600.0
    grade_attempts: int = Field(default=2, ge=1)
    """A grading that fails for reasons of ours runs again on the same artifacts."""

    # What is remembered.
    journal: Path | None = None
    """Directory of the journal, by which episodes outlive this process; without it they end with it."""
    journal_bytes: int = Field(default=8 * GIB, ge=16 * MIB)
    """Of the journal: past it the oldest closed episodes are forgotten."""
    journal_age_s: float = Field(default=7 * 24 * 3600.0, gt=0)
    """Closed episodes and deleted checkpoints are forgotten after so long."""
    journal_episodes: int = Field(default=200_000, ge=1)
    """Closed episodes that are kept at most."""
    checkpoint_age_s: float = Field(default=7 * 24 * 3600.0, gt=0)
    """Checkpoints are deleted so long after they were taken."""
    journal_sweep_s: float = Field(default=60.0, gt=0)
    """How often what is past those bounds is removed."""
    record_bytes: int = 16 * MIB
    """Of one episode's step records; the oldest go first, the newest always stays."""
    tombstones: int = 10_000
    """Closed episodes that still answer what became of them."""
    idempotency_entries: int = 20_000
    idempotency_bytes: int = 128 * MIB
    idempotency_age_s: float = 3600.0

    # Ending.
    drain_timeout_s: float = 30.0
    """Running steps may finish for so long after the server was asked to stop."""
    shutdown_timeout_s: float = 30.0
    """Closing everything may take so long after that."""

    log_level: str = "info"
    log_format: str = Field(default="json", pattern="^(json|console)$")

    @model_validator(mode="after")
    def _key_unless_loopback(self) -> ServerConfig:
        if not is_loopback(self.host) and not (self.api_key or self.api_key_file or self.keys_file):
            raise ValueError(
                f"host is {self.host}, which others can reach: set ENVSERVER_API_KEY, ENVSERVER_API_KEY_FILE or "
                "ENVSERVER_KEYS_FILE, or bind 127.0.0.1"
            )
        return self

    @model_validator(mode="after")
    def _whole_tls(self) -> ServerConfig:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("set both ENVSERVER_TLS_CERT_FILE and ENVSERVER_TLS_KEY_FILE, or neither")
        if self.tls_client_ca_file is not None and self.tls_cert_file is None:
            raise ValueError("ENVSERVER_TLS_CLIENT_CA_FILE needs ENVSERVER_TLS_CERT_FILE")
        return self

    def read_api_key(self) -> str | None:
        """The key, or None when none is required. Raises: ValueError for an empty one, OSError."""
        if self.api_key_file is not None:
            key = self.api_key_file.read_text().strip()
        elif self.api_key is not None:
            key = self.api_key.get_secret_value()
        else:
            return None
        if not key:
            raise ValueError("the API key is empty")
        return key

    @property
    def task_folders(self) -> list[Path]:
        """Where `tasks` points."""
        return [Path(part) for part in self.tasks.split(":") if part]

    @property
    def memory_capacity_bytes(self) -> int:
        """Bytes of limits that may be given away."""
        total = self.capacity_memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 4 // 5
        return int(total * self.memory_overcommit)

    @property
    def cpu_capacity(self) -> float:
        """CPUs of limits that may be given away."""
        return (self.capacity_cpus or float(os.cpu_count() or 1)) * self.cpu_overcommit
