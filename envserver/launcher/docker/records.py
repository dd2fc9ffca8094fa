"""What is known of a docker sandbox, and how its container's labels tell it to the next launcher and to an operator."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
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
    limits: bundle.BundleLimits
    disk_bytes: int
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
            "limits": json.dumps(asdict(self.limits)),
            "disk": str(self.disk_bytes),
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
            limits=bundle.BundleLimits(**json.loads(labels[f"{LABEL}limits"])),
            disk_bytes=int(labels[f"{LABEL}disk"]),
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
        "limits": {**asdict(record.limits), "disk_bytes": record.disk_bytes},
        "state": state,
    }
