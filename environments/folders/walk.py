"""Reads the files of a task as data: regular files alone, bounded in number and size, never through a link."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from environments.folders.places import Fault

KIB = 1024
MIB = 1024 * KIB

IGNORED = ("__pycache__",)
_NAME = re.compile(r"[^\x00-\x1f\x7f\\]{1,255}")


def is_ignored(name: str) -> bool:
    """What editors, version control and Python leave behind is no part of a task."""
    return name in IGNORED or name.startswith(".")


def entries(folder: Path, faults: list[Fault]) -> list[Path]:
    """What is in a folder, in order; links and other things that are neither file nor folder are faults."""
    found = []
    try:
        listed = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        faults.append(Fault(folder, 0, f"cannot be read: {error.strerror}"))
        return []
    for entry in listed:
        path = folder / entry.name
        if is_ignored(entry.name):
            continue
        if entry.is_symlink():
            faults.append(Fault(path, 0, "is a link; links are not followed, put the file itself here"))
        elif not (entry.is_file() or entry.is_dir()):
            faults.append(Fault(path, 0, "is neither a file nor a folder"))
        elif not _NAME.fullmatch(entry.name):
            faults.append(Fault(folder, 0, f"a file's name is {entry.name!r}: no control characters, no backslashes"))
        else:
            found.append(path)
    return found


def read_file(path: Path, max_bytes: int, faults: list[Fault]) -> bytes | None:
    """A regular file's bytes; None where it has a fault."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        faults.append(Fault(path, 0, f"cannot be read: {error.strerror}"))
        return None
    with os.fdopen(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            faults.append(Fault(path, 0, "is no regular file"))
            return None
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        faults.append(Fault(path, 0, f"has more than {max_bytes:,} bytes, which is the most here"))
        return None
    return data


def read_text(path: Path, max_bytes: int, faults: list[Fault]) -> str | None:
    """A file's UTF-8 text; None where it has a fault."""
    data = read_file(path, max_bytes, faults)
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.append(Fault(path, line, f"is no UTF-8: byte {error.start} is 0x{data[error.start]:02x}"))
        return None


def read_tree(folder: Path, max_bytes: int, max_files: int, faults: list[Fault]) -> dict[str, bytes]:
    """Every file below a folder, by path relative to it; `max_bytes` is of all of them together."""
    found: dict[str, bytes] = {}
    left = max_bytes
    waiting = [folder]
    while waiting:
        for path in entries(waiting.pop(), faults):
            if path.is_dir():
                waiting.append(path)
                continue
            if len(found) >= max_files:
                faults.append(Fault(folder, 0, f"has more than {max_files} files, which is the most here"))
                return found
            if (data := read_file(path, left, faults)) is not None:
                left -= len(data)
                found[path.relative_to(folder).as_posix()] = data
    return dict(sorted(found.items()))
