"""Whatever a guest agent sends, the server's end raises one of its errors, soon, and does not grow."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envserver.guest.connection import (
    MAX_FRAME_BYTES,
    GuestConnection,
    GuestGoneError,
    GuestMalformedError,
    GuestRefusedError,
    GuestSilentError,
)
from tests.unit.guest.fake_agent import BOUND_S, FIRST_ID, HELLO, FakeAgent, Peer, after_hello, ask, frame, idle


def greeting(**changes: Any) -> dict[str, Any]:
    return {"hello": {**HELLO["hello"], **changes}}


HELLOS: dict[str, bytes] = {
    "no map": frame([1]),
    "another map": frame({"hi": 1}),
    "a hello of nothing": frame({"hello": None}),
    "an empty hello": frame({"hello": {}}),
    **{f"no {key}": frame({"hello": {k: v for k, v in HELLO["hello"].items() if k != key}}) for key in HELLO["hello"]},
    "a version that is a number": frame(greeting(version=1)),
    "a long version": frame(greeting(version="x" * 65)),
    "sessions that are numbers": frame(greeting(sessions=[1])),
    "a session's name without end": frame(greeting(sessions=["x" * 300])),
    "too many sessions": frame(greeting(sessions=["x"] * 10_001)),
    "ids that are texts": frame(greeting(running=["1"])),
    "ids that are negative": frame(greeting(kept=[-1])),
    "ids that are enormous": frame(greeting(kept=[2**63])),
    "ids that leave no room for more": frame(greeting(running=[2**62 - 1])),
    "an acknowledged id that leaves no room for more": frame(greeting(acknowledged=2**62 - 1)),
    "an acknowledged id that is negative": frame(greeting(acknowledged=-1)),
    "no MessagePack": frame(b"\xc1"),
    "a zero length": b"\0\0\0\0",
    "a giant length": b"\xff\xff\xff\xff",
    "one byte more than a frame may have": struct.pack(">I", MAX_FRAME_BYTES + 1),
    "deep nesting": frame(b"\x91" * 100_000 + b"\xc0"),
    "bytes as keys": frame(msgpack.packb({b"hello": 1})),
    "a number as key": frame(msgpack.packb({1: 1})),
    "text that is no UTF-8": frame(b"\x81\xa5hello\xa2\xff\xfe"),
    "HTTP": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("name", HELLOS)
async def test_a_wrong_greeting_is_malformed(name: str, tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.write(HELLOS[name])
        await idle(peer)

    async with FakeAgent(tmp_path / "s", script) as agent:
        with pytest.raises(GuestMalformedError):
            await ask(agent)


ANSWERS: dict[str, bytes] = {
    "a second greeting": frame(HELLO),
    "an answer without an id": frame({"ok": {}}),
    "an id that is a text": frame({"id": "1", "ok": {}}),
    "an id that is true": frame({"id": True, "ok": {}}),
    "a negative id": frame({"id": -1, "ok": {}}),
    "an ok that is no map": frame({"id": FIRST_ID, "ok": 7}),
    "neither ok nor error": frame({"id": FIRST_ID}),
    "an error that is no map": frame({"id": FIRST_ID, "error": "x"}),
    "an error without a code": frame({"id": FIRST_ID, "error": {"message": "x"}}),
    "an error without end": frame({"id": FIRST_ID, "error": {"code": "x", "message": "x" * 5000}}),
    "an event of no stream": frame({"id": FIRST_ID, "event": "output", "data": b""}),
    "an event of another stream": frame({"id": FIRST_ID, "event": "output", "stream": "stdlog", "data": b""}),
    "an event of text": frame({"id": FIRST_ID, "event": "output", "stream": "stdout", "data": "text"}),
    "no MessagePack": frame(b"\xc1\xc1"),
    "a frame with something behind": frame(msgpack.packb({"id": FIRST_ID, "ok": {}}) + b"\0"),
    "a frame cut short": frame(msgpack.packb({"id": FIRST_ID, "ok": {}})[:-1]),
    "a zero length": b"\0\0\0\0",
    "a giant length": b"\x7f\xff\xff\xff",
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_wrong_answer_is_malformed_and_ends_the_sandbox_s_use(name: str, tmp_path: Path) -> None:
    async with FakeAgent(tmp_path / "s", after_hello(ANSWERS[name])) as agent:
        connection = await GuestConnection.dial(agent.socket)
        with pytest.raises(GuestMalformedError):
            await connection.request("run", {}, timeout_s=BOUND_S)
        assert isinstance(connection.failure, GuestMalformedError)
        with pytest.raises(GuestMalformedError):
            await connection.request("run", {}, timeout_s=BOUND_S)
        assert agent.connections == 1, "it is not dialled again"


async def test_an_answer_to_nobody_s_request_is_dropped(tmp_path: Path) -> None:
    unknown = [frame({"id": number, "ok": {}}) for number in (0, 1, 2**62 - 1, FIRST_ID + 1, 2**63)]
    async with FakeAgent(tmp_path / "s", after_hello(*unknown, frame({"id": FIRST_ID, "ok": {"a": 1}}))) as agent:
        assert await ask(agent) == {"a": 1}


async def test_a_refusal_is_told_from_a_failure(tmp_path: Path) -> None:
    refusal = frame({"id": FIRST_ID, "error": {"code": "no_session", "message": "x"}})
    async with FakeAgent(tmp_path / "s", after_hello(refusal)) as agent:
        with pytest.raises(GuestRefusedError) as error:
            await ask(agent)
    assert error.value.code == "no_session"


async def test_an_agent_that_never_answers_is_given_up_at_the_time_limit(tmp_path: Path) -> None:
    async with FakeAgent(tmp_path / "s", after_hello()) as agent:
        with pytest.raises(GuestSilentError, match="did not answer"):
            await ask(agent, timeout_s=0.1)


@pytest.mark.parametrize("sent", [b"", b"\0", struct.pack(">I", 100) + b"half"], ids=["nothing", "a byte", "half"])
async def test_an_agent_that_never_finishes_its_greeting_is_given_up(sent: bytes, tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        peer.writer.write(sent)
        await idle(peer)

    async with FakeAgent(tmp_path / "s", script) as agent:
        with pytest.raises(GuestGoneError, match="did not greet"):
            await ask(agent, timeout_s=0.1)


async def test_an_agent_that_is_not_there_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(GuestGoneError):
        await GuestConnection.dial(tmp_path / "nothing", timeout_s=0.05)


@pytest.mark.parametrize("cut", [0, 1, 4, 7])
async def test_an_agent_that_closes_in_the_middle_of_a_frame_and_is_gone(cut: int, tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await after_hello(frame({"id": FIRST_ID, "ok": {}})[:cut], then=lambda peer: peer.writer.drain())(peer)
        agent.socket.unlink()

    async with FakeAgent(tmp_path / "s", script) as agent:
        with pytest.raises(GuestGoneError):
            await ask(agent)


async def test_an_agent_that_hangs_up_before_it_greets_is_gone_and_cancels_nobody(tmp_path: Path) -> None:
    async def script(_peer: Peer) -> None:
        return

    async with FakeAgent(tmp_path / "s", script) as agent:
        with pytest.raises(GuestGoneError):
            await ask(agent)


async def test_an_agent_that_is_starved_after_a_hang_up_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the call, as its kernel does for it, and needs longer to greet than a dead one is looked for."""
    monkeypatch.setattr("envserver.guest.connection._REDIAL_S", 0.05)
    calls = 0

    async def script(peer: Peer) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            return  # and it hangs up before it has greeted
        if calls == 3:
            await asyncio.sleep(0.3)
        peer.send(HELLO)
        if calls == 3:
            request = await peer.receive()
            peer.send({"id": request["id"], "ok": {"ran": True}})
            await idle(peer)

    async with FakeAgent(tmp_path / "s", script) as agent:
        connection = await GuestConnection.dial(agent.socket)
        async with asyncio.timeout(BOUND_S):
            assert await connection.request("run", {}, timeout_s=3) == {"ran": True}
        connection.close()


