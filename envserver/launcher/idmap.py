"""User namespaces to map mounts with, and the uid ranges that live sandboxes hold.

An id-mapped mount takes its map from a user namespace, and only a process can make one. The launcher is
threaded, where forking is unsafe; so a helper is forked before the first thread starts and makes
namespaces on request, passing their descriptors back. They are kept for as long as the launcher lives: a range
is used by many sandboxes, one after another.

Ranges begin at 2**21 and end below 2**28, so that their first ids all take four bytes as a varint: a
checkpoint's saved map can be rewritten for another range without moving a byte.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections import deque
from pathlib import Path

from envserver.launcher import syscalls

RANGE_SIZE = 65536
FIRST_ID = 1 << 21
RANGE_COUNT = 2048
DISK_ID = 100_000
"""Owner, on disk, of what container root writes: writable layers are stored in this one range and mapped."""


def range_start(index: int) -> int:
    """The first host id of a range."""
    return FIRST_ID + index * RANGE_SIZE


def range_of(uid: int) -> int | None:
    """The index of the range that a host id is of; None for any other."""
    index = (uid - FIRST_ID) // RANGE_SIZE
    return index if 0 <= index < RANGE_COUNT else None


class RangesExhaustedError(Exception):
    """Every uid range belongs to a live sandbox."""


_RESTING = 32
"""Freed ranges wait while so many others do: what a dead sandbox leaked is less likely to meet its successor."""


class RangePool:
    """Hands out ranges. Freed ones come back before new ones are begun: their user namespaces are there already."""

    def __init__(self) -> None:
        self._fresh = deque(range(RANGE_COUNT))
        self._freed: deque[int] = deque()
        self._lock = threading.Lock()
        self._begun = threading.Condition(self._lock)

    def wait_for_begun(self, count: int) -> None:
        """Until so many ranges have been handed out at least once."""
        with self._begun:
            self._begun.wait_for(lambda: not self._fresh or self._fresh[0] >= count)

    def take(self) -> int:
        """An index that no live sandbox has. Raises: RangesExhaustedError."""
        with self._lock:
            if len(self._freed) > _RESTING or not self._fresh:
                if not self._freed:
                    raise RangesExhaustedError(f"all {RANGE_COUNT} uid ranges are in use")
                return self._freed.popleft()
            taken = self._fresh.popleft()
            self._begun.notify_all()
            return taken

    def take_exactly(self, index: int) -> None:
        """Mark the range of an adopted sandbox as used."""
        with self._lock:
            self._fresh.remove(index)

    def give_back(self, index: int) -> None:
        with self._lock:
            self._freed.append(index)


class UserNamespaces:
    """Descriptors of user namespaces by their map; made on first use."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = ours
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}
        if os.fork() == 0:
            ours.close()
            try:
                _serve(theirs)
            finally:  # the launcher is gone, however that showed; nothing of its own code may go on here
                os._exit(0)
        theirs.close()

    def image(self, index: int) -> int:
        """For an image's files: container id n, stored as n, becomes n of the range."""
        return self._get(f"0 {range_start(index)} {RANGE_SIZE}")

    def writable(self, index: int) -> int:
        """For a writable layer: host root stays (overlay's own work), the disk's range becomes the sandbox's."""
        return self._get(f"0 0 1\n{DISK_ID} {range_start(index)} {RANGE_SIZE}")

    def _get(self, id_map: str) -> int:
        with self._lock:
            if id_map not in self._known:
                self._channel.send(id_map.encode())
                answer, fds, _, _ = socket.recv_fds(self._channel, 1024, 1)
                if not fds:
                    raise OSError(f"no user namespace for map {id_map!r}: {answer.decode(errors='replace')}")
                self._known[id_map] = fds[0]
            return self._known[id_map]


def _serve(channel: socket.socket) -> None:
    """The helper's life: one map in, one namespace out, until the launcher is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while id_map := channel.recv(1024):
        try:
            fd = _make_namespace(id_map.decode())
        except OSError as error:
            channel.send(str(error).encode())
            continue
        socket.send_fds(channel, [b"ok"], [fd])
        os.close(fd)


def _make_namespace(id_map: str) -> int:
    ready_read, ready_write = os.pipe()
    alive_read, alive_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(alive_write)
            syscalls.unshare(syscalls.CLONE_NEWUSER)
            os.write(ready_write, b"1")
            os.read(alive_read, 1)  # which ends with this helper, should that be killed before it kills its child
        finally:
            os._exit(1)
    os.close(ready_write)
    os.close(alive_read)
    try:
        if not os.read(ready_read, 1):
            raise OSError("the kernel refuses user namespaces")
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{child}/{kind}").write_text(id_map)
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready_read)
        os.close(alive_write)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
