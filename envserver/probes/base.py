"""What a probe is: who tries what, in which place, against which control, and which outcomes show that it held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Category(StrEnum):
    """What a success of the probe would mean."""

    ESCAPE = "escape"
    """A way to the host's kernel, devices or files."""
    PRIVILEGE = "privilege"
    """More rights inside than a user's."""
    EXHAUSTION = "exhaustion"
    """Taking what the node or a neighbour needs."""
    EGRESS = "egress"
    """A way to anything that is not loopback."""
    LEAKAGE = "leakage"
    """Something of another sandbox, or of an earlier one."""
    CONTROL = "control"
    """Hold of the guest agent, the server's end of its socket, or the launcher."""


class Place(StrEnum):
    """Where a probe runs."""

    QUIET = "quiet"
    """Inside a sandbox that it has to itself with others of the kind."""
    WORN = "worn"
    """Inside a sandbox of small limits, which it fills while a neighbour is stepped."""
    OUTSIDE = "outside"
    """In the server's place, with sandboxes of its own."""


class Control(StrEnum):
    """What denies; the tests take each away in turn. The value is its description."""

    SYSTEM_CALLS = "the allow-list of system calls"
    PRIVILEGES = "the allow-list, missing capabilities and another uid than root's, each enough by itself"
    NO_NEW_PRIVILEGES = "no_new_privs, set by runtime and agent alike"
    DEVICES = "a /dev of the sandbox's own"
    MASKS = "masked and read-only kernel files"
    ROOT = "the owners of the image's files and, on docker, a read-only root"
    NETWORK = "an empty network namespace"
    CONTROL_GROUPS = "a control group namespace"
    PROCESSES = "a process namespace"
    IPC = "an IPC namespace"
    UIDS = "a host uid, or a range of them, that no other live sandbox has"
    AGENT = "an agent with another uid than the user's, which cannot be dumped"
    CONTROL_DIRECTORY = "a control directory that users cannot enter"
    MEMORY = "the memory limit"
    PROCESSOR = "the processor quota"
    PIDS = "the limit of processes"
    DISK = "the quota of the writable directories"
    SHARED_MEMORY = "the size and inodes of /dev/shm"
    SYSTEM_V = "the limits of System V objects"
    SOCKET_MEMORY = "the limit of socket buffers"
    DESCRIPTORS = "the limit of open files"
    SIGNALS = "the limit of queued signals"
    TERMINALS = "a devpts of the sandbox's own, with a bound"
    RESOURCE_LIMITS = "hard limits of zero: dumps and message queues"
    HOST_SETTINGS = "a setting of the whole host"
    FILE_RULES = "how the agent opens files: beneath the root, no link, the user's rights, bounded"
    FRAME_RULES = "how the server reads the agent's frames: lengths, types and sums bounded"
    REQUEST_RULES = "how the launcher reads requests: of one uid, within bounds, ids of its own"
    SEPARATE_ROOTS = "a root, a writable layer and memory file systems of the sandbox's own"


@dataclass(frozen=True)
class Difference:
    """What one runtime does otherwise, and why."""

    passes: frozenset[str]
    reason: str


@dataclass(frozen=True)
class Probe:
    """One attempt. It holds when its outcome is one of those that `passing` gives."""

    name: str
    category: Category
    tries: str
    """Completes the sentence "it tries to ..."."""
    passes: frozenset[str]
    control: Control
    place: Place = Place.QUIET
    differs: Mapping[str, Difference] = field(default_factory=dict)
    """By the name of a runtime."""
    kept: Mapping[str, str] = field(default_factory=dict)
    """By the name of a runtime: why the control is not taken away there, or why the probe would not notice."""

    def passing(self, runtime: str) -> frozenset[str]:
        """The outcomes that show that the control held."""
        difference = self.differs.get(runtime)
        return difference.passes if difference else self.passes


@dataclass(frozen=True)
class Result:
    """What came of a probe. `outcome` is untrusted text; None where the probe does not apply, for `reason`."""

    probe: Probe
    outcome: str | None
    holds: bool
    reason: str = ""

    @property
    def word(self) -> str:
        """For a report."""
        if self.outcome is None:
            return "not applicable"
        return "pass" if self.holds else "FAIL"
