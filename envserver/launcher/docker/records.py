"""What is known of a docker sandbox, and how its container's labels tell it to the next launcher and to an operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envserver.launcher import bundle
from envserver.launcher.deadlines import Deadline

DIRECTORY = "docker"
"""Below the run directory: one directory a sandbox, and the guest agent's program."""
LABEL = "envserver."
_CALLERS = f"{LABEL}label."


@dataclass(frozen=True)
class DockerRecord:
    sandbox_id: str
    image: str
    uid: int
    cgroup: str
    created_at: float
    deadline: Deadline
    nofile: int
    labels: dict[str, str]

    def as_labels(self, node: str) -> dict[str, str]:
        """All but the cgroup, which the Engine chooses."""
        own = {
            "node": node,
            "sandbox": self.sandbox_id,
            "image": self.image,
            "uid": str(self.uid),
            "created": repr(self.created_at),
            "deadline": str(self.deadline),
            "nofile": str(self.nofile),
        }
        callers = {f"{_CALLERS}{name}": value for name, value in self.labels.items()}
        return {**{f"{LABEL}{name}": value for name, value in own.items()}, **callers}

    @classmethod
    def from_labels(cls, labels: dict[str, str], cgroup: str) -> DockerRecord:
        """Raises: KeyError, ValueError."""
        return cls(
            sandbox_id=labels[f"{LABEL}sandbox"],
            image=labels[f"{LABEL}image"],
            uid=int(labels[f"{LABEL}uid"]),
            cgroup=cgroup,
            created_at=float(labels[f"{LABEL}created"]),
            deadline=Deadline.parse(labels[f"{LABEL}deadline"]),
            nofile=int(labels[f"{LABEL}nofile"]),
            labels={name.removeprefix(_CALLERS): text for name, text in labels.items() if name.startswith(_CALLERS)},
        )


def describe(record: DockerRecord, state: str = "running") -> dict[str, Any]:
    """As the service answers."""
    return {
        "sandbox_id": record.sandbox_id,
        "image": record.image,
        "socket": f"{DIRECTORY}/{record.sandbox_id}/run/{bundle.SOCKET_NAME}",
        "cgroup": record.cgroup,
        "host_uid": record.uid,
        "created_at": record.created_at,
        "deadline": record.deadline.shown(),
        "labels": record.labels,
        "nofile": record.nofile,
        "state": state,
    }
