"""The write-ahead log stays within its bound under a load that never pauses."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.unit.journal import rows
from tests.unit.journal.images import opened

MIB = 1024 * 1024


async def test_the_log_is_bounded_without_a_pause(tmp_path: Path) -> None:
    log = tmp_path / "journal.db-wal"
    sizes: list[int] = []
    async with opened(tmp_path, checkpoint_bytes=MIB // 4, wal_bytes=MIB) as journal:
        await journal.add_episodes([rows.episode(f"ep_{number}") for number in range(16)])

        async def write(name: str) -> None:
            for index in range(1, 200):
                await journal.intend_step(rows.step(name, index=index, action=bytes(6000)))
                await journal.save_episode(name, step_index=index, durable=True)  # no faster than the disk
                sizes.append(log.stat().st_size)

        await asyncio.gather(*(write(f"ep_{number}") for number in range(16)))
        assert len(await journal.steps("ep_15", 1)) == 199
    assert (tmp_path / "journal.db").stat().st_size > 16 * MIB
    assert max(sizes) < 4 * MIB  # its bound, and what is written during one pass
