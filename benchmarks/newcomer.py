"""A newcomer's path, timed: clone, `make demo`, first reward.

    python -m benchmarks.newcomer [--source REPOSITORY]

Clones what is committed into a temporary directory and runs the one command of the README there, under a Compose
project and a port of its own; a phase begins with the line that make prints before it. Whatever happens, the node,
its volumes and the clone are gone in the end. Prints one line of JSON, times in seconds; exit status 1 when there was
no reward.

What the machine has already counts: images whose inputs are the same are not built again (`images_built` says which
were), pip's cache is used, and images in the volume that all nodes share are not imported again. What is built bears
the names that all checkouts of a machine share.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PHASES = (
    ("venv", re.compile(r"-m venv ")),
    ("images", re.compile(r"envserver images build")),
    ("up", re.compile(r" up -d$")),
    ("first_reward", re.compile(r"envserver demo ")),
)
"""Each with the line of make's output with which it begins."""
REWARD = re.compile(r"^\s*reward \d")
_BUILT = re.compile(r"^([\w-]+): built in ")
_SETTING = re.compile(r"ENVSERVER_|MAKE|PYTHON.|(URL|COMPOSE_FILES|VIRTUAL_ENV)$")
"""Variables that would lead make elsewhere; PYTHON, the interpreter to use, is a newcomer's to set."""
_VOLUMES = ("data", "run", "tasks", "journal")
_SHOWN_LINES = 30
"""Of make's output, when it failed."""


@dataclass
class Progress:
    """What make's output has shown so far; `began` and `now` are seconds of one clock."""

    began: float
    phases: dict[str, float] = field(default_factory=dict)
    """When each began."""
    rewarded_at: float | None = None
    built: list[str] = field(default_factory=list)

    def read(self, line: str, now: float) -> None:
        """Take note of a line."""
        for name, mark in PHASES[len(self.phases) :]:
            if mark.search(line):
                self.phases[name] = now
                sys.stderr.write(f"{now - self.began:7.1f} s  {name}\n")
                break
        if built := _BUILT.match(line):
            self.built.append(built[1])
        if self.rewarded_at is None and REWARD.match(line):
            self.rewarded_at = now

    def durations(self) -> dict[str, float]:
        """Seconds by phase, up to the first reward. Raises: ValueError naming what was not seen."""
        if missing := [name for name, _ in PHASES if name not in self.phases]:
            raise ValueError(f"make never printed what begins {', '.join(missing)}")
        if self.rewarded_at is None:
            raise ValueError("there was no reward")
        begins = [*self.phases.values(), self.rewarded_at]
        return {name: round(end - begin, 1) for name, (begin, end) in zip(self.phases, pairwise(begins), strict=True)}


@contextlib.contextmanager
def _clone(source: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="envserver-newcomer-") as directory:
        clone = Path(directory) / "envserver"
        subprocess.run(["git", "clone", "--quiet", source, str(clone)], check=True)
        yield clone


@contextlib.contextmanager
def _project(clone: Path) -> Iterator[dict[str, str]]:
    """The environment for make, in which no setting of this process is; the node is ended afterwards."""
    name = f"envservernewcomer{secrets.token_hex(4)}"
    kept = {key: value for key, value in os.environ.items() if not _SETTING.match(key)}
    settings = {"PROJECT": name, "ENVSERVER_PORT": str(_free_port()), "ENVSERVER_LAYERS_GIB": "2"}
    environment = {**kept, **settings, "PYTHONUNBUFFERED": "1"}
    try:
        yield environment
    finally:
        if (clone / ".venv" / ".installed").exists():  # else nothing was started, and `make down` would install
            subprocess.run(["make", "down"], cwd=clone, env=environment, check=False, stdout=sys.stderr)
            volumes = [f"{name}_{volume}" for volume in _VOLUMES]
            subprocess.run(["docker", "volume", "rm", "--force", *volumes], check=False, capture_output=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _make_demo(clone: Path, environment: dict[str, str], limit_s: float) -> tuple[int, Progress, list[str]]:
    """Its exit status, what it showed, and the end of its output. It is killed after `limit_s`."""
    progress, tail = Progress(time.monotonic()), deque[str](maxlen=_SHOWN_LINES)
    with subprocess.Popen(
        ["make", "demo"], cwd=clone, env=environment, text=True, errors="replace", start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as make:  # fmt: skip
        assert make.stdout is not None
        limit = threading.Timer(limit_s, os.killpg, (make.pid, signal.SIGKILL))
        limit.start()
        try:
            for line in make.stdout:
                tail.append(line)
                progress.read(line.rstrip("\n"), time.monotonic())
            status = make.wait()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(make.pid, signal.SIGKILL)
            raise
        finally:
            limit.cancel()
    return status, progress, list(tail)


def measure(source: str, limit_s: float) -> dict[str, Any]:
    """Seconds by phase. Raises: RuntimeError with the end of make's output when there was no reward."""
    began = time.monotonic()
    with _clone(source) as clone, _project(clone) as environment:
        cloned = time.monotonic()
        status, progress, tail = _make_demo(clone, environment, limit_s)
        try:
            if status != 0:
                raise ValueError(f"make demo ended with status {status}")
            durations = progress.durations()
        except ValueError as error:
            raise RuntimeError(f"{error}; the end of what it said:\n{''.join(tail)}") from None
    assert progress.rewarded_at is not None
    return {
        "clone": round(cloned - began, 1),
        **durations,
        "total": round(progress.rewarded_at - began, 1),
        "images_built": progress.built,
    }


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default=str(ROOT), help="repository to clone; default: this one")
    parser.add_argument("--limit-s", type=float, default=3600.0, help="how long make demo may take")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)  # so that the node is ended then, too
    try:
        found = measure(arguments.source, arguments.limit_s)
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
