"""What is durable is answered when it is on the disk, many at a time; what is not never waits for that."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from tests.unit.journal import rows
from tests.unit.journal.images import opened, payload_names
from tests.unit.journal.rows import LARGE


class Disk:
    """In the place of fdatasync and fsync: each waits until it is let go, and is counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.reached, self.go = threading.Semaphore(0), threading.Event()
        for name in ("fdatasync", "fsync"):
            monkeypatch.setattr(os, name, self._make(name))

    def _make(self, name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
        def sync(descriptor: int) -> None:
            self.calls.append(f"{name} {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
            self.reached.release()
            self.go.wait()

        return sync

    async def is_asked(self) -> None:
        await asyncio.to_thread(self.reached.acquire)


async def test_a_durable_write_waits_for_the_disk_and_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])
        disk = Disk(monkeypatch)
        durable = asyncio.create_task(journal.save_episode("ep_1", state="live", durable=True))
        await disk.is_asked()
        await journal.save_episode("ep_1", step_index=5)
        episode = await journal.episode("ep_1")
        assert episode is not None
        assert (episode.state, episode.step_index) == ("live", 5)
        assert not durable.done()
        disk.go.set()
        await durable
        assert disk.calls == ["fdatasync journal.db-wal"]


async def test_durable_writes_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode(f"ep_{number}") for number in range(50)])
        disk = Disk(monkeypatch)
        first = asyncio.create_task(journal.save_episode("ep_0", state="live", durable=True))
        await disk.is_asked()
        others = [
            asyncio.create_task(journal.save_episode(f"ep_{number}", state="live", durable=True))
            for number in range(1, 50)
        ]
        await asyncio.sleep(0)
        await journal.save_episode("ep_0", step_index=1)  # committed behind them
        disk.go.set()
        await asyncio.gather(first, *others)
        assert len(disk.calls) == 2


async def test_payloads_reach_the_disk_before_what_refers_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of writes before that were not durable themselves: the log is synced with their rows."""
    async with opened(tmp_path) as journal:
        await journal.add_episodes([rows.episode()])
        disk = Disk(monkeypatch)
        disk.go.set()
        await journal.intend_step(rows.step(action=LARGE))
        assert disk.calls == []
        await journal.save_episode("ep_1", state="ended", durable=True)
        (name,) = payload_names(tmp_path)
        assert disk.calls[0] == f"fsync {name}"
        assert sorted(disk.calls[1:3]) == sorted([f"fsync {name[:2]}", "fsync payloads"])
        assert disk.calls[3] == "fdatasync journal.db-wal"


async def test_creates_checkpoints_and_deletions_are_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as journal:
        disk = Disk(monkeypatch)
        disk.go.set()
        await journal.add_episodes([rows.episode()])
        await journal.add_checkpoint(rows.checkpoint())
        await journal.delete_checkpoint("cp_1", 1.0)
        assert disk.calls == ["fdatasync journal.db-wal"] * 3
        await journal.intend_step(rows.step())
        assert len(disk.calls) == 3
