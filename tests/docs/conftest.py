"""The suite's node and server, as the end-to-end tests have them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Node
from tests.e2e.conftest import server
from tests.e2e.helpers import destroy_all

__all__ = ["server"]


@pytest.fixture(autouse=True, scope="module")
def no_episode_stays(node: Node) -> Iterator[None]:
    """A document's reader closes no episode that curl made; a later test's server would count it as lost."""
    yield
    destroy_all(node)
