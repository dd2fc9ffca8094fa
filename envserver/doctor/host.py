"""The surroundings that checks look at: files, programs, sockets. Everything answers, nothing raises."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN_S = 20.0
GET_S = 3.0


@dataclass(frozen=True)
class Ran:
    """What a program did; `status` 127 when there is no such program, 124 when it took too long."""

    status: int
    stdout: str = ""
    stderr: str = ""

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def missing(self) -> bool:
        return self.status == 127


class Host:
    """This machine. Tests put another in its place."""

    python = sys.version_info[:3]

    @property
    def kernel(self) -> str:
        """The kernel's release: `6.18.2`, perhaps with a suffix."""
        return os.uname().release

    def variable(self, name: str) -> str | None:
        """A variable of this process's environment."""
        return os.environ.get(name)

    def read(self, path: str) -> str | None:
        """A file's text; None where it cannot be read."""
        try:
            return Path(path).read_text(errors="replace")
        except OSError:
            return None

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def names(self, path: str) -> list[str]:
        """What is in a directory; nothing where there is none."""
        try:
            return sorted(entry.name for entry in Path(path).iterdir())
        except OSError:
            return []

    def free_bytes(self, path: str) -> int | None:
        """Bytes free on a path's file system; None where the path is not seen from here."""
        try:
            return shutil.disk_usage(path).free
        except OSError:
            return None

    def run(self, *argv: str) -> Ran:
        """Run a program to its end, within 20 s."""
        try:
            done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=RUN_S, check=False)
        except FileNotFoundError:
            return Ran(127, stderr=f"there is no `{argv[0]}` command")
        except PermissionError:
            return Ran(126, stderr=f"`{argv[0]}` may not be run")
        except subprocess.TimeoutExpired:
            return Ran(124, stderr=f"`{' '.join(argv)}` took longer than {RUN_S:g} s")
        return Ran(done.returncode, done.stdout.strip(), done.stderr.strip())

    def refuses_to_listen(self, host: str, port: int) -> str | None:
        """Why nobody can begin to listen there; None when somebody can."""
        try:
            socket.create_server((host, port)).close()
        except OSError as error:
            return os.strerror(error.errno) if error.errno else str(error)  # what it says itself repeats the address
        return None

    def get(self, url: str) -> dict[str, Any] | str:
        """The JSON object at `url`, whatever its status; a text that says why there is none."""
        try:
            with urllib.request.urlopen(url, timeout=GET_S) as response:
                document = json.load(response)
        except urllib.error.HTTPError as error:
            return self._refused(error)
        except (OSError, ValueError) as error:
            return str(getattr(error, "reason", error))
        return document if isinstance(document, dict) else "the answer is no health document"

    @staticmethod
    def _refused(error: urllib.error.HTTPError) -> dict[str, Any] | str:
        try:
            document = json.loads(error.read(100_000))
        except (OSError, ValueError):
            document = None
        return document if isinstance(document, dict) and "status" in document else f"HTTP status {error.code}"
