"""The crun runtime keeps the runtime contract."""

from __future__ import annotations

import pytest

from envserver.runtimes.base import Runtime
from envserver.runtimes.conformance import RuntimeConformance
from envserver.runtimes.crun import CrunRuntime

pytestmark = pytest.mark.node


class TestCrunRuntime(RuntimeConformance):
    """Its fixture `runtime` is tests/conftest.py's."""

    def another(self, runtime: Runtime) -> Runtime:
        assert isinstance(runtime, CrunRuntime)
        return CrunRuntime(runtime.run)
