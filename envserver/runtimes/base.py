"""The contract between environments and whatever makes their sandboxes.

A `Runtime` makes sandboxes; a `Sandbox` is the only way in which environments and graders touch a
container. Two rules hold for every method:

- **A failed command is data, a failed sandbox is an exception.** A program that exits with 1, is killed
  by a limit or never ends yields a result that says so. `SandboxError` and its kin mean that the world
  itself is unreachable, gone or refuses the request.
- **Nothing inside a sandbox is believed.** Results are what untrusted programs and an untrusted guest
  agent said; implementations bound their size and check their types before anyone else sees them.

Paths are absolute paths inside the sandbox; times are seconds, sizes bytes. Every implementation runs
`envserver.runtimes.conformance`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum

from envserver.errors import EnvserverError

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

USER_UID = 1000
"""The uid and gid, inside the sandbox, of everything that an agent's actions start."""


class SandboxError(EnvserverError):
    """The sandbox, its runtime or the way to it failed; never what a command inside did."""


class SandboxGoneError(SandboxError):
    """The sandbox has ended: its guest agent died, was killed, or the sandbox was destroyed."""


class SandboxSilentError(SandboxGoneError):
    """The guest agent did not answer in time, and is given up: it starved, or the machine did."""


class GuestProtocolError(SandboxGoneError):
    """The guest agent broke the protocol: the sandbox can no longer be trusted, and is given up."""


class CallForgottenError(SandboxGoneError):
    """A call of a settled series was made again: what it came to is not known any more, so the episode is lost."""


class SandboxFileError(SandboxError):
    """A file operation was refused; `code` is one of docs/guest-protocol.md's file errors."""

    def __init__(self, code: str, path: str, message: str = "") -> None:
        super().__init__(message or f"{path}: {code}")
        self.code = code
        self.path = path


class CommandNotStartedError(SandboxError):
    """The program could not be started: no such file, not executable, out of processes."""


class RuntimeUnavailableError(SandboxError):
    """The runtime cannot make sandboxes now; `reason` is fit for an operator."""


class ImageNotFoundError(SandboxError):
    """No image of that name or digest is stored on this node."""


class NotSupportedError(SandboxError):
    """The runtime does not declare the capability that this needs."""


class CheckpointError(SandboxError):
    """The sandbox cannot be saved as it is, and runs on; the message names the process and the descriptor, if known."""


class CheckpointNotFoundError(SandboxError):
    """No checkpoint of that id is stored on this node."""


class CapacityError(RuntimeUnavailableError):
    """Making this sandbox would exceed what the node may give: memory, disk or uid ranges."""


class Ending(StrEnum):
    """How a command or a call ended."""

    MESSAGE = "message"
    """A session answered."""
    EXITED = "exited"
    """The program ended, by itself or by a signal."""
    TIMEOUT = "timeout"
    """The time limit passed; it was interrupted, or killed if that did not help."""
    OVERFLOW = "overflow"
    """More output than `OutputLimits.stop_bytes`; stopped like a time-out."""
    BAD_MESSAGE = "bad_message"
    """A session broke the framing of its own answers; it was killed."""


@dataclass(frozen=True)
class OutputLimits:
    """What is kept of each stream and when a program that prints too much is stopped."""

    keep_bytes: int = 256 * KIB
    """Kept of each stream: the first and the last half of this."""
    stop_bytes: int = 64 * MIB
    """Both streams together; past it the program is stopped with `Ending.OVERFLOW`."""


@dataclass(frozen=True)
class Output:
    """One captured stream. `total_bytes` counts all that was written, kept or not."""

    head: bytes = b""
    tail: bytes = b""
    total_bytes: int = 0

    @property
    def truncated(self) -> bool:
        return self.total_bytes > len(self.head) + len(self.tail)

    @property
    def data(self) -> bytes:
        """Head and tail joined; where bytes were left out, a line between them says how many."""
        if not self.truncated:
            return self.head + self.tail
        omitted = self.total_bytes - len(self.head) - len(self.tail)
        return b"%s\n[... %d bytes omitted ...]\n%s" % (self.head, omitted, self.tail)

    @property
    def text(self) -> str:
        """`data` as text; bytes that are no UTF-8 become `\\xNN`, so nothing is lost or guessed."""
        return self.data.decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class CommandResult:
    """What a `run` or a session's `call` did. All of it is untrusted."""

    ending: Ending
    stdout: Output
    stderr: Output
    duration_s: float
    message: bytes | None = None
    """A session's answer; None for `run`, and when none came."""
    exit_code: int | None = None
    signal: int | None = None
    interrupted: bool = False
    """The time limit passed and the session answered the interrupt: it lives on with its state."""
    alive: bool = False
    """The session can be called again."""
    killed_processes: int = 0


