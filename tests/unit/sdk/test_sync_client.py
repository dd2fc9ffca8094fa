"""The synchronous client is the asynchronous one, from another thread."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from envserver.server import RunningServer
from envserver_sdk import AsyncClient, AsyncEpisode, Client, Episode, Timeouts
from envserver_sdk.errors import ConnectionFailed, EpisodeEnded, NotJson
from envserver_sdk.models import StepResult
from tests.unit.scripted import ScriptedRuntime

SDK = Path(__file__).parents[3] / "sdk"


async def from_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


async def test_the_ten_lines_of_a_trainer(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def train() -> float:
        with Client(server.url) as client, client.create("scripted", task="a") as episode:
            step = episode.step({"type": "echo", "value": 1})
            assert step.observation["value"] == 1
            assert (episode.step_index, episode.observation) == (1, step.observation)
            while not step.done:
                step = episode.step({"type": "submit", "answer": "a"})
            return step.reward

    assert await from_thread(train) == 1.0
    assert not runtime.sandboxes


async def test_everything_else_too(server: RunningServer) -> None:
    def work() -> None:
        client = Client(server.url)
        episode = client.create("scripted")
        other = client.attach(episode.episode_id)
        assert episode.episode_id == other.episode_id
        output: list[str] = []
        episode.step({"type": "print", "text": "x"}, on_output=lambda _, text: output.append(text))
        assert output == ["x"]
        (result,) = client.batch_step([(episode, {"type": "echo"})])
        assert isinstance(result, StepResult)
        episode.write_file("/f", b"1")
        assert episode.read_file("/f") == b"1"
        assert episode.reset(seed=3).generation == episode.generation == 2
        assert episode.grade().reward == 0.0
        with pytest.raises(EpisodeEnded):
            episode.step({"type": "echo"})
        assert episode.status().state == "ended"
        episode.close()
        assert client.environments().environments == ["scripted"]
        client.close()
        client.close()
        with pytest.raises(ConnectionFailed):
            client.health()

    await from_thread(work)


@pytest.mark.parametrize("binary", [False, True])
async def test_what_is_no_json_is_refused_at_once(server: RunningServer, binary: bool) -> None:
    def work() -> None:
        timeouts = Timeouts(step_s=5)
        with Client(server.url, binary=binary, timeouts=timeouts) as client, client.create("scripted") as episode:
            with pytest.raises(NotJson, match=r"action\.x is nan"):
                episode.step({"type": "click", "x": float("nan"), "y": 1})
            assert episode.pictures == []

    await from_thread(work)


async def test_many_threads_share_one_client(server: RunningServer) -> None:
    def work() -> int:
        with Client(server.url) as client, ThreadPoolExecutor(8) as pool:

            def play(_: int) -> int:
                with client.create("scripted") as episode:
                    return sum(episode.step({"type": "echo"}).step_index for _ in range(4))

            return sum(pool.map(play, range(16)))

    assert await from_thread(work) == 160


@pytest.mark.parametrize(("asynchronous", "synchronous"), [(AsyncClient, Client), (AsyncEpisode, Episode)])
def test_every_verb_is_there_with_the_same_parameters(asynchronous: type, synchronous: type) -> None:
    def verbs(cls: type) -> dict[str, list[str]]:
        public = {name: value for name, value in vars(cls).items() if not name.startswith("_") and callable(value)}
        return {name: list(inspect.signature(value).parameters) for name, value in public.items()}

    assert verbs(asynchronous) == verbs(synchronous)


def test_the_generated_module_is_what_the_asynchronous_one_gives() -> None:
    script = SDK / "scripts" / "generate_sync.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True, timeout=60)