async def test_an_agent_that_is_gone_is_noticed_soon(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        peer.send(HELLO)
        await peer.receive()
        agent.socket.unlink()

    async with FakeAgent(tmp_path / "s", script) as agent:
        connection = await GuestConnection.dial(agent.socket)
        async with asyncio.timeout(BOUND_S):
            with pytest.raises(GuestGoneError, match="within 1 s"):
                await connection.request("run", {}, timeout_s=60)


async def test_an_agent_that_hangs_up_for_ever_does_not_keep_the_server_busy(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        peer.send(HELLO)
        await peer.writer.drain()

    async with FakeAgent(tmp_path / "s", script) as agent:
        connection = await GuestConnection.dial(agent.socket)
        async with asyncio.timeout(BOUND_S):
            while connection.failure is None:
                await asyncio.sleep(0)
        assert agent.connections < 50
        with pytest.raises(GuestGoneError):
            await connection.request("run", {}, timeout_s=1)


async def test_a_dropped_connection_is_made_again_and_the_request_sent_under_its_id(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []

    async def script(peer: Peer) -> None:
        peer.send(HELLO)
        seen.append(await peer.receive())
        if len(seen) < 3:
            return
        peer.send({"id": seen[-1]["id"], "ok": {}})
        await idle(peer)

    async with FakeAgent(tmp_path / "s", script) as agent:
        assert await ask(agent) == {}
    assert seen[0] == seen[1] == seen[2]


async def test_an_agent_that_says_that_it_lets_go_and_does_not_is_given_up(tmp_path: Path) -> None:
    async with FakeAgent(tmp_path / "s", after_hello(frame({"id": FIRST_ID, "ok": {"descriptors": []}}))) as agent:
        connection = await GuestConnection.dial(agent.socket)
        with pytest.raises(GuestGoneError, match="did not hang up"):
            await connection.part(timeout_s=0.1)
        connection.close()


async def test_an_agent_that_has_ended_is_not_asked_to_let_go(tmp_path: Path) -> None:
    async with FakeAgent(tmp_path / "s", after_hello(frame({"id": FIRST_ID, "ok": {"descriptors": []}}))) as agent:
        connection = await GuestConnection.dial(agent.socket)
        with pytest.raises(GuestGoneError):
            await connection.part(timeout_s=0.1)
        with pytest.raises(GuestGoneError, match="did not hang up"):
            await asyncio.wait_for(connection.part(timeout_s=60), 1)
        connection.close()


async def test_an_agent_that_refuses_to_let_go_is_still_served(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        peer.send(HELLO)
        first = await peer.receive()
        peer.send({"id": first["id"], "error": {"code": "bad_request", "message": ""}})
        second = await peer.receive()
        peer.send({"id": second["id"], "ok": {"still": 1}})
        await idle(peer)

    async with FakeAgent(tmp_path / "s", script) as agent:
        connection = await GuestConnection.dial(agent.socket)
        with pytest.raises(GuestRefusedError):
            await connection.part(timeout_s=1)
        assert await connection.request("run", {}, timeout_s=1) == {"still": 1}
        connection.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hello=st.booleans(),
    chunks=st.lists(
        st.binary(max_size=64)
        | st.binary(max_size=64).map(frame)
        | st.fixed_dictionaries(
            {"id": st.sampled_from([-1, 0, FIRST_ID, FIRST_ID + 1]) | st.text(max_size=2)},
            optional={
                "ok": st.dictionaries(st.text(max_size=3), st.integers(0, 9) | st.binary(max_size=9), max_size=3),
                "error": st.fixed_dictionaries({}, optional={"code": st.text(), "message": st.text()}) | st.none(),
                "event": st.just("output"),
                "stream": st.sampled_from(["stdout", "stderr", "x"]),
                "data": st.binary(max_size=9) | st.text(max_size=9),
            },
        ).map(frame),
        max_size=6,
    ),
)
def test_any_bytes_end_in_an_answer_or_one_of_the_two_errors(hello: bool, chunks: list[bytes], tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        if hello:
            peer.send(HELLO)
            await peer.receive()
        for chunk in chunks:
            peer.writer.write(chunk)
        await peer.writer.drain()

    async def play() -> None:
        (tmp_path / "s").unlink(missing_ok=True)
        async with FakeAgent(tmp_path / "s", script) as agent:
            with contextlib.suppress(GuestGoneError, GuestRefusedError):
                assert isinstance(await ask(agent, timeout_s=0.05), dict)

    asyncio.run(play())
