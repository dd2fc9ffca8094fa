"""Every check in the order in which it is shown, and which of them `make up` asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from envserver.doctor import engine, machine, node
from envserver.doctor.findings import Finding, Level, Purpose, Settings
from envserver.doctor.host import Host

Check = Callable[[Host, Settings], Finding]

MACHINE: tuple[Check, ...] = (
    machine.kernel,
    machine.overlay,
    machine.btrfs,
    machine.user_namespaces,
    machine.seccomp,
    machine.cgroups,
    machine.loop_devices,
    machine.tun,
    machine.memory,
)
"""Of the machine that sandboxes run on. They read a few files each."""
NODE: tuple[Check, ...] = (engine.node_tools, node.launcher, node.server, node.imported)
CHECKS: tuple[Check, ...] = (
    machine.python,
    engine.docker,
    engine.compose,
    *MACHINE,
    engine.disk,
    node.port,
    engine.images,
    *NODE,
)
IN_NODE: tuple[Check, ...] = (machine.python, *MACHINE, *NODE)
"""Inside a node's container there is no Docker, and what listens is the node's own."""
BEFORE_UP: tuple[Check, ...] = (engine.docker, *MACHINE, node.port)
"""What `make up` would fail on later, and less plainly; two calls of Docker, so that it takes no time."""


def diagnose(host: Host, settings: Settings, purpose: Purpose = Purpose.ALL) -> Iterator[Finding]:
    """Each check's finding, as soon as it is there.

    Without an engine nothing that asks it is checked: its absence is the one thing to mend. An engine on another
    machine (DOCKER_HOST) makes the sandboxes there, so this machine's kernel says nothing about them.
    """
    checks = BEFORE_UP if purpose is Purpose.UP else IN_NODE if engine.in_node(host) else CHECKS
    remote = _is_remote(host)
    without_engine = False
    for check in checks:
        if (check in MACHINE and remote) or (check in ASKING and without_engine):
            continue
        finding = check(host, settings)
        without_engine |= check is engine.docker and finding.level is Level.FAIL
        yield finding


ASKING: tuple[Check, ...] = (
    engine.compose,
    engine.disk,
    engine.images,
    engine.node_tools,
    node.launcher,
    node.imported,
)
"""Checks that ask Docker."""


def _is_remote(host: Host) -> bool:
    where = host.variable("DOCKER_HOST") or ""
    return bool(where) and not where.startswith("unix://")
