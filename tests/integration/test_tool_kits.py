"""The kits whose programs run in the sandbox, on the image that they are made for."""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio

from environments.environment import JsonObject, StepContext
from environments.tasks import GraderSpec, Task
from environments.tools.kits import KITS
from environments.tools.rules import Rules
from environments.tools.toolbox import Toolbox
from envserver.runtimes.base import CheckpointKind, Sandbox, SandboxSpec
from envserver.runtimes.crun import CrunRuntime
from envserver_sdk.models import Outcome

pytestmark = pytest.mark.node

SPEC = SandboxSpec(image="tools")
TOGETHER = ("python", "bash", "files", "sql", "image")


def red_square() -> bytes:
    """A PNG of 20 x 10 white pixels with a red square of 4 x 4 at (3, 2)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    def pixel(x: int, y: int) -> bytes:
        return b"\xff\0\0" if 3 <= x < 7 and 2 <= y < 6 else b"\xff\xff\xff"

    rows = b"".join(b"\0" + b"".join(pixel(x, y) for x in range(20)) for y in range(10))
    head = struct.pack(">IIBBBBB", 20, 10, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


TASK = Task(
    "t",
    "Do it.",
    GraderSpec("answer"),
    files={"/workspace/orders.csv": b"city,price\nOslo,3\nBergen,4\nOslo,5\n", "/workspace/red.png": red_square()},
    public={"sql": {"tables": {"orders": "/workspace/orders.csv"}}},
)


class Episode:
    def __init__(self, sandbox: Sandbox, kits: Sequence[str]) -> None:
        self.sandbox = sandbox
        self.toolbox = Toolbox([KITS[name]() for name in kits], Rules(), 0)

    async def begin(self) -> None:
        for path, data in TASK.files.items():
            await self.sandbox.write_file(path, data)
        await self.toolbox.begin(self.sandbox, TASK)

    async def call(self, name: str, timeout_s: float = 20.0, **arguments: Any) -> tuple[JsonObject, Outcome]:
        done = await self.toolbox.call(name, arguments, StepContext(timeout_s))
        return done.observation, done.outcome

    async def says(self, name: str, **arguments: Any) -> str:
        observation, outcome = await self.call(name, **arguments)
        assert outcome is Outcome.OK
        return str(observation["content"])

    def restored(self, sandbox: Sandbox) -> Episode:
        other = Episode(sandbox, [kit.name for kit in self.toolbox.kits])
        other.toolbox.restore(sandbox, TASK, self.toolbox.snapshot())
        return other


@pytest_asyncio.fixture
async def episode(runtime: CrunRuntime) -> AsyncIterator[Episode]:
    made = Episode(await runtime.create(SPEC), TOGETHER)
    await made.begin()
    yield made
    await made.sandbox.destroy()


async def test_kits_work_together_in_one_sandbox(episode: Episode) -> None:
    totals = "SELECT city, sum(price) FROM orders GROUP BY city ORDER BY 2"
    assert "Oslo   | 8" in await episode.says("sql", query=totals)
    assert await episode.says("tables") == "orders (3 rows)\n  city TEXT\n  price INTEGER"
    count = "import sqlite3\nsqlite3.connect('database.sqlite').execute('SELECT count(*) FROM orders').fetchone()"
    assert await episode.says("python", code=count) == "result: (3,)"
    assert "red.png" in await episode.says("list_files")
    assert await episode.says("bash", command="head -c 4 orders.csv") == "city"
    await episode.says("edit_file", path="orders.csv", old="city", new="town")
    assert (await episode.says("read_file", path="orders.csv", last_line=1)) == "town,price"


async def test_pictures_are_measured_and_drawn(episode: Episode) -> None:
    found = await episode.says("find_colour", path="red.png", colour="red")
    assert found.splitlines()[1] == "1. x=3 y=2 width=4 height=4 pixels=16 centre=(4.5, 3.5)"
    assert (await episode.call("look", path="red.png"))[0]["images"][0]["format"] == "png"
    plot = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()"
    assert len((await episode.call("python", code=plot))[0]["images"]) == 1


async def test_a_statement_that_never_ends_is_interrupted(episode: Episode) -> None:
    forever = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
    observation, outcome = await episode.call("sql", timeout_s=0.5, query=forever)
    assert outcome is Outcome.POLICY_TIMEOUT
    assert "its state live on" in observation["content"]
    assert "3" in await episode.says("sql", query="SELECT count(*) FROM orders")


async def test_a_checkpoint_of_processes_has_an_open_transaction(runtime: CrunRuntime, episode: Episode) -> None:
    await episode.says("sql", query="BEGIN; DELETE FROM orders WHERE city = 'Oslo'")
    await episode.says("python", code="n = 41")
    checkpoint = await runtime.checkpoint(episode.sandbox, CheckpointKind.PROCESS, {})
    fork = episode.restored(await runtime.restore(checkpoint.checkpoint_id, SPEC))
    try:
        assert "\n1\n" in await fork.says("sql", query="SELECT count(*) AS n FROM orders; ROLLBACK")
        assert "\n3\n" in await fork.says("sql", query="SELECT count(*) AS n FROM orders")
        assert await fork.says("python", code="n + 1") == "result: 42"
        assert "\n1\n" in await episode.says("sql", query="SELECT count(*) AS n FROM orders")
    finally:
        await fork.sandbox.destroy()
        await runtime.delete_checkpoint(checkpoint.checkpoint_id)


async def test_a_checkpoint_of_files_alone_has_what_was_done(runtime: CrunRuntime, episode: Episode) -> None:
    await episode.says("sql", query="DELETE FROM orders WHERE city = 'Oslo'; BEGIN; DELETE FROM orders")
    checkpoint = await runtime.checkpoint(episode.sandbox, CheckpointKind.FILESYSTEM, {})
    fork = episode.restored(await runtime.restore(checkpoint.checkpoint_id, SPEC))
    try:
        said = await fork.says("sql", query="SELECT count(*) AS n FROM orders")
        assert "\n1\n" in said
        assert "this step began a new session" in said
    finally:
        await fork.sandbox.destroy()
        await runtime.delete_checkpoint(checkpoint.checkpoint_id)
