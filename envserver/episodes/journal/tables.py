"""How the rows of rows.py stand in SQLite: a table a class, a column a member.

Members of bytes are sealed (sealing.py), so that damage is noticed; those listed in `filed` may be large and then
are in files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

from envserver.episodes.journal.errors import JournalCorruptError
from envserver.episodes.journal.rows import CallRow, CheckpointRow, EpisodeRow, GenerationRow, GroupRow, StepRow
from envserver.episodes.journal.sealing import DamageError, Load, unseal

R = TypeVar("R")
Seal = Callable[[bytes], bytes]

POSITION = "position"


class Table(Generic[R]):
    """One table: its statements, and rows to and from their columns."""

    def __init__(
        self,
        name: str,
        row: Callable[..., R],
        members: Sequence[str],
        key: Sequence[str],
        *,
        sealed: Sequence[str],
        filed: Sequence[str] = (),
        flags: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.key = tuple(key)
        self.filed = frozenset(filed)
        self.sealed = frozenset(sealed)
        self.columns = tuple(member for member in members if member != POSITION)
        """What is written; `position` is given by SQLite."""
        self._row = row
        self._sealed_at = tuple(place for place, member in enumerate(members) if member in self.sealed)
        self._flags_at = tuple(place for place, member in enumerate(members) if member in flags)
        self._members = tuple(members)
        names, marks = ", ".join(self.columns), ", ".join("?" * len(self.columns))
        changes = ", ".join(f"{column} = excluded.{column}" for column in self.columns if column not in self.key)
        self.where_key = " AND ".join(f"{column} = ?" for column in self.key)
        self.insert = f"INSERT INTO {name} ({names}) VALUES ({marks})"
        # Not OR REPLACE, which deletes without firing the triggers that count references.
        self.upsert = f"{self.insert} ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {changes}"
        self.select = f"SELECT {', '.join(f'{name}.{member}' for member in members)} FROM {name}"

    def encode(self, row: R, seal: Seal, seal_large: Seal) -> list[Any]:
        """The columns' values, in their order."""
        return [self.encode_member(column, getattr(row, column), seal, seal_large) for column in self.columns]

    def encode_member(self, column: str, value: Any, seal: Seal, seal_large: Seal) -> Any:
        if value is None or column not in self.sealed:
            return value
        return seal_large(value) if column in self.filed else seal(value)

    def decode(self, record: Sequence[Any], load: Load) -> R:
        """Raises: JournalCorruptError, which names the row; FileNotFoundError for a payload that is gone."""
        values = list(record)
        for place in self._sealed_at:
            if values[place] is not None:
                try:
                    values[place] = unseal(values[place], load)
                except DamageError as error:
                    raise self.damage(record, place, str(error)) from error
                except FileNotFoundError as error:
                    error.add_note(self._describe(record, place))
                    raise
        for place in self._flags_at:
            values[place] = bool(values[place])
        return self._row(*values)

    def damage(self, record: Sequence[Any], place: int, what: str) -> JournalCorruptError:
        return JournalCorruptError(
            f"{self._describe(record, place)} is damaged: {what}. It cannot be had again; all else in the journal can"
        )

    def _describe(self, record: Sequence[Any], place: int) -> str:
        named = dict(zip(self._members, record, strict=True))
        key = ", ".join(f"{column} {named[column]}" for column in self.key)
        return f"{self._members[place]} of {self.name} ({key})"


def _members(row: type[Any]) -> tuple[str, ...]:
    return tuple(member.name for member in dataclasses.fields(row))


EPISODES = Table(
    "episodes",
    EpisodeRow,
    _members(EpisodeRow),
    ["episode_id"],
    sealed=["plan", "metadata", "snapshot", "clock", "grade"],
    filed=["grade"],
)
GENERATIONS = Table(
    "generations",
    GenerationRow,
    _members(GenerationRow),
    ["episode_id", "generation"],
    sealed=["options", "started", "grade"],
    filed=["started", "grade"],
)
STEPS = Table(
    "steps",
    StepRow,
    _members(StepRow),
    ["episode_id", "generation", "step_index"],
    sealed=["action", "fingerprint", "metadata", "usage", "result"],
    filed=["action", "result"],
)
CHECKPOINTS = Table(
    "checkpoints",
    CheckpointRow,
    _members(CheckpointRow),
    ["checkpoint_id"],
    sealed=["state"],
    filed=["state"],
    flags=["automatic"],
)
GROUPS = Table("groups", GroupRow, _members(GroupRow), ["group_id"], sealed=["settings", "started"], filed=["started"])
CALLS = Table("calls", CallRow, CallRow._fields, ["call_key"], sealed=["fingerprint", "body"], filed=["body"])
TABLES: tuple[Table[Any], ...] = (EPISODES, GENERATIONS, STEPS, CHECKPOINTS, GROUPS, CALLS)

EPISODE_CHANGES = frozenset(
    "state reason generation step_index steps_taken reward sandbox_id image series snapshot clock grade".split()
) | {"closed_at"}
"""Members of an episode that change after it was added."""
GROUP_CHANGES = frozenset({"started", "closed_at"})


def check_changes(allowed: frozenset[str], names: Iterable[str]) -> None:
    """Raises: ValueError, naming what does not change."""
    if unknown := set(names) - allowed:
        raise ValueError(f"{', '.join(sorted(unknown))}: what may change is {', '.join(sorted(allowed))}")


@lru_cache(maxsize=512)
def update_of(name: str, columns: tuple[str, ...], where: str) -> str:
    """The statement that sets `columns`."""
    return f"UPDATE {name} SET {', '.join(f'{column} = ?' for column in columns)} WHERE {where}"
