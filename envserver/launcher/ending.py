"""A node that is asked to stop: episodes are put on disk for as long as there is time, everything else is ended.

Compose stops the server first, so normally no agent has a connection any more. An agent that still has one could not be
dumped, and cannot be asked for it: the launcher shuts the connection down from outside, having closed the way by which
the server would come back at once.

The oldest go first: they are what most work is lost with.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from envserver.launcher import btrfs, syscalls
from envserver.launcher.hibernation import Hibernation
from envserver.launcher.paths import Paths
from envserver.launcher.records import SandboxRecord
from envserver.launcher.sandboxes import SandboxMaker

log = logging.getLogger("envserver.launcher")

PURPOSE, EPISODE = "purpose", "episode"
"""The label by which a sandbox is worth keeping."""
_PART_S = 2.0


def hibernate_episodes(
    maker: SandboxMaker, hibernation: Hibernation, paths: Paths, *, budget_s: float, at_once: int
) -> int:
    """Put on disk what `budget_s` allows; returns how many. What could not be saved runs on."""
    until = time.monotonic() + budget_s
    episodes = [record for record in maker.records() if record.labels.get(PURPOSE) == EPISODE]
    episodes.sort(key=lambda record: record.created_at)
    for record in episodes:
        if record.paused:
            with contextlib.suppress(Exception):  # what has ended since is found out below
                maker.resume(record.sandbox_id)
        paths.control(record.sandbox_id).chmod(0o700)  # nobody gets in any more

    def hibernate(record: SandboxRecord) -> bool:
        if time.monotonic() > until:
            return False
        try:
            _part(record)
            hibernation.hibernate(record.sandbox_id, sync=False)
        except Exception as error:  # whatever it is: this one cannot be saved, and the next is waiting
            log.warning("sandbox %s is not hibernated: %s", record.sandbox_id, error)
            return False
        return True

    with ThreadPoolExecutor(at_once) as pool:
        saved = sum(pool.map(hibernate, episodes))
    if saved:  # once for all of them, which is faster than one by one
        btrfs.sync(paths.layers)
        syscalls.sync_file_system(paths.hibernated)
    return saved


def _part(record: SandboxRecord) -> None:
    """Shut down whatever connection the agent has, and wait until it has let go. Raises: OSError, TimeoutError."""
    until = time.monotonic() + _PART_S
    while connections := _connections(record.pid):
        for descriptor in connections:
            with contextlib.suppress(OSError), _duplicate(record.pid, descriptor) as connection:
                connection.shutdown(socket.SHUT_RDWR)
        if time.monotonic() > until:
            raise TimeoutError("its agent does not let go of the server's connection")
        time.sleep(0.005)


def _connections(pid: int) -> list[int]:
    """An agent's descriptors of sockets that are connected: all but the one it listens on."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(entry.readlink()).startswith("socket:"):
                with _duplicate(pid, int(entry.name)) as each:
                    if not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        found.append(int(entry.name))
    return found


def _duplicate(pid: int, descriptor: int) -> socket.socket:
    """pidfd_getfd(2). Raises: OSError."""
    process = os.pidfd_open(pid)
    try:
        return socket.socket(fileno=syscalls.pidfd_getfd(process, descriptor))
    finally:
        os.close(process)
