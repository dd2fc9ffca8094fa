"""What a sweep removes, what it never removes, and that nothing of what is gone is left behind."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envserver import clock
from envserver.episodes.journal import Journal, JournalSettings, retention
from envserver.episodes.journal.payloads import PayloadFiles
from envserver.episodes.journal.sealing import digest_of
from tests.unit.journal import rows
from tests.unit.journal.images import assert_nothing_is_left_over, opened, payload_names, picture
from tests.unit.journal.rows import LARGE


async def _episode(journal: Journal, name: str, closed_at: float | None, steps: int = 3, **changes: Any) -> None:
    parent = changes.pop("parent", None)
    await journal.add_episodes(
        [rows.episode(name, **changes)],
        [rows.generation(name, parent_episode=parent, parent_generation=None if parent is None else 1)],
    )
    for index in range(1, steps + 1):
        await journal.intend_step(rows.step(name, index=index, action=f"{name} {index} ".encode() * 600))
    if closed_at is not None:
        await journal.save_episode(name, closed_at=closed_at, state="closed")


async def _names(journal: Journal) -> set[str]:
    return {row.episode_id for row in await journal.find_episodes()}


@dataclass(frozen=True)
class _Kept:
    closed_at: int | None
    parent: int | None
    checkpoint: str | None
    """Of it there is none, a deleted one, or one."""


@st.composite
def _histories(draw: st.DrawFn) -> list[_Kept]:
    return [
        _Kept(
            draw(st.none() | st.integers(0, 20)),
            draw(st.none() | st.integers(0, number - 1)) if number else None,
            draw(st.sampled_from([None, None, "deleted", "there"])),
        )
        for number in range(draw(st.integers(0, 8)))
    ]


@settings(max_examples=60, deadline=None)
@given(_histories(), st.integers(1, 9), st.integers(0, 25), st.sampled_from([1, 10**12]), st.integers(1, 5))
def test_a_sweep_keeps_what_it_must_and_no_more(
    history: list[_Kept], max_closed: int, max_age_s: int, max_bytes: int, slice_rows: int
) -> None:
    bounds = JournalSettings(
        max_closed_episodes=max_closed, max_age_s=max_age_s, max_bytes=max_bytes, slice_rows=slice_rows, inline_bytes=99
    )
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_sweep_history(Path(directory), history, bounds))


async def _sweep_history(directory: Path, history: list[_Kept], bounds: JournalSettings) -> None:
    journal = await asyncio.to_thread(Journal.open, directory, bounds)
    for number, kept in enumerate(history):
        parent = None if kept.parent is None else f"ep_{kept.parent}"
        await _episode(journal, f"ep_{number}", kept.closed_at, parent=parent)
        if kept.checkpoint is not None:
            await journal.add_checkpoint(rows.checkpoint(f"cp_{number}", f"ep_{number}"))
        if kept.checkpoint == "deleted":
            await journal.delete_checkpoint(f"cp_{number}", 5.0)
    before = await _names(journal)
    swept = await journal.sweep(now=20.0)
    names = await _names(journal)
    assert swept.episodes == len(before) - len(names)
    _assert_kept_rightly(history, {int(name[3:]) for name in names}, bounds)
    assert (await journal.sweep(now=20.0)).episodes == 0
    for name in names:
        assert len(await journal.steps(name, 1)) == 3
    assert_nothing_is_left_over(directory)
    await journal.close()


def _assert_kept_rightly(history: list[_Kept], names: set[int], bounds: JournalSettings) -> None:
    removed = set(range(len(history))) - names
    assert all(history[number].closed_at is not None for number in removed)
    assert all(history[number].checkpoint != "there" for number in removed)
    for number in names:
        assert (parent := history[number].parent) is None or parent in names
    assert names == _kept_by(history, bounds)


def _kept_by(history: list[_Kept], bounds: JournalSettings) -> set[int]:
    """Of those that nothing keeps, the first closed goes, as long as it is too old or there is too much."""
    names = set(range(len(history)))
    while True:
        closed = {number: at for number in names if (at := history[number].closed_at) is not None}
        needed = {history[number].parent for number in names}
        free = [number for number in closed if number not in needed and history[number].checkpoint != "there"]
        if not free:
            return names
        first = min(free, key=lambda number: (closed[number], number))
        too_much = bounds.max_bytes == 1 or len(closed) > bounds.max_closed_episodes
        if not too_much and 20 - closed[first] <= bounds.max_age_s:
            return names
        names.remove(first)


async def test_a_restored_episode_is_not_kept_by_itself(tmp_path: Path) -> None:
    async with opened(tmp_path, max_age_s=1) as journal:
        await _episode(journal, "ep_1", None, parent="ep_1")
        await journal.save_episode("ep_1", closed_at=1.0)
        assert (await journal.sweep(now=10.0)).episodes == 1


async def test_a_fork_that_has_not_begun_keeps_its_ancestor(tmp_path: Path) -> None:
    async with opened(tmp_path, max_age_s=1) as journal:
        await _episode(journal, "ep_1", 1.0)
        await journal.add_checkpoint(rows.checkpoint("cp_1", "ep_1"))
        await journal.add_episodes([rows.episode("ep_2", parent_checkpoint="cp_1")])
        await journal.delete_checkpoint("cp_1", 2.0)
        assert (await journal.sweep(now=10.0)).episodes == 0
        await journal.save_episode("ep_2", closed_at=3.0)
        assert (await journal.sweep(now=10.0)).episodes == 2


async def test_bytes_are_bounded_and_given_back(tmp_path: Path) -> None:
    async with opened(tmp_path, max_bytes=2_000_000) as journal:
        for number in range(40):
            await _episode(journal, f"ep_{number:02}", float(number), steps=20)  # 100 kB inline
        await _episode(journal, "ep_filed", 50.0, grade=LARGE)
        swept = await journal.sweep(now=60.0)
        assert swept.bytes_before > 4_000_000
        assert 1_500_000 < swept.bytes_after <= 2_000_000
        names = sorted(await _names(journal))
        assert "ep_filed" in names
        assert names[0] > "ep_20"
    assert (tmp_path / "journal.db").stat().st_size < 2_000_000 + 1_100_000


async def test_calls_go_by_age_and_groups_with_their_episodes(tmp_path: Path) -> None:
    async with opened(tmp_path, call_age_s=10, max_age_s=50) as journal:
        await journal.add_episodes([rows.episode("ep_1", group_id="gr_1")], group=rows.group("gr_1"))
        await journal.add_episodes([], group=rows.group("gr_open"))
        await journal.save_group("gr_1", closed_at=1.0)
        for number in range(300):
            await journal.save_call(rows.call(str(number), created_at=float(number)))
        swept = await journal.sweep(now=210.0)
        assert (swept.calls, swept.groups) == (200, 0)
        assert len(await journal.calls(0)) == 100
        await journal.save_episode("ep_1", closed_at=2.0)
        assert (await journal.sweep(now=210.0)).groups == 1
        assert [row.group_id for row in await journal.groups()] == ["gr_open"]
        assert await journal.group("gr_1") is None


async def test_a_payload_that_two_rows_share_goes_with_the_second(tmp_path: Path) -> None:
    async with opened(tmp_path, max_age_s=10) as journal:
        for number in (1, 2):
            await _episode(journal, f"ep_{number}", None, grade=LARGE)
            await journal.save_episode(f"ep_{number}", closed_at=float(number * 10))
        await journal.sweep(now=25.0)
        assert await _names(journal) == {"ep_2"}
        assert payload_names(tmp_path) == {digest_of(LARGE).hex()}
        await journal.sweep(now=35.0)
        assert payload_names(tmp_path) == set()


async def test_a_read_that_a_sweep_overtakes_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the row, and the file goes before it is read: then the row is gone as well."""
    reached, go, read = threading.Event(), threading.Event(), PayloadFiles.read

    def wait(self: PayloadFiles, digest: bytes) -> bytes:
        reached.set()
        go.wait()
        return read(self, digest)

    monkeypatch.setattr(PayloadFiles, "read", wait)
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode(grade=LARGE, closed_at=1.0)])
        reading = asyncio.create_task(journal.episode("ep_1"))
        await asyncio.to_thread(reached.wait)
        await journal._write(partial(retention.begin_removal, episode_id="ep_1"))
        digests = await journal._write(partial(retention.forget_payloads, rows=10))
        assert await journal._write(partial(retention.remove_files, digests=digests)) == 1
        go.set()
        assert await reading is None


