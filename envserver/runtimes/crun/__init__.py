"""The crun runtime: sandboxes made by this node's launcher."""

from envserver.runtimes.crun.runtime import CrunRuntime

__all__ = ["CrunRuntime"]
