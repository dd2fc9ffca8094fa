"""The command line in this process, on the scripted runtime's server."""

from __future__ import annotations

from tests.unit.cli.conftest import ask, run
from tests.unit.fixtures import gates, grader, make_manager, make_server, runtime, server, unblocked_loop

__all__ = ["ask", "gates", "grader", "make_manager", "make_server", "run", "runtime", "server", "unblocked_loop"]