async def test_a_payload_of_an_entry_that_failed_is_swept(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])
        await journal.intend_step(rows.step())
        for kept in (False, True):
            results = await asyncio.gather(
                journal.intend_step(rows.step(action=LARGE)),
                journal.save_episode("ep_1", state="live"),
                return_exceptions=True,
            )
            assert isinstance(results[0], Exception)
            assert payload_names(tmp_path) == {digest_of(LARGE).hex()}
            if kept:
                await journal.intend_step(rows.step(index=2, action=LARGE))
            await journal.sweep(now=0.0)
            assert (payload_names(tmp_path) != set()) == kept
        assert (await journal.steps("ep_1", 1))[1].action == LARGE


async def test_a_sweep_that_was_killed_is_gone_on_with(tmp_path: Path) -> None:
    async with opened(tmp_path / "live", max_age_s=1, slice_rows=2) as journal:
        await _episode(journal, "ep_1", 1.0, steps=30)
        sweeping = asyncio.create_task(journal.sweep(now=10.0))
        while await journal.episode("ep_1") is not None:
            await asyncio.sleep(0)
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        left = len(await journal.steps("ep_1", 1))
        directory = await asyncio.to_thread(picture, tmp_path / "live", tmp_path / "picture")
    assert 0 < left <= 30
    async with opened(directory, max_age_s=1) as journal:
        await journal.sweep(now=10.0)
        assert_nothing_is_left_over(directory)
        assert await journal.steps("ep_1", 1) == []


