"""Checks an audit log: which records were changed, removed or cut, and where a crash tore a line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envserver.access.audit import HEAD_BYTES, MAX_LINE_BYTES, NO_HASH, hash_line, head_path


@dataclass
class Report:
    """`findings` is empty for a log that is whole; `notes` are no damage."""

    records: int = 0
    last_hash: str = NO_HASH
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.findings


def verify(path: Path) -> Report:
    """Read the log from its beginning. Raises: OSError."""
    check = _Check(_read_head(head_path(path)))
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            check.take(line)
    check.finish()
    return check.report


class _Check:
    """The chain as far as it was read."""

    def __init__(self, head: tuple[int, str] | None) -> None:
        self.report = Report()
        self._line = 0
        self._sequence = 0
        self._unread: tuple[int, bytes] | None = None
        """A line that is no record, and its number: torn by a crash if the next record says so."""
        self._head = head
        self._hash_at_head = NO_HASH

    def take(self, line: bytes) -> None:
        self._line += 1
        content = line.removesuffix(b"\n")
        record = _parse(content) if line.endswith(b"\n") else None
        if record is None:
            self._give_up_unread()
            self._unread = (self._line, content)
            return
        self._explain_unread(record)
        self._compare(record)
        self._sequence = record["seq"]
        self.report.records += 1
        self.report.last_hash = hash_line(content)
        if self._head is not None and self._head[0] == self._sequence:
            self._hash_at_head = self.report.last_hash

    def _compare(self, record: dict[str, Any]) -> None:
        number, expected = record["seq"], self._sequence + 1
        if number > expected:
            self._find(f"records {expected} to {number - 1} are missing before line {self._line}")
        elif number < expected:
            self._find(f"line {self._line}: record {number} stands behind record {self._sequence}")
        elif record["previous"] != self.report.last_hash:
            changed = f"record {self._sequence} was changed" if self._sequence else "the first record was replaced"
            self._find(f"line {self._line}: {changed}: record {number} was chained to another")

    def _explain_unread(self, record: dict[str, Any]) -> None:
        if self._unread is None:
            return
        line, content = self._unread
        if record.get("event") == "resumed" and record.get("torn_sha256") == hash_line(content):
            self.report.notes.append(f"line {line}: torn by a crash; the chain goes on behind it")
            self._unread = None
        self._give_up_unread()

    def _give_up_unread(self) -> None:
        if self._unread is not None:
            self._find(f"line {self._unread[0]}: no record can be read")
            self._unread = None

    def finish(self) -> None:
        if self._unread is not None:
            self.report.notes.append(f"line {self._unread[0]}: torn by a crash, or being written")
        if self._head is None:
            self.report.notes.append("there is no head beside the log: records cut from its end would not be seen")
            return
        number, expected = self._head
        if number > self._sequence:
            self._find(f"records {self._sequence + 1} to {number} are cut from the end")
        elif self._hash_at_head != expected:
            self._find(f"record {number} was changed: the head has another hash of it")

    def _find(self, what: str) -> None:
        self.report.findings.append(what)


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(content)
    except ValueError:
        return None
    if (
        not isinstance(record, dict)
        or type(record.get("seq")) is not int
        or not isinstance(record.get("previous"), str)
    ):
        return None
    return record


def _read_head(path: Path) -> tuple[int, str] | None:
    try:
        number, expected = path.read_bytes()[:HEAD_BYTES].decode().split()
        return int(number), expected
    except (OSError, ValueError):
        return None
