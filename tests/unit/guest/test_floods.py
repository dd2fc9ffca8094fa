"""An agent that sends without end: it is cut off or ignored, and costs no more than a bound."""

from __future__ import annotations

import gc
import struct
import tracemalloc
from pathlib import Path

import msgpack
import pytest

from envserver.guest.connection import GuestConnection, GuestMalformedError, GuestSilentError
from tests.unit.guest.fake_agent import FIRST_ID, FakeAgent, Peer, after_hello, ask, frame

MIB = 1 << 20


async def _flood(peer: Peer, message: bytes) -> None:
    while True:
        peer.writer.write(message)
        await peer.writer.drain()


FLOODS = {
    "events beyond the limit": frame({"id": FIRST_ID, "event": "output", "stream": "stdout", "data": bytes(60_000)}),
    "bytes of one endless frame": bytes([0, 15, 255, 255]) + bytes(MIB - 5),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_is_cut_off(name: str, tmp_path: Path) -> None:
    script = after_hello(then=lambda peer: _flood(peer, FLOODS[name]))
    async with FakeAgent(tmp_path / "s", script) as agent:
        with pytest.raises(GuestMalformedError):
            await ask(agent)


IGNORED = {
    "answers to nobody": frame({"id": 77, "ok": {"pad": bytes(50_000)}}),
    "events of nobody": frame({"id": 77, "event": "output", "stream": "stdout", "data": bytes(50_000)}),
}


@pytest.mark.parametrize("name", IGNORED)
async def test_a_flood_of_what_is_ignored_neither_grows_nor_starves_the_others(name: str, tmp_path: Path) -> None:
    script = after_hello(then=lambda peer: _flood(peer, IGNORED[name]))
    async with FakeAgent(tmp_path / "s", script) as agent:
        connection = await GuestConnection.dial(agent.socket)
        tracemalloc.start()
        with pytest.raises(GuestSilentError, match="did not answer"):
            await connection.request("run", {}, timeout_s=0.3)
        gc.collect()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 * MIB
        connection.close()


async def test_nested_containers_cost_no_more_than_their_frame_allows(tmp_path: Path) -> None:
    body = (
        b"\x82\xa2id"
        + msgpack.packb(FIRST_ID)
        + b"\xa2ok\x81\xa1a\xdd"
        + struct.pack(">I", MIB - 64)
        + b"\x90" * (MIB - 64)
    )
    async with FakeAgent(tmp_path / "s", after_hello(frame(body))) as agent:
        tracemalloc.start()
        answer = await ask(agent)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(answer["a"]) == MIB - 64
    assert peak < 128 * MIB