@dataclass(frozen=True)
class Command:
    """A program to start: no shell, no inherited environment."""

    argv: Sequence[str]
    cwd: str = "/workspace"
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to (and overriding) the sandbox's default environment: PATH, HOME, USER, LANG, TERM."""
    user: int = USER_UID
    rlimits: Mapping[str, int] = field(default_factory=dict)
    """Soft and hard alike; names as in docs/guest-protocol.md. Defaults: core 0, msgqueue 0, nofile of the sandbox."""


OutputListener = Callable[[str, bytes], None]
"""Called on the event loop with ("stdout" | "stderr", bytes) as output arrives; must not block."""


class Session(ABC):
    """A long-lived program in a sandbox that answers one message at a time."""

    name: str

    @abstractmethod
    async def call(
        self,
        message: bytes,
        *,
        timeout_s: float,
        grace_s: float = 0.5,
        output: OutputLimits = OutputLimits(),
        on_output: OutputListener | None = None,
    ) -> CommandResult:
        """Send `message` (at most 900,000 bytes) and wait for the answer.

        One call at a time. After a result with `alive` False the session is gone; open another.
        Output that arrived since the last call belongs to this one.

        Raises: SandboxGoneError; SandboxError when the session is not open or busy.
        """

    @abstractmethod
    async def close(self) -> None:
        """Kill the session's whole process tree. Idempotent."""


@dataclass(frozen=True)
class FileEntry:
    path: str
    """Relative to the listed directory."""
    type: str
    """file, dir, link or other."""
    size_bytes: int
    mode: int


@dataclass(frozen=True)
class Usage:
    """Counted by the kernel outside the sandbox, since its start; `memory_peak_bytes` since `mark_usage`."""

    cpu_s: float
    memory_bytes: int
    memory_peak_bytes: int
    oom_kills: int
    pids_denied: int


