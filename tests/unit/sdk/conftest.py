"""The scripted runtime's fixtures, and a node whose server comes and goes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.fixtures import gates, grader, make_manager, make_server, runtime, server, unblocked_loop
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime
from tests.unit.sdk.nodes import Node

__all__ = ["gates", "grader", "make_manager", "make_server", "runtime", "server", "unblocked_loop"]


@pytest.fixture
async def node(runtime: ScriptedRuntime, grader: ScriptedGrader, gates: Gates, tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(runtime, grader, tmp_path / "journal")
    await node.start()
    yield node
    await node.end()
    assert not runtime.sandboxes, "a test left sandboxes behind"
    assert not runtime.stored, "a test left checkpoints behind"
