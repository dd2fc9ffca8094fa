"""A journal in a dozen dictionaries: what the real one must answer after any writes in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from envserver.episodes.journal import JournalConflictError, JournalMissingError, JournalSettings
from envserver.episodes.journal.rows import CallRow, CheckpointRow, EpisodeRow, GenerationRow, GroupRow, StepRow

StepKey = tuple[str, int, int]


@dataclass
class Model:
    """Methods of the journal's names; each raises what it would. Dictionaries keep the order of creation."""

    settings: JournalSettings
    episodes_by_id: dict[str, EpisodeRow] = field(default_factory=dict)
    generations_by_key: dict[tuple[str, int], GenerationRow] = field(default_factory=dict)
    steps_by_key: dict[StepKey, StepRow] = field(default_factory=dict)
    checkpoints_by_id: dict[str, CheckpointRow] = field(default_factory=dict)
    groups_by_id: dict[str, GroupRow] = field(default_factory=dict)
    calls_by_key: dict[str, CallRow] = field(default_factory=dict)

    def add_episodes(self, rows: list[EpisodeRow], generations: list[GenerationRow], group: GroupRow | None) -> None:
        ids, keys = [row.episode_id for row in rows], [(row.episode_id, row.generation) for row in generations]
        _new(not (set(ids) & set(self.episodes_by_id)) and len(set(ids)) == len(ids))
        _new(not (set(keys) & set(self.generations_by_key)) and len(set(keys)) == len(keys))
        if group is not None:
            _new(group.group_id not in self.groups_by_id)
            self.groups_by_id[group.group_id] = group
        self.episodes_by_id.update(zip(ids, rows, strict=True))
        self.generations_by_key.update(zip(keys, generations, strict=True))

    def save_episode(self, episode_id: str, **changes: Any) -> None:
        changes.pop("durable", None)
        if changes.get("closed_at") is not None:
            self._keep_ending(episode_id)
        self._change(episode_id, changes)

    def _change(self, episode_id: str, changes: dict[str, Any]) -> None:
        if changes:
            self.episodes_by_id[episode_id] = replace(_there(episode_id, self.episodes_by_id), **changes)

    def _keep_ending(self, episode_id: str, replaced_by: float = float("inf")) -> None:
        episode = self.episodes_by_id.get(episode_id)
        key = (episode_id, episode.generation if episode else 0)
        if episode is not None and key in self.generations_by_key and episode.generation < replaced_by:
            ended = replace(self.generations_by_key[key], grade=episode.grade, ended=episode.reason)
            self.generations_by_key[key] = ended

    def begin_generation(self, row: GenerationRow, changes: dict[str, Any]) -> None:
        self._keep_ending(row.episode_id, row.generation)
        self._change(row.episode_id, changes)
        self.generations_by_key[row.episode_id, row.generation] = row

    def intend_step(self, row: StepRow) -> None:
        key = (row.episode_id, row.generation, row.step_index)
        _new(key not in self.steps_by_key)
        episode = _there(row.episode_id, self.episodes_by_id)
        self.episodes_by_id[row.episode_id] = replace(episode, series=max(episode.series, row.series))
        self.steps_by_key[key] = row

    def finish_step(self, row_key: StepKey, *, changes: dict[str, Any], **members: Any) -> None:
        members.pop("durable", None)
        step = _there(row_key, self.steps_by_key)
        self._change(row_key[0], changes)
        self.steps_by_key[row_key] = replace(step, **members)

    def forget_step(self, row_key: StepKey) -> None:
        if row_key in self.steps_by_key and self.steps_by_key[row_key].result is None:
            del self.steps_by_key[row_key]

    def add_checkpoint(self, row: CheckpointRow) -> None:
        _new(row.checkpoint_id not in self.checkpoints_by_id)
        self.checkpoints_by_id[row.checkpoint_id] = row

    def forget_checkpoint(self, checkpoint_id: str) -> None:
        self.checkpoints_by_id.pop(checkpoint_id, None)

    def delete_checkpoint(self, checkpoint_id: str, deleted_at: float) -> None:
        row = _there(checkpoint_id, self.checkpoints_by_id)
        if row.deleted_at is None:
            self.checkpoints_by_id[checkpoint_id] = replace(row, deleted_at=deleted_at)

    def save_group(self, group_id: str, **changes: Any) -> None:
        self.groups_by_id[group_id] = replace(_there(group_id, self.groups_by_id), **changes)

    def save_call(self, row: CallRow) -> None:
        self.calls_by_key[row.call_key] = row

    def sweep(self, now: float) -> int:
        """Episodes removed."""
        removed = 0
        while names := self._removable():
            closed = [row for row in self.episodes_by_id.values() if row.closed_at is not None]
            aged = (self.episodes_by_id[names[0]].closed_at or 0.0) < now - self.settings.max_age_s
            if not aged and len(closed) <= self.settings.max_closed_episodes:
                break
            self._remove(names[0])
            removed += 1
        kept = {row.group_id for row in self.episodes_by_id.values()}
        self.groups_by_id = _where(self.groups_by_id, lambda row: row.closed_at is None or row.group_id in kept)
        self.calls_by_key = _where(self.calls_by_key, lambda row: row.created_at >= now - self.settings.call_age_s)
        return removed

    def _removable(self) -> list[str]:
        needed = {row.episode_id for row in self.checkpoints_by_id.values() if row.deleted_at is None}
        needed |= {
            row.parent_episode
            for row in self.generations_by_key.values()
            if row.parent_episode is not None and row.parent_episode != row.episode_id
        }
        needed |= {
            row.episode_id
            for row in self.checkpoints_by_id.values()
            for fork in self.episodes_by_id.values()
            if fork.parent_checkpoint == row.checkpoint_id and fork.episode_id != row.episode_id
        }
        closed = [row for row in self.episodes_by_id.values() if row.closed_at is not None]
        closed.sort(key=lambda row: row.closed_at or 0.0)
        return [row.episode_id for row in closed if row.episode_id not in needed]

    def _remove(self, name: str) -> None:
        del self.episodes_by_id[name]
        self.generations_by_key = _where(self.generations_by_key, lambda row: row.episode_id != name)
        self.steps_by_key = _where(self.steps_by_key, lambda row: row.episode_id != name)
        self.checkpoints_by_id = _where(self.checkpoints_by_id, lambda row: row.episode_id != name)


def _where(rows: dict[Any, Any], keep: Callable[[Any], bool]) -> dict[Any, Any]:
    return {key: row for key, row in rows.items() if keep(row)}


def _new(condition: bool) -> None:
    if not condition:
        raise JournalConflictError


def _there(key: Any, rows: dict[Any, Any]) -> Any:
    if key not in rows:
        raise JournalMissingError
    return rows[key]
