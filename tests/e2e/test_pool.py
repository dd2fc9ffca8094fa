"""Warm sandboxes of a real node: claimed, refilled, never used twice, and gone with their server."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.node import pool_is_filled
from envserver_sdk import AsyncClient
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import bash, python, sandboxes

pytestmark = pytest.mark.node


def warm(node: Node) -> list[dict[str, Any]]:
    return [entry for entry in sandboxes(node) if entry["labels"]["purpose"] == "pool"]


@pytest.mark.usefixtures("nothing_left")
async def test_an_episode_in_a_warm_sandbox_is_like_any_other(
    make_server: Callable[..., ServerProcess], node: Node
) -> None:
    server = make_server(ENVSERVER_POOL_SIZE="1")
    async with AsyncClient(server.url) as client:
        played = []
        for _ in range(4):
            async with client.create("code", task="HumanEval/0") as episode:
                step = await episode.step(
                    python("import os; seen = os.path.exists('/workspace/mark'); seen, os.getpid()")
                )
                assert step.observation["session"] == "live"
                played.append(step.observation["result"])
                shell = await episode.step(bash("touch /workspace/mark && pwd"))
                assert shell.observation["stdout"] == "/workspace\n"
                assert (await episode.status()).usage["cpu_s"] > 0
            if len(played) >= 2:
                assert await pool_is_filled(server.url)
        assert all(result.startswith("(False, ") for result in played), "nothing of an earlier episode is there"
        assert await pool_is_filled(server.url)
        (kept,) = warm(node)
        async with client.create("code", task="HumanEval/0") as episode:
            (claimed,) = [entry for entry in sandboxes(node) if entry["sandbox_id"] == kept["sandbox_id"]]
            assert claimed["labels"]["episode"] == episode.episode_id
            assert claimed["labels"]["purpose"] == "episode"
    server.kill(signal.SIGTERM)
    assert not sandboxes(node)


@pytest.mark.usefixtures("nothing_left")
async def test_a_browser_is_warm_and_whatever_page_an_episode_begins_with(
    make_server: Callable[..., ServerProcess], node: Node
) -> None:
    server = make_server(ENVSERVER_POOL_SIZE="1")
    async with AsyncClient(server.url) as client:
        other: dict[str, Any] = {"viewport": {"width": 640, "height": 480}, "locale": "de-DE"}
        claims = 0
        for number, options in enumerate(({}, {}, other, {})):
            kept = [entry["sandbox_id"] for entry in warm(node)]
            async with client.create(
                "browser", task_set="miniwob", task="click-test", seed=1, options=options
            ) as episode:
                if kept:
                    (claimed,) = [entry for entry in sandboxes(node) if entry["sandbox_id"] in kept]
                    assert claimed["labels"]["episode"] == episode.episode_id
                    claims += 1
                (ref,) = re.findall(r'button "Click Me!".*\[ref=(\w+)\]', episode.observation["text"])
                step = await episode.step({"type": "click", "ref": ref})
                assert (step.reward, step.terminated) == (1.0, True)
            if number:
                assert await pool_is_filled(server.url)
        assert claims == 2
    server.stop()


@pytest.mark.usefixtures("nothing_left")
async def test_warm_sandboxes_of_a_killed_server_are_destroyed_by_the_next(
    make_server: Callable[..., ServerProcess], node: Node
) -> None:
    server = make_server(ENVSERVER_POOL_SIZE="1")
    async with AsyncClient(server.url) as client:
        for _ in range(2):
            async with client.create("code", task="HumanEval/0"):
                pass
        assert await pool_is_filled(server.url)
    server.kill()
    assert len(warm(node)) == 1
    server.start()
    assert not warm(node)
    server.stop()