async def test_steps_go_on_while_an_episode_of_many_is_removed(tmp_path: Path) -> None:
    async with opened(tmp_path, max_age_s=1) as journal:
        await _episode(journal, "ep_1", 1.0, steps=3000)
        await _episode(journal, "ep_2", None, steps=0)
        sweeping = asyncio.create_task(journal.sweep(now=10.0))
        count = 0
        while not sweeping.done():
            count += 1
            await journal.intend_step(rows.step("ep_2", index=count))
        assert (await sweeping).episodes == 1
        assert count > 3000 / JournalSettings().slice_rows


async def test_an_open_episode_is_kept_whatever_the_bounds(tmp_path: Path) -> None:
    async with opened(tmp_path, max_age_s=0, max_bytes=1, max_closed_episodes=1) as journal:
        await _episode(journal, "ep_1", None)
        swept = await journal.sweep(now=1e12)
        assert swept.episodes == 0
        assert await journal.open_episodes() == [replace(rows.episode("ep_1"), series=3)]


async def test_a_journal_in_memory_is_swept_too() -> None:
    async with opened(None, memory_bytes=1) as journal:
        await _episode(journal, "ep_1", 1.0)
        assert (await journal.sweep(now=10.0)).episodes == 1
        assert await journal.steps("ep_1", 1) == []


async def test_a_wall_clock_set_ahead_makes_no_call_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    born = clock.steady()
    async with opened(tmp_path, call_age_s=10) as journal:
        await journal.save_call(rows.call("ours", created_at=100.0, boot=clock.BOOT_ID, steady_at=born))
        await journal.save_call(rows.call("of another boot", created_at=100.0, boot="another", steady_at=1e12))
        assert (await journal.sweep(now=105.0)).calls == 0
        assert (await journal.sweep(now=1e9)).calls == 1
        assert [row.call_key for row in await journal.calls(0)] == ["ours"]
        monkeypatch.setattr(clock, "steady", lambda: born + 11)
        assert (await journal.sweep(now=0.0)).calls == 1
