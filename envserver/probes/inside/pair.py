"""Half of a pair that is tried in two sandboxes. One plants or takes something, and holds it; the other looks for it.

    python3 -m inside.pair plant|find NAME TOKEN

Both print one line. The planting one then waits for its standard input to be closed by being killed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Callable

from .probing import attempt, libc

_KEY = 0x656E7670
_PORT = 28_765
_DIRECTORIES = ("/workspace", "/home/user", "/tmp", "/var/tmp", "/dev/shm", "/run", "/var/lib", "/.envserver")
_HELD: list[object] = []


def plant_files(token: str) -> str:
    for directory in _DIRECTORIES:
        try:
            with open(f"{directory}/{token}", "w") as file:
                file.write(token)
        except OSError:
            continue
    return "planted"


def find_files(token: str) -> str:
    found = [directory for directory in _DIRECTORIES if os.path.exists(f"{directory}/{token}")]
    return " ".join(found) or "none"


def plant_processes(_token: str) -> str:
    return "planted"  # the token is in this process's own arguments


def find_processes(token: str) -> str:
    """By what each says of itself; this process and the keepers above it name the token as well."""
    found = 0
    ours = os.getpid()
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        found += int(name) != ours and b"plant" in words and token.encode() in words
    return str(found) if found else "none"


def plant_abstract_sockets(token: str) -> str:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"\0{token}")
    listener.listen()
    _HELD.append(listener)
    return "planted"


def find_abstract_sockets(token: str) -> str:
    return attempt(lambda: socket.socket(socket.AF_UNIX).connect(f"\0{token}"))


def plant_loopback(_token: str) -> str:
    _HELD.append(socket.create_server(("127.0.0.1", _PORT)))
    return "planted"


def find_loopback(_token: str) -> str:
    return attempt(lambda: socket.create_connection(("127.0.0.1", _PORT), timeout=2))


def _planted_by(result: int) -> str:
    return "planted" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def _found_by(result: int) -> str:
    return "OK" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def plant_system_v_memory(_token: str) -> str:
    return _planted_by(libc.shmget(_KEY, 4096, 0o1666))


def find_system_v_memory(_token: str) -> str:
    found = libc.shmget(_KEY, 0, 0)
    said = _found_by(found)
    if found >= 0:
        libc.shmctl(found, 0, None)
    return said


def plant_system_v_queues(_token: str) -> str:
    return _planted_by(libc.msgget(_KEY, 0o1666))


def find_system_v_queues(_token: str) -> str:
    found = libc.msgget(_KEY, 0)
    said = _found_by(found)
    if found >= 0:
        libc.msgctl(found, 0, None)
    return said


def plant_system_v_semaphores(_token: str) -> str:
    return _planted_by(libc.semget(_KEY, 1, 0o1666))


def find_system_v_semaphores(_token: str) -> str:
    found = libc.semget(_KEY, 0, 0)
    said = _found_by(found)
    if found >= 0:
        libc.semctl(found, 0, 0)
    return said


# --- numbers that the kernel keeps for more than one sandbox: taken by one, missed by the other ---------------


def _grow_pipe() -> None:
    read, write = os.pipe()
    _HELD.extend((read, write))
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)


def plant_pipe_pages(_token: str) -> str:
    for _ in range(100):
        if attempt(_grow_pipe) != "OK":
            return "planted"
    return "planted all that was tried"


def find_pipe_pages(_token: str) -> str:
    return attempt(_grow_pipe)


def plant_watchers(_token: str) -> str:
    for _ in range(200):
        if libc.inotify_init1(0) < 0:
            break
    return "planted"


def find_watchers(_token: str) -> str:
    return _found_by(libc.inotify_init1(0))


def plant_pending_signals(_token: str) -> str:
    number = signal.SIGRTMIN + 6
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    while libc.sigqueue(os.getpid(), number, ctypes.c_void_p(1)) == 0:
        pass
    return "planted"


def find_pending_signals(_token: str) -> str:
    timer = ctypes.c_void_p()
    return _found_by(libc.timer_create(0, None, ctypes.byref(timer)))


def plant_terminals(_token: str) -> str:
    while attempt(lambda: _HELD.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))) == "OK" and len(_HELD) < 200:
        pass
    return "planted"


def find_terminals(_token: str) -> str:
    return attempt(lambda: os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)))


_HALVES: dict[str, Callable[[str], str]] = {
    name: half for name, half in globals().items() if name.startswith(("plant_", "find_"))
}

if __name__ == "__main__":
    role, name, token = sys.argv[1:4]
    print(_HALVES[f"{role}_{name}"](token), flush=True)  # noqa: T201  # its answer
    if role == "plant":
        signal.pause()
