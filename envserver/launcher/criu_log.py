"""What CRIU's log says went wrong, in words for whoever runs the policy: which process, which descriptor, and what."""

from __future__ import annotations

import re
from pathlib import Path

_ERROR = re.compile(r"Error \([^)]*\): (.*)")
_DESCRIPTOR = re.compile(r"\([\d.]+\) (\d+) fdinfo (\d+):")
_PROCESS = re.compile(r"\(pid: (\d+)\)")
_NOISE = (
    "rlimit: Can't setup RLIMIT_NOFILE",
    "Dumping FAILED",
    "Dump files (pid",
    "Restoring FAILED",
    "exited, status",
    "cgroupd:",
)
_SHOWN = 3


def explain(log: Path) -> str:
    """Of a dump or a restore that failed; a dump's processes should still be there, for they are looked at.

    Empty where CRIU gives no reason.
    """
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    errors: list[str] = []
    pid: int | None = None
    descriptor: int | None = None
    for line in lines:
        if (found := _DESCRIPTOR.search(line)) and not errors:
            pid, descriptor = int(found[1]), int(found[2])
        if (error := _ERROR.search(line)) and not any(noise in line for noise in _NOISE):
            if (named := _PROCESS.search(line)) and int(named[1]) != pid:
                pid, descriptor = int(named[1]), None
            errors.append(" ".join(error[1].split()))
    what = "; ".join(errors[:_SHOWN])
    return f"{_who(pid, descriptor)}: {what}" if errors and pid is not None else what


def _who(pid: int, descriptor: int | None) -> str:
    try:
        process = Path(f"/proc/{pid}")
        inside = re.search(r"^NSpid:.*?(\d+)$", (process / "status").read_text(), re.MULTILINE)
        who = f"process {inside[1] if inside else pid} ({(process / 'comm').read_text().strip()})"
        return who if descriptor is None else f"{who}, descriptor {descriptor} ({_target(process, descriptor)})"
    except OSError:
        return f"process {pid} of the host"


def _target(process: Path, descriptor: int) -> str:
    try:
        return str((process / "fd" / str(descriptor)).readlink())
    except OSError:
        return "unknown"
