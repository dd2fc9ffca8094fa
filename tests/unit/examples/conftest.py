"""The scripted runtime's fixtures."""

from tests.unit.fixtures import gates, grader, make_manager, make_server, runtime, server, unblocked_loop

__all__ = ["gates", "grader", "make_manager", "make_server", "runtime", "server", "unblocked_loop"]
