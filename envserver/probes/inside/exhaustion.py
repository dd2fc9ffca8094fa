"""Takes all that a sandbox can have of something, within a bound of its own, and says what stopped it.

"OK" means that nothing did. The bounds are a few times what the probes' sandbox is allowed, so that a missing control
shows and the machine is none the worse.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import resource
import shutil
import signal
import socket
import threading
from collections.abc import Callable

from .probing import attempt, libc, probe

MIB = 1 << 20
_PROCESSES, _DESCRIPTORS, _TERMINALS, _SIGNALS = 100, 2000, 200, 5000
_DISK_BYTES, _MEMORY_BYTES, _SOCKET_BYTES = 96 * MIB, 320 * MIB, 96 * MIB


def _until_refused(take: Callable[[int], object], bound: int) -> str:
    def all_of_it() -> None:
        for number in range(bound):
            take(number)

    return attempt(all_of_it)


# --- processes and memory -------------------------------------------------------------------------------


@probe
def fork_processes() -> str:
    children: list[int] = []

    def take(_: int) -> None:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)

    try:
        return _until_refused(take, _PROCESSES)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@probe
def start_threads() -> str:
    """Python tells no errno; clone(2) has but this one reason."""
    over = threading.Event()
    threads = [threading.Thread(target=over.wait, daemon=True) for _ in range(_PROCESSES)]
    try:
        for thread in threads:
            thread.start()
    except RuntimeError:
        return "EAGAIN"
    finally:
        over.set()
    return "OK"


@probe
def fill_memory() -> str:
    kept = [bytearray(b"x" * MIB) for _ in range(_MEMORY_BYTES // MIB)]
    return "OK" if kept else "nothing was taken"


@probe
def fill_pipes() -> str:
    """Pages of pipes, grown as far as the kernel lets an unprivileged user."""
    pipes: list[int] = []

    def take(_: int) -> None:
        read, write = os.pipe()
        pipes.extend((read, write))
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, MIB)
        os.set_blocking(write, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write, bytes(MIB))

    return _until_refused(take, _MEMORY_BYTES // MIB)


# --- disk -------------------------------------------------------------------------------------------------


def _write(path: str, size_bytes: int, step_bytes: int = MIB) -> str:
    """In blocks of one MiB, `step_bytes` apart."""
    file = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        blocks = size_bytes // MIB
        said = _until_refused(lambda number: os.pwrite(file, os.urandom(MIB), number * step_bytes), blocks)
        return said if said != "OK" else attempt(lambda: os.fsync(file))
    finally:
        os.close(file)
        os.unlink(path)


@probe
def fill_the_workspace() -> str:
    return _write("/workspace/big", _DISK_BYTES)


@probe
def fill_the_home() -> str:
    return _write("/home/user/big", _DISK_BYTES)


@probe
def fill_temporary_files() -> str:
    return _write("/tmp/big", _DISK_BYTES)


@probe
def fill_a_sparse_file() -> str:
    return _write("/workspace/sparse", _DISK_BYTES, step_bytes=1 << 30)


@probe
def reserve_the_disk() -> str:
    file = os.open("/workspace/reserved", os.O_CREAT | os.O_WRONLY)
    try:
        return attempt(lambda: os.posix_fallocate(file, 0, _DISK_BYTES))
    finally:
        os.close(file)
        os.unlink("/workspace/reserved")


@probe
def fill_the_disk_with_small_files() -> str:
    """So small that btrfs keeps them in its metadata, under long names."""
    directory, content, tail = "/workspace/small", os.urandom(1500), "n" * 240
    os.mkdir(directory)

    def take(number: int) -> None:
        file = os.open(f"{directory}/{number:06}{tail}", os.O_CREAT | os.O_WRONLY)
        try:
            os.write(file, content)
        finally:
            os.close(file)

    try:
        return _until_refused(take, 30_000)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# --- descriptors, terminals, signals ------------------------------------------------------------------------


@probe
def open_files() -> str:
    return _until_refused(lambda _: os.open("/dev/null", os.O_RDONLY), _DESCRIPTORS)


@probe
def open_sockets() -> str:
    return _until_refused(lambda _: socket.socket().detach(), _DESCRIPTORS)


@probe
def open_terminals() -> str:
    return _until_refused(lambda _: os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY), _TERMINALS)


@probe
def queue_signals() -> str:
    number, own = signal.SIGRTMIN + 6, os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    for _ in range(_SIGNALS):
        if libc.sigqueue(own, number, ctypes.c_void_p(1)) < 0:
            return errno.errorcode[ctypes.get_errno()]
    return "OK"


@probe
def make_timers() -> str:
    timer = ctypes.c_void_p()
    for _ in range(_SIGNALS):
        if libc.timer_create(0, None, ctypes.byref(timer)) < 0:
            return errno.errorcode[ctypes.get_errno()]
    return "OK"


# --- memory of the network and of System V ------------------------------------------------------------------


def _judged(held_bytes: int) -> str:
    return "OK" if held_bytes >= _SOCKET_BYTES else "bounded"


@probe
def fill_stream_sockets() -> str:
    """Bytes that wait in TCP's buffers of the loopback, which nobody reads."""
    held, kept = 0, []
    with socket.create_server(("127.0.0.1", 0)) as server:
        for _ in range(60):
            ours = socket.create_connection(server.getsockname())
            kept += [ours, server.accept()[0]]
            ours.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while held < _SOCKET_BYTES:
                    held += ours.send(bytes(1 << 16))
    return _judged(held)


@probe
def fill_datagram_sockets() -> str:
    """Counted by reading them afterwards, since a datagram that finds no room is dropped in silence."""
    kept = []
    for _ in range(40):
        theirs = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * MIB)
        theirs.bind(("127.0.0.1", 0))
        kept.append(theirs)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            for _ in range(120):
                ours.sendto(bytes(60_000), theirs.getsockname())
    return _judged(sum(map(_drain, kept)))


def _drain(sock: socket.socket) -> int:
    sock.setblocking(False)
    read = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            read += len(sock.recv(1 << 16))
    return read


@probe
def system_v_segments() -> str:
    ids: list[int] = []
    try:
        for _ in range(64):
            made = libc.shmget(0, MIB, 0o600)
            if made < 0:
                return errno.errorcode[ctypes.get_errno()]
            ids.append(made)
    finally:
        for each in ids:
            libc.shmctl(each, 0, None)
    return "OK"


@probe
def system_v_queues() -> str:
    ids: list[int] = []
    try:
        for _ in range(100):
            made = libc.msgget(0, 0o600)
            if made < 0:
                return errno.errorcode[ctypes.get_errno()]
            ids.append(made)
    finally:
        for each in ids:
            libc.msgctl(each, 0, None)
    return "OK"


# --- what a process may raise -----------------------------------------------------------------------------


@probe
def raise_priority() -> str:
    return attempt(lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))


@probe
def schedule_in_real_time() -> str:
    return attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)))


@probe
def raise_pending_signals() -> str:
    """Beyond the hard limit, whatever that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_SIGPENDING)
    return attempt(lambda: resource.setrlimit(resource.RLIMIT_SIGPENDING, (hard + 1, hard + 1)))
