"""The docker runtime: sandboxes made by this node's launcher through a Docker Engine."""

from envserver.runtimes.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
