"""A node that a test may break: its launcher is killed, its disk filled, its container stopped."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Node, started_node


@pytest.fixture(scope="module")
def private_node() -> Iterator[Node]:
    """A launcher that nobody else uses, for the tests of one file."""
    with started_node() as started:
        yield started
