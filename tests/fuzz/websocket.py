"""A client that means the WebSocket ill: `python -m tests.fuzz.websocket --seconds 300 --seed 1`.

Several connections at once send valid calls, mutations of valid frames and plain noise, in both encodings, in pieces,
with pings between them, and drop without a word. Meanwhile one honest client steps its own episode. What must
hold: every frame with an id that the server can read is answered exactly once with that id; no answer is a defect of
ours; no connection is closed for one (1011), nor for anything but what the protocol forbids; the honest client
never notices; and the server's memory stays bounded.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from envserver.api.methods import METHODS
from tests.fuzz.served import served

CONNECTIONS = 4
MAX_FRAME_BYTES = 1 << 20
GONE = 1006
PROTOCOL_CLOSES = {1000, 1002, 1003, 1007, 1009}
"""What the server may close a connection with that broke the protocol."""
MAX_GROWTH_BYTES = 192 << 20
ANSWER_S = 20.0
FIRST_ID = 1 << 40
"""So large that no bent frame has an id of ours by chance."""

STRANGE: list[Any] = [
    None, True, False, 0, -1, 2**31, 2**63, -(2**63), 1e308, 1.5, "", "x", "\0", "\u202e", "é" * 300, "a" * 5000,
    [], {}, [[]], {"a": {}}, [None] * 50, "ep_" + "0" * 24, "/etc/passwd", "../../x", "1", "NaN",
]  # fmt: skip


@dataclass
class Tally:
    """What came of a run."""

    frames: int = 0
    answers: int = 0
    honest_steps: int = 0
    slowest_honest_s: float = 0.0
    growth_bytes: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Attacker:
    """One connection after another, until the time is over."""

    def __init__(self, url: str, seed: int, tally: Tally) -> None:
        self._url = url
        self._random = random.Random(seed)
        self._tally = tally
        self._packed = False
        self._aborted = False
        """Gone without a word, by our own doing."""
        self._last_id = FIRST_ID
        self._open: Counter[int] = Counter()
        self._episodes: list[str] = []

    async def run(self, until: float) -> None:
        while time.monotonic() < until and not self._tally.wrong:
            await self._connection(until)

    async def _connection(self, until: float) -> None:
        name = self._random.choice(["envserver.json", "envserver.msgpack", None, "none.such"])
        asked = [Subprotocol(name)] if name else None
        self._open.clear()
        self._aborted = False
        with contextlib.suppress(ConnectionClosed):
            async with connect(
                self._url, subprotocols=asked, proxy=None, compression=None, ping_interval=None, max_size=None
            ) as connection:
                self._packed = connection.subprotocol == "envserver.msgpack"
                await self._talk(connection, until)
        code = GONE if self._aborted else connection.close_code
        self._tally.closes[code or 0] += 1
        if code not in PROTOCOL_CLOSES and code != GONE:
            self._tally.wrong.append(f"closed with {code}: {connection.close_reason}")

    async def _talk(self, connection: ClientConnection, until: float) -> None:
        reading = asyncio.ensure_future(self._read(connection))
        try:
            for _ in range(self._random.randint(5, 200)):
                if time.monotonic() > until:
                    break
                await self._act(connection)
                if self._random.random() < 0.1:
                    await asyncio.sleep(self._random.random() * 0.02)
            if self._random.random() < 0.3:
                self._aborted = True
                connection.transport.abort()
                return
            await self._settled(reading)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _settled(self, reading: asyncio.Future[None]) -> None:
        """Wait for what is owed; a connection that the server had to close owes nothing."""
        give_up_at = time.monotonic() + ANSWER_S
        while +self._open and not reading.done():
            if time.monotonic() > give_up_at:
                self._tally.wrong.append(f"no answer to {sorted(+self._open)[:5]} within {ANSWER_S:g} s")
                return
            await asyncio.sleep(0.01)

    async def _act(self, connection: ClientConnection) -> None:
        kind = self._random.random()
        if kind < 0.5:
            await self._send_call(connection, self._params())
        elif kind < 0.75:
            await self._send_call(
                connection, {self._name(): self._strange() for _ in range(self._random.randint(0, 5))}
            )
        elif kind < 0.95:
            await self._send_noise(connection)
        elif kind < 0.98:
            await connection.ping()
        elif kind < 0.985:
            await connection.send(b"x" * (MAX_FRAME_BYTES + 1))
        else:
            await connection.send("\0" if self._packed else b"\xff\xfe")

    async def _send_call(self, connection: ClientConnection, params: Any) -> None:
        self._last_id += 1
        method = self._random.choice([*METHODS, *METHODS, "none", "", "__init__"])
        frame = self._encode({"id": self._last_id, "method": method, "params": params})
        self._open[self._last_id] += 1
        self._tally.frames += 1
        if self._random.random() < 0.2 and len(frame) > 4:
            cut = sorted(self._random.sample(range(1, len(frame)), 2))
            await connection.send([frame[: cut[0]], frame[cut[0] : cut[1]], frame[cut[1] :]])
        else:
            await connection.send(frame)

    async def _send_noise(self, connection: ClientConnection) -> None:
        """A valid frame, bent; its id is not to be waited for, since it may be what was bent."""
        frame = self._encode({"id": "noise", "method": self._random.choice(list(METHODS)), "params": self._params()})
        data = bytearray(frame.encode() if isinstance(frame, str) else frame)
        for _ in range(self._random.randint(1, 6)):
            place = self._random.randrange(len(data))
            action = self._random.randrange(4)
            if action == 0:
                data[place] = self._random.randrange(256)
            elif action == 1:
                del data[place : place + self._random.randint(1, 20)]
            elif action == 2:
                data[place:place] = self._random.randbytes(self._random.randint(1, 20))
            else:
                data[place:place] = b"[" * self._random.choice([1, 100, 10_000])
            if not data:
                return
        self._tally.frames += 1
        with contextlib.suppress(UnicodeDecodeError):
            await connection.send(bytes(data) if self._packed else bytes(data).decode())

    def _encode(self, message: dict[str, Any]) -> str | bytes:
        if self._packed:
            packed: bytes = msgpack.packb(message, default=str)
            return packed
        return json.dumps(message, ensure_ascii=self._random.random() < 0.5)

    def _params(self) -> dict[str, Any]:
        episode = self._random.choice(self._episodes) if self._episodes else "ep_none"
        step = {"action": {"type": "echo", "value": self._strange()}, "step_index": self._random.randint(1, 3)}
        return self._random.choice(
            [
                {"environment": "scripted", "task": "a", "ttl_s": 5},
                {"environment": "scripted", "idempotency_key": self._random.choice("abc")},
                {"episode_id": episode, **step},
                {"episode_id": episode, **step, "stream": True},
                {"episode_id": episode, "index": 1, "wait_s": 0.01},
                {"episode_id": episode},
                {"episode_id": episode, "path": "/f", "data_base64": "AAA="},
                {"episode_id": episode, "path": "/f", "data": b"\0"} if self._packed else {"episode_id": episode},
                {"steps": [{"episode_id": episode, **step}] * self._random.randint(0, 9)},
                {"name": "scripted"},
                {},
            ]
        )

    def _name(self) -> str:
        return self._random.choice(
            [
                "episode_id",
                "environment",
                "action",
                "step_index",
                "steps",
                "path",
                "name",
                "limit",
                "state",
                "seed",
                "x",
            ]
        )

    def _strange(self) -> Any:
        value = self._random.choice(STRANGE)
        return None if self._packed and isinstance(value, int) and not -(2**63) <= value < 2**63 else value

    async def _read(self, connection: ClientConnection) -> None:
        async for frame in connection:
            answer = msgpack.unpackb(frame) if isinstance(frame, bytes) else json.loads(frame)
            if "event" in answer:
                continue
            self._tally.answers += 1
            code = str(answer.get("problem", {}).get("type", "ok")).rpartition(":")[2]
            self._tally.codes[code] += 1
            if code in ("internal_error", "infra_error"):
                self._tally.wrong.append(f"a defect: {answer}")
            call_id = answer["id"]
            if not isinstance(call_id, int) or not FIRST_ID < call_id <= self._last_id:
                continue  # of a bent frame
            if self._open[call_id] != 1:
                self._tally.wrong.append(f"call {call_id} was answered again")
            self._open[call_id] -= 1
            if isinstance(answer.get("result"), dict) and "episode_id" in answer["result"]:
                self._episodes = [*self._episodes[-20:], answer["result"]["episode_id"]]


async def honest(url: str, until: float, tally: Tally) -> None:
    """Steps of one episode, each answered with its own value."""
    async with connect(url, proxy=None, compression=None, ping_interval=None) as connection:

        async def call(method: str, **params: Any) -> Any:
            await connection.send(json.dumps({"id": 1, "method": method, "params": params}))
            return json.loads(await asyncio.wait_for(connection.recv(), ANSWER_S))["result"]

        episode_id = (await call("create", environment="scripted", task="b"))["episode_id"]
        while time.monotonic() < until and not tally.wrong:
            tally.honest_steps += 1
            began = time.monotonic()
            action = {"type": "echo", "value": tally.honest_steps}
            done = await call("step", episode_id=episode_id, action=action, step_index=tally.honest_steps)
            tally.slowest_honest_s = max(tally.slowest_honest_s, time.monotonic() - began)
            if done["observation"]["value"] != tally.honest_steps:
                tally.wrong.append(f"step {tally.honest_steps} answered {done}")
            await asyncio.sleep(0.01)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def _attack(url: str, seconds: float, seed: int) -> Tally:
    tally, until = Tally(), time.monotonic() + seconds
    attackers = [Attacker(url, seed * 1000 + number, tally) for number in range(CONNECTIONS)]
    before = resident_bytes()
    await asyncio.gather(honest(url, until, tally), *(attacker.run(until) for attacker in attackers))
    tally.growth_bytes = resident_bytes() - before
    if tally.growth_bytes > MAX_GROWTH_BYTES:
        tally.wrong.append(f"memory grew by {tally.growth_bytes} bytes")
    return tally


def attack(seconds: float, seed: int) -> Tally:
    """Fuzz a server of its own for so long."""
    bounds = {"max_body_bytes": MAX_FRAME_BYTES, "ws_max_in_flight": 64, "idempotency_bytes": 8 << 20}
    with served(**bounds) as server:
        return asyncio.run(_attack(server.url.replace("http", "ws") + "/v1/ws", seconds, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tally = attack(arguments.seconds, arguments.seed)
    print(json.dumps(vars(tally)))  # noqa: T201  # a program
    raise SystemExit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
