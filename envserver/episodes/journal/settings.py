"""What an operator may turn, and what opening and sweeping say about a journal."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True)
class JournalSettings:
    """Bounds of one journal. Open episodes are kept whatever they say."""

    max_bytes: int = 8 * GIB
    """Of the database and the payload files; the oldest closed episodes go first."""
    memory_bytes: int = 256 * MIB
    """The same of a journal in memory."""
    max_age_s: float = 7 * 24 * 3600.0
    """Since an episode closed."""
    max_closed_episodes: int = 200_000
    call_age_s: float = 24 * 3600.0
    """Answers of keyed calls are kept so long."""
    inline_bytes: int = 32 * KIB
    """Larger values are kept in files beside the database."""
    checkpoint_bytes: int = 4 * MIB
    """About so much is written before what is in the write-ahead log is copied into the database."""
    wal_bytes: int = 32 * MIB
    """Of the write-ahead log, about: past it the writer copies what is left of it itself, and begins it anew.
    It grows further only by what is written while a disk takes its time for one such copy.

    A log of this size takes 0.6 s to examine when the next server opens it after a kill.
    """
    check_bytes: int = 256 * MIB
    """A larger database is opened without a look at the structure of its steps: each is checked when it is read."""
    busy_timeout_s: float = 5.0
    """How long one connection waits for another's lock."""
    slice_rows: int = 128
    """A sweep removes so many rows in one transaction, so that others' commits never wait long for it."""

    def __post_init__(self) -> None:
        for name in (
            "max_bytes",
            "memory_bytes",
            "max_closed_episodes",
            "inline_bytes",
            "checkpoint_bytes",
            "wal_bytes",
            "slice_rows",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class OpenReport:
    """What opening found and did."""

    created: bool = False
    migrated_from: int | None = None
    """The version that it had; None when it was of this version, or new."""
    cut_bytes: int = 0
    """Written after the last whole commit and cut off."""
    cut_what: str | None = None
    """In words, with its place in the file."""
    recovered_bytes: int = 0
    """Whole commits in the write-ahead log: there are some when the last server was killed."""
    payloads_removed: int = 0
    """Files that no row referred to."""
