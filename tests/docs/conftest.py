"""The suite's node and server, as the end-to-end tests have them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Node
from tests.e2e.conftest import server
from tests.e2e.helpers import destroy_all

__all__ = ["server"]


@pytest.fixture(autouse=True, scope="module")
def no_episode_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """A document's reader closes no episode that curl made; a later test's server would count it as lost.

    A node is started only where a test of the module needs one.
    """
    items = (item for item in request.session.items if item.getparent(pytest.Module) is request.node)
    needed = any(item.get_closest_marker("node") for item in items)
    node: Node | None = request.getfixturevalue("node") if needed else None
    yield
    if node is not None:
        destroy_all(node)
