"""Nothing of the journal may hold up the event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


@pytest.fixture(autouse=True)
def unblocked_loop() -> Iterator[BlockBuster]:
    """A blocking call on the loop raises; what opens a journal does so in a thread."""
    with blockbuster_ctx(["envserver"]) as buster:
        for call in buster.functions.values():
            call.can_block_in("envserver/episodes/journal/writer.py", "_write_here")  # small, and given up if slow
        yield buster
