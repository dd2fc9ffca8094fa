"""The framework of the probes: how one is declared, how a system call is made by its number, how each is run."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import select
import signal
from collections.abc import Callable

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
X86 = platform.machine() == "x86_64"
PROBES: dict[str, Callable[[], str]] = {}


def probe(function: Callable[[], str]) -> Callable[[], str]:
    PROBES[function.__name__] = function
    return function


def call(x86: int, arm: int | None, *arguments: object) -> str:
    """One system call by its number; "absent" where the architecture lacks it."""
    number = x86 if X86 else arm
    if number is None:
        return "absent"
    ctypes.set_errno(0)
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *words)
    return errno.errorcode[ctypes.get_errno()] if result < 0 else "OK"


def attempt(function: Callable[[], object]) -> str:
    """The errno's name of what `function` raises."""
    try:
        function()
    except ValueError:  # Python's name for EPERM of setrlimit(2)
        return "EPERM"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    return "OK"


def opened(path: str, flags: int = os.O_RDONLY) -> str:
    return attempt(lambda: os.close(os.open(path, flags)))


def run(name: str, timeout_s: float = 20.0) -> str:
    """A probe's outcome, from a child of its own: some attempts end the process that makes them."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            outcome = PROBES[name]()
        except BaseException as error:
            outcome = f"{type(error).__name__}: {error}"
        os.write(write, outcome.encode()[:4096])
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], timeout_s)
    outcome = os.read(read, 4096).decode() if ready else "no answer in time"
    os.close(read)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if outcome:
        return outcome
    return f"killed by {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else "nothing was said"