@dataclass(frozen=True)
class Limits:
    """Hard limits of one sandbox, enforced by the kernel."""

    memory_bytes: int = 1 * GIB
    """Swap included; what tmpfs holds counts too."""
    cpus: float = 1.0
    pids: int = 128
    disk_bytes: int = 1 * GIB
    """All that is written to the root file system."""
    shm_bytes: int = 64 * MIB
    """Size of /dev/shm; at most 40 % of memory."""
    nofile: int = 1024

    def __post_init__(self) -> None:
        for name, low, high in (
            ("memory_bytes", 32 * MIB, 1024 * GIB),
            ("cpus", 0.05, 256),
            ("pids", 8, 32768),
            ("disk_bytes", 8 * MIB, 1024 * GIB),
            ("shm_bytes", 64 * KIB, self.memory_bytes * 2 // 5),
            ("nofile", 32, 65536),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, must be between {low} and {high}")


@dataclass(frozen=True)
class SandboxSpec:
    """Everything that a sandbox is made from; validated here, before anything is made."""

    image: str
    """A name or digest known to the runtime's image store."""
    limits: Limits = Limits()
    labels: Mapping[str, str] = field(default_factory=dict)
    """Owner, episode, generation, environment; found again by `Runtime.list`."""
    ttl_s: float = 24 * 3600.0
    """The runtime destroys the sandbox this long after its creation, whoever has forgotten it."""


class SandboxState(StrEnum):
    """What a sandbox is doing, as the launcher knows it."""

    RUNNING = "running"
    PAUSED = "paused"
    """Frozen: it uses no CPU, and answers when it is resumed."""
    HIBERNATED = "hibernated"
    """On disk, without processes; `Runtime.adopt` brings it back."""
    ENDED = "ended"


class CheckpointKind(StrEnum):
    """What of a sandbox is saved."""

    PROCESS = "process"
    """Files, processes and their memory: a restored sandbox goes on in the middle of whatever ran."""
    FILESYSTEM = "filesystem"
    """The writable layer alone, without /dev/shm: a restored sandbox has no process but its guest agent."""


@dataclass(frozen=True)
class SandboxCheckpoint:
    """A saved state of a sandbox. It outlives the sandbox, the server and the machine's boot."""

    checkpoint_id: str
    kind: CheckpointKind
    image: str
    limits: Limits
    labels: Mapping[str, str]
    """The sandbox's, when it was taken."""
    created_at: float
    """Unix time."""
    bytes: int
    """Of the saved processes; files are shared with the sandbox until either changes them."""
    pause_ms: float
    """How long the sandbox stood still."""


@dataclass(frozen=True)
class SandboxInfo:
    """A sandbox as `Runtime.list` finds it, also after a restart of server or launcher."""

    sandbox_id: str
    image: str
    labels: Mapping[str, str]
    created_at: float
    """Unix time."""
    deadline: float
    """Unix time at which the runtime destroys it."""
    state: SandboxState

    @property
    def running(self) -> bool:
        return self.state is not SandboxState.ENDED


class Sandbox(ABC):
    """One container. Safe for concurrent use by tasks of one event loop."""

    sandbox_id: str
    spec: SandboxSpec

    @abstractmethod
    async def run(
        self,
        command: Command,
        *,
        stdin: bytes = b"",
        timeout_s: float,
        grace_s: float = 0.5,
        output: OutputLimits = OutputLimits(),
        on_output: OutputListener | None = None,
    ) -> CommandResult:
        """Run a program to its end, then kill whatever it left running.

        `stdin` is at most 900,000 bytes. Raises: CommandNotStartedError, SandboxGoneError.
        """

    @abstractmethod
    async def open_session(self, name: str, command: Command, *, feed: bytes = b"", pty: bool = False) -> Session:
        """Start a session: a program that takes messages on descriptor 3 and answers on 4.

        `feed` is written to its standard input at every call. `name` is unique among open sessions.

        Raises: CommandNotStartedError, SandboxGoneError; SandboxError when `name` is taken.
        """

    @abstractmethod
    def attach_session(self, name: str) -> Session:
        """A session that was opened before: by an earlier server, or before a checkpoint was taken.

        It need not be open any more; its next call tells.
        """

    # Calls under names. A server that dies between sending a call and writing down what it came to leaves its
    # successor to make the same calls again: under the same names they are answered, and do not run twice.

    @abstractmethod
    def reserve_series(self) -> int:
        """A number for a series of calls, greater than every one before. Written down before its first call is made."""

    @abstractmethod
    def series(self, number: int) -> AbstractContextManager[None]:
        """Within it, calls by this task and by tasks begun in it are the first, second, ... of that series.

        A call whose name has run gives its result again; one that runs is attached to; only one that never arrived
        runs. So whoever repeats a series has to make the same calls in the same order.
        """

    @abstractmethod
    def settle_series(self, number: int) -> None:
        """What this series and those before came to is written down: the guest may forget their results."""

    @property
    @abstractmethod
    def settled_series(self) -> int:
        """The greatest series that the guest knows as settled, by whichever server; 0 for none."""

    @abstractmethod
    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644, user: int = USER_UID) -> None:
        """Create or replace a regular file, with missing parents, with the rights of `user`.

        Links are not followed. Raises: SandboxFileError, SandboxGoneError.
        """

    @abstractmethod
    async def read_file(self, path: str, *, max_bytes: int = 16 * MIB, user: int = USER_UID) -> bytes:
        """The content of a regular file with the rights of `user`; links are not followed.

        Raises: SandboxFileError (`too_large` past `max_bytes`, counted by bytes read), SandboxGoneError.
        """

    @abstractmethod
    async def list_files(
        self, path: str, *, max_entries: int = 10_000, max_depth: int = 16, user: int = USER_UID
    ) -> tuple[list[FileEntry], bool]:
        """Entries below `path` sorted by path, and whether some were left out.

        Raises: SandboxFileError, SandboxGoneError.
        """

    @abstractmethod
    async def has_room(self, paths: Sequence[str], size_bytes: int = 128 * KIB) -> bool:
        """Whether each of the directories can still take so many bytes. Raises: SandboxGoneError."""

    @abstractmethod
    async def stop_processes(self) -> int:
        """Kill every user process until none is left; files stay readable. Returns how many.

        Raises: SandboxGoneError.
        """

    @abstractmethod
    def usage(self) -> Usage:
        """Read from the kernel at once, without a round trip. Raises: SandboxGoneError."""

    @abstractmethod
    def mark_usage(self) -> None:
        """Begin a new window for `Usage.memory_peak_bytes`."""

    @property
    @abstractmethod
    def gone(self) -> bool:
        """Whether the sandbox is known to have ended."""

    async def detach(self) -> None:  # noqa: B027  # most hold nothing
        """Hang up and leave the sandbox as it is, for whoever adopts it. This object is of no use afterwards."""

    @abstractmethod
    async def destroy(self) -> None:
        """End the sandbox and leave nothing of it behind. Idempotent; shielded from cancellation."""


class Capability(StrEnum):
    """What a runtime may be able to do; the conformance suite tests what is declared."""

    USER_NAMESPACE = "user_namespace"
    WRITABLE_ROOT = "writable_root"
    DISK_QUOTA = "disk_quota"
    PROCESS_CHECKPOINT = "process_checkpoint"
    FILESYSTEM_CHECKPOINT = "filesystem_checkpoint"
    PAUSE = "pause"
    HIBERNATE = "hibernate"


class Runtime(ABC):
    """Makes sandboxes. Safe for concurrent use by tasks of one event loop."""

    name: str
    capabilities: frozenset[Capability]
    reason: str = ""
    """Why the server uses this one, for an operator."""

    @abstractmethod
    async def create(self, spec: SandboxSpec) -> Sandbox:
        """A new, running sandbox whose guest agent answers.

        On any failure, cancellation included, nothing is left behind.
        Raises: ImageNotFoundError, CapacityError, RuntimeUnavailableError.
        """

    @abstractmethod
    async def claim(self, sandbox: Sandbox, spec: SandboxSpec) -> None:
        """Make a sandbox that nobody has used the one that `create(spec)` would have made: its labels, its deadline.

        Raises: SandboxGoneError when it has ended, or `spec.image` names another image by now;
        RuntimeUnavailableError.
        """

    @abstractmethod
    async def list(self) -> list[SandboxInfo]:
        """Every sandbox of this runtime, of this server process or an earlier one."""

    @abstractmethod
    async def adopt(self, sandbox_id: str, spec: SandboxSpec) -> Sandbox:
        """Drive a sandbox that an earlier server made, or that was hibernated: it runs when this returns.

        `spec` is what it was made from; its labels and its deadline take effect anew.
        Raises: SandboxGoneError when there is none or it has ended; CapacityError, RuntimeUnavailableError.
        """

    # What a runtime declares by Capability; the others raise NotSupportedError.

    async def pause(self, sandbox: Sandbox) -> None:
        """Freeze every process. Calls made meanwhile wait for `resume`. Idempotent. Raises: SandboxGoneError."""
        raise NotSupportedError(f"the {self.name} runtime cannot pause a sandbox")

    async def resume(self, sandbox: Sandbox) -> None:
        """Undo `pause`. Idempotent. Raises: SandboxGoneError."""
        raise NotSupportedError(f"the {self.name} runtime cannot pause a sandbox")

    async def hibernate(self, sandbox: Sandbox) -> None:
        """Save it to disk and free its memory; `adopt` brings it back under its id. No call may be under way.

        `sandbox` itself is of no use afterwards. When this raises CheckpointError, it runs on as it was.
        Raises: CheckpointError, SandboxGoneError, RuntimeUnavailableError.
        """
        raise NotSupportedError(f"the {self.name} runtime cannot hibernate a sandbox")

    async def checkpoint(
        self,
        sandbox: Sandbox,
        kind: CheckpointKind,
        labels: Mapping[str, str],
        moved_on: Callable[[], None] = lambda: None,
    ) -> SandboxCheckpoint:
        """Save a sandbox, which runs on. No call may be under way. On disk for good when this returns.

        `labels` say whose it is; `Runtime.checkpoints` finds them again. `moved_on` is called as soon as calls may be
        made again: the sandbox's state is taken, and only the disk is still at work. A runtime need not call it.
        Raises: CheckpointError, CapacityError, SandboxGoneError, RuntimeUnavailableError, NotSupportedError.
        """
        raise NotSupportedError(f"the {self.name} runtime takes no {kind} checkpoints")

    async def restore(self, checkpoint_id: str, spec: SandboxSpec) -> Sandbox:
        """A new sandbox that goes on where the checkpoint stopped; as often as wanted, and side by side.

        Of `spec` labels and ttl count; image and limits are the checkpoint's.
        Raises: CheckpointNotFoundError, CapacityError, RuntimeUnavailableError, NotSupportedError.
        """
        raise NotSupportedError(f"the {self.name} runtime restores no checkpoints")

    async def checkpoints(self) -> Sequence[SandboxCheckpoint]:
        """Every checkpoint of this runtime that is stored on this node."""
        return []

    async def delete_checkpoint(self, checkpoint_id: str) -> None:  # noqa: B027
        """Forget a checkpoint. Sandboxes restored from it do not need it; an unknown id is no error."""

    @abstractmethod
    async def destroy(self, sandbox_id: str) -> None:
        """End a sandbox by id, as `Sandbox.destroy` does; an unknown id is no error."""

    @abstractmethod
    async def close(self) -> None:
        """Close connections. Sandboxes live on. Idempotent."""
