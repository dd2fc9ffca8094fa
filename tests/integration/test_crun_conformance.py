"""The crun runtime keeps the runtime contract."""

from __future__ import annotations

import pytest

from envserver.runtimes.conformance import RuntimeConformance

pytestmark = pytest.mark.node


class TestCrunRuntime(RuntimeConformance):
    """Its fixture `runtime` is tests/conftest.py's."""
