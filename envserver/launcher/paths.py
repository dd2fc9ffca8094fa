"""Where a node keeps what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from envserver.launcher.protocol import SANDBOX_DIRECTORY


@dataclass(frozen=True)
class Paths:
    """`run` is shared with the server; `work` is memory (crun's state, bundles)."""

    layers: Path
    run: Path
    work: Path
    checkpoints: Path
    dev: Path

    def bundle(self, sandbox_id: str) -> Path:
        return self.work / "bundles" / sandbox_id

    def control(self, sandbox_id: str) -> Path:
        return self.run / SANDBOX_DIRECTORY / sandbox_id

    @property
    def crun(self) -> Path:
        return self.work / "crun"

    @property
    def hibernated(self) -> Path:
        """One directory a sandbox that is on disk; beside the checkpoints, which it is made like."""
        return self.checkpoints.with_name("hibernated")
