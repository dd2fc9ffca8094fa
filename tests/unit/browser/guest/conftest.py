"""A host without a browser."""

from __future__ import annotations

import pytest

from environments.browser.guest.host import Host
from environments.browser.guest.tabs import Tabs


@pytest.fixture
def host() -> Host:
    made = Host(None)  # type: ignore[arg-type]  # no browser is started
    made.tabs = Tabs("ask")
    return made
