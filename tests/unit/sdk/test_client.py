"""The client against a real server."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable

import numpy as np
import pytest

from envserver.api.calls import Calls
from envserver.server import RunningServer
from envserver_sdk import AsyncClient, AsyncEpisode, Timeouts
from envserver_sdk.errors import (
    CallTimeout,
    ConnectionFailed,
    EpisodeClosed,
    EpisodeEnded,
    FileProblem,
    InvalidRequest,
    NotFound,
    NotJson,
    Overloaded,
    PayloadTooLarge,
    Unauthorized,
    WrongStepIndex,
)
from envserver_sdk.models import EpisodeState, StepResult
from tests.unit.episodes.helpers import until
from tests.unit.fixtures import MakeServer
from tests.unit.scripted import Gates, ScriptedRuntime


@pytest.fixture(params=[False, True], ids=["json", "msgpack"])
async def client(server: RunningServer, request: pytest.FixtureRequest) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.url, binary=request.param) as client:
        yield client


async def test_pictures_come_as_bytes_either_way(client: AsyncClient) -> None:
    images = [{"format": "png", "data": "AP8="}]
    async with client.create("scripted", task="a") as episode:
        step = await episode.step({"type": "show", "observation": {"images": images}})
    assert [picture.data for picture in step.pictures] == [b"\0\xff"]


async def test_a_binary_client_tells_of_an_integer_that_it_cannot_send(server: RunningServer) -> None:
    async with AsyncClient(server.url, binary=True) as client, client.create("scripted", task="a") as episode:
        with pytest.raises(NotJson, match=r"action\.value\[0\] is an integer beyond 64 bits"):
            await episode.step({"type": "echo", "value": [1 << 70]})
        assert (await episode.step({"type": "echo", "value": 1 << 60})).observation["value"] == 1 << 60


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, r"action\.value is nan, which is no JSON number"),
        ([1, {"x": -math.inf}], r"action\.value\[1\]\.x is -inf"),
        (np.float32("nan"), r"action\.value is nan"),
        ("a\ud800", r"action\.value is a text with half of a surrogate pair"),
        ({"\ud800": 1}, r"a name in action\.value is a text with half"),
        (np.zeros(2), r"action\.value is of type ndarray, .* `\.tolist\(\)`"),
        (object(), r"action\.value is of type object"),
        (b"\xff", r"action\.value is of type bytes"),
    ],
    ids=["nan", "infinity", "numpy_nan", "text", "name", "array", "object", "bytes"],
)
async def test_what_is_no_json_is_refused_at_once_and_spoils_nothing(
    client: AsyncClient, value: object, message: str
) -> None:
    async with asyncio.timeout(5), client.create("scripted", task="a") as episode:
        with pytest.raises(NotJson, match=message):
            await episode.step({"type": "echo", "value": value})
        with pytest.raises(InvalidRequest, match=message.replace("action", "options")):
            await client.create("scripted", options={"value": value})
        assert (await episode.step({"type": "echo", "value": "NaN"})).observation["value"] == "NaN"


async def test_what_holds_itself_is_refused_too(client: AsyncClient) -> None:
    ring: list[object] = []
    ring.append(ring)
    with pytest.raises(NotJson, match="holds itself"):
        await client.create("scripted", metadata={"ring": ring})


@pytest.mark.parametrize("named", ["\ud800", "a\0"], ids=ascii)
async def test_a_name_that_no_address_can_hold_is_refused(client: AsyncClient, named: str) -> None:
    with pytest.raises(InvalidRequest, match="no address can hold"):
        await client.environment(named)


async def test_scalars_of_numpy_are_numbers(client: AsyncClient) -> None:
    given = {"n": np.int64(7), "x": np.float32(0.5), "yes": np.bool_(True), "in": [np.array(3)]}
    async with client.create("scripted", task="a") as episode:
        step = await episode.step({"type": "echo", "value": given})
    assert step.observation["value"] == {"n": 7, "x": 0.5, "yes": True, "in": [3]}


async def test_an_episode_has_the_pictures_of_its_last_observation(client: AsyncClient) -> None:
    async with client.create("scripted", task="a") as episode:
        assert episode.pictures == []
        await episode.step({"type": "show", "observation": {"images": [{"format": "png", "data": "AP8="}]}})
        assert [picture.data for picture in episode.pictures] == [b"\0\xff"]


async def test_a_text_and_a_message_are_not_taken_for_each_other(client: AsyncClient) -> None:
    async with client.create("scripted", task="a", options={"protocol": "openai"}) as episode:
        before = list(episode.messages)
        with pytest.raises(TypeError, match="not dict; step_message takes"):
            await episode.step_text({"role": "assistant", "content": "x"})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="not str; step_text takes"):
            await episode.step_message("x")  # type: ignore[arg-type]
        assert (episode.messages, episode.step_index) == (before, 0)


async def test_a_protocol_that_can_call_nothing_there_is_refused(client: AsyncClient, runtime: ScriptedRuntime) -> None:
    with pytest.raises(InvalidRequest, match="options: search_r1 calls 'search_web', and there is no such tool"):
        await client.create("scripted", options={"protocol": "search_r1"})
    assert not runtime.sandboxes


async def test_an_episode_is_played_graded_and_closed(client: AsyncClient, runtime: ScriptedRuntime) -> None:
    async with client.create("scripted", task="a", seed=4) as episode:
        assert (episode.generation, episode.step_index) == (1, 0)
        assert episode.observation == {"prompt": "Say a."}
        assert (episode.info["task"], episode.info["seed"]) == ("a", 4)
        step = await episode.step({"type": "echo", "value": [1, None]}, metadata={"policy": 3})
        assert step.observation["value"] == [1, None]
        assert (episode.step_index, episode.observation) == (1, step.observation)
        last = await episode.step({"type": "submit", "answer": "a"})
        assert (last.reward, last.done, last.trainable, last.outcome) == (1.0, True, True, "ok")
        assert (await episode.grade()).reward == 1.0
        with pytest.raises(EpisodeEnded):
            await episode.step({"type": "echo"})
    assert (await episode.status()).state is EpisodeState.CLOSED
    with pytest.raises(EpisodeClosed):
        await episode.step({"type": "echo"})
    assert not runtime.sandboxes


async def test_a_create_that_is_cancelled_leaves_no_episode(client: AsyncClient, runtime: ScriptedRuntime) -> None:
    runtime.hold = asyncio.Event()
    creating = asyncio.ensure_future(_await(client.create("scripted", task="a")))
    await runtime.creating.wait()
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    runtime.hold.set()
    await client.close()  # waits for what it abandoned
    assert not runtime.sandboxes
    assert runtime.counts["create"] == 1


async def _await(creating: Awaitable[AsyncEpisode]) -> AsyncEpisode:
    return await creating


async def test_reset_goes_on_in_the_next_generation(client: AsyncClient) -> None:
    async with client.create("scripted") as episode:
        await episode.step({"type": "echo"})
        started = await episode.reset(seed=9)
        assert (started.generation, episode.generation, episode.step_index) == (2, 2, 0)
        assert (await episode.step({"type": "echo"})).generation == 2


async def test_another_client_attaches_and_goes_on(client: AsyncClient, server: RunningServer) -> None:
    episode = await client.create("scripted")
    await episode.step({"type": "echo"})
    async with AsyncClient(server.url) as other:
        attached = await other.attach(episode.episode_id)
        assert (await attached.step({"type": "echo"})).step_index == 2
    with pytest.raises(WrongStepIndex) as caught:
        episode.step_index = 6
        await episode.step({"type": "echo"})
    assert caught.value.extra["expected"] == 3


async def test_a_step_longer_than_one_wait_is_asked_for_again(
    server: RunningServer, gates: Gates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncClient(server.url, timeouts=Timeouts(wait_s=0.01)) as client:
        episode = await client.create("scripted")
        stepping = asyncio.ensure_future(episode.step({"type": "wait", "gate": "g"}))
        await gates.reached("g")
        asks = Calls.get_step
        asked = asyncio.Event()

        async def get_step(*args: object) -> object:
            asked.set()
            return await asks(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(Calls, "get_step", get_step)
        await asked.wait()
        gates.open("g")
        assert (await stepping).observation == {"passed": "g"}


async def test_a_step_that_timed_out_here_is_fetched_by_taking_it_again(server: RunningServer, gates: Gates) -> None:
    async with AsyncClient(server.url, timeouts=Timeouts(step_s=0.05)) as client:
        episode = await client.create("scripted")
        with pytest.raises(CallTimeout):
            await episode.step({"type": "wait", "gate": "g"})
        gates.open("g")
        assert (await episode.step({"type": "wait", "gate": "g"})).step_index == 1
        assert gates.counts["g"] == 1


async def test_output_is_streamed(client: AsyncClient) -> None:
    episode = await client.create("scripted")
    output: list[tuple[str, str]] = []
    action = {"type": "print", "text": "zwölf", "times": 3}
    await episode.step(action, on_output=lambda stream, text: output.append((stream, text)))
    assert output == [("stdout", "zwölf")] * 3


async def test_a_batch_steps_many_and_reports_each(server: RunningServer, gates: Gates) -> None:
    async with AsyncClient(server.url) as client:
        good, ended = await client.create("scripted"), await client.create("scripted")
        await ended.step({"type": "end"})
        results = await client.batch_step([(good, {"type": "echo"}), (ended, {"type": "echo"})])
        assert isinstance(results[0], StepResult)
        assert isinstance(results[1], EpisodeEnded)
        assert good.step_index == 1


async def test_files_environments_and_lists(client: AsyncClient) -> None:
    episode = await client.create("scripted")
    await episode.write_file("/workspace/f", b"\0\xff")
    assert await episode.read_file("/workspace/f") == b"\0\xff"
    with pytest.raises(FileProblem) as caught:
        await episode.read_file("/workspace/none")
    assert caught.value.extra["reason"] == "not_found"
    assert (await client.environments()).environments == ["scripted"]
    assert (await client.environment("scripted")).max_steps == 5
    assert len((await client.tasks("scripted", limit=2)).tasks) == 2
    assert len((await client.list(state=EpisodeState.LIVE)).episodes) == 1
    assert (await client.health()).status == "ok"


async def test_problems_are_the_classes_of_the_table(client: AsyncClient) -> None:
    with pytest.raises(NotFound):
        await client.create("none")
    with pytest.raises(NotFound):
        await client.get("ep_none")
    with pytest.raises(InvalidRequest):
        await client.create("scripted", limits={"pids": 1})


async def test_a_full_node_is_asked_again_when_it_says_so_within_a_budget(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from envserver.episodes.admission import Admission

    monkeypatch.setattr(Admission, "retry_after_s", lambda *_: 0.01)
    server = await make_server(max_episodes=1, queue_length=0)
    async with AsyncClient(server.url, timeouts=Timeouts(create_s=10)) as client:
        first = await client.create("scripted")
        refused = server.calls.metrics.problems.labels("overloaded")
        waiting = asyncio.ensure_future(_create(client))
        await until(lambda: refused._value.get() >= 2)
        await first.close()
        assert (await waiting).step_index == 0
    monkeypatch.setattr(Admission, "retry_after_s", lambda *_: 30.0)
    async with AsyncClient(server.url, timeouts=Timeouts(create_s=20)) as client:  # less than it would have to wait
        with pytest.raises(Overloaded) as caught:
            await client.create("scripted")
        assert caught.value.extra["queue_position"] == 1


async def _create(client: AsyncClient) -> AsyncEpisode:
    return await client.create("scripted")


async def test_a_missing_key_fails_at_once(make_server: MakeServer) -> None:
    server = await make_server(api_key="env_k_123")
    async with AsyncClient(server.url) as client:
        with pytest.raises(Unauthorized):
            await asyncio.wait_for(_create(client), 5)
        with pytest.raises(Unauthorized):
            await client.environments()
    async with AsyncClient(server.url, "env_k_123") as client:
        await client.create("scripted")


async def test_an_action_that_is_too_large_is_refused_and_spoils_nothing(make_server: MakeServer) -> None:
    server = await make_server(max_body_bytes=10_000)
    async with AsyncClient(server.url) as client:
        episode, other = await client.create("scripted"), await client.create("scripted")
        with pytest.raises(PayloadTooLarge):
            await asyncio.wait_for(episode.step({"type": "echo", "value": "x" * 20_000}), 5)
        assert (await other.step({"type": "echo"})).step_index == 1
        assert (await episode.step({"type": "echo"})).step_index == 1


async def test_nobody_there_fails_within_its_budget() -> None:
    async with AsyncClient("http://127.0.0.1:9", timeouts=Timeouts(reconnect_s=0.05)) as client:
        with pytest.raises(ConnectionFailed):
            await client.create("scripted")
        with pytest.raises(ConnectionFailed):
            await client.health()
    with pytest.raises(ConnectionFailed):
        await client.create("scripted")


async def test_a_hundred_episodes_share_one_connection(client: AsyncClient, server: RunningServer) -> None:
    episodes = await asyncio.gather(*(_create(client) for _ in range(100)))
    for _ in range(3):
        await asyncio.gather(*(episode.step({"type": "echo"}) for episode in episodes))
    assert all(episode.step_index == 3 for episode in episodes)
    assert len(server._uvicorn.server_state.connections) == 1


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_no_time_out_is_infinite(seconds: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        Timeouts(step_s=seconds)
