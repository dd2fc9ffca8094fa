"""The docker runtime keeps the runtime contract."""

from __future__ import annotations

import pytest

from envserver.runtimes.base import Runtime
from envserver.runtimes.conformance import RuntimeConformance
from envserver.runtimes.docker import DockerRuntime

pytestmark = pytest.mark.node


class TestDockerRuntime(RuntimeConformance):
    """On the suite's node, whose launcher has the Engine's socket."""

    @pytest.fixture
    def runtime(self, docker_runtime: DockerRuntime) -> DockerRuntime:
        return docker_runtime

    def another(self, runtime: Runtime) -> Runtime:
        assert isinstance(runtime, DockerRuntime)
        return DockerRuntime(runtime.run)
