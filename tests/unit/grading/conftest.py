"""Sandboxes on this machine's own Python, for inputs of ours."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from envserver.runtimes.base import SandboxSpec
from tests.unit.local_sandbox import LocalSandbox


@pytest.fixture
def made() -> list[LocalSandbox]:
    """Every sandbox that `make_sandbox` has made."""
    return []


@pytest.fixture
def make_sandbox(tmp_path: Path, made: list[LocalSandbox]) -> Callable[[SandboxSpec], Awaitable[LocalSandbox]]:
    async def make(spec: SandboxSpec) -> LocalSandbox:
        python = None if spec.labels.get("purpose") == "grading" else sys.executable  # which has pytest
        made.append(LocalSandbox(tmp_path / f"sandbox-{len(made)}", spec, python))
        return made[-1]

    return make
