"""Running crun: bounded in time, gone without a trace when it fails."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from envserver.launcher.processes import kill_and_wait, kill_process_group, wait_for_end

TIMEOUT_S = 20.0
_KILL_TIMEOUT_S = 10.0


class SandboxFailedError(Exception):
    """crun, CRIU or the kernel refused; the message says what."""


class SandboxStuckError(SandboxFailedError):
    """It took too long, and was killed."""


class Crun:
    """crun with its state in `root`, and what it logs in `errors`; it and its CRIU get `environment` beside ours."""

    def __init__(self, root: Path, errors: Path, environment: Mapping[str, str] | None = None) -> None:
        self.root, self._errors = root, errors
        self._environment = environment or {}

    def __call__(self, *arguments: str, environment: Mapping[str, str] | None = None, debug: bool = False) -> None:
        """Run it; it inherits nothing to write to, since the container would keep that open.

        `environment` is added to its own; `debug` has CRIU log all that it does.
        Raises: SandboxFailedError with what it logged. Nothing of it runs any more then.
        """
        errors = self._errors / str(threading.get_native_id())
        errors.unlink(missing_ok=True)
        options = ["--cgroup-manager", "cgroupfs", "--log", str(errors), *(["--debug"] if debug else [])]
        command = [*self._command(), *options, *arguments]
        variables = {**os.environ, **self._environment, **(environment or {})}
        null = subprocess.DEVNULL
        with subprocess.Popen(
            command, stdin=null, stdout=null, stderr=null, start_new_session=True, env=variables
        ) as process:
            status = None
            try:
                if wait_for_end(process.pid, TIMEOUT_S):
                    status = process.wait()
            finally:
                if status != 0:  # with its CRIU, which would go on, and freeze the group once more
                    kill_process_group(process.pid, _KILL_TIMEOUT_S)
            status = process.wait()
        if status != 0:
            message = errors.read_text(errors="replace")[-2000:].strip() if errors.exists() else "no message"
            kind = SandboxStuckError if status == -signal.SIGKILL else SandboxFailedError
            raise kind(f"crun {arguments[0]}: status {status}: {message}")

    def _command(self) -> list[str]:
        return ["crun", "--root", str(self.root)]

    def end_strays(self) -> None:
        """Of a launcher that was killed: what it was making has no record, what it was dumping should live on."""
        command = self._command()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                arguments = entry.read_text(errors="replace").split("\0")
                if arguments[: len(command)] != command:
                    continue
                pid = int(entry.parent.name)
                if "checkpoint" in arguments:
                    wait_for_end(pid, TIMEOUT_S)
                else:
                    kill_and_wait(pid, time.monotonic() + _KILL_TIMEOUT_S)
