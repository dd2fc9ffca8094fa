"""Many episodes as one vector environment, against a real server."""

from __future__ import annotations

import asyncio
import gc
import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

from envserver.runtimes.base import RuntimeUnavailableError
from envserver.server import RunningServer
from envserver_sdk import AsyncClient
from envserver_sdk.errors import EpisodeClosed, InfraError, NotFound, Problem
from envserver_sdk.gymnasium import AsyncEpisodes, EnvserverVectorEnv, EpisodeRequest
from tests.unit.episodes.helpers import until
from tests.unit.scripted import Gates, ScriptedRuntime

ECHO = {"type": "echo", "value": 1}
FAIL = {"type": "fail"}
WAIT = {"type": "wait", "gate": "g"}
END = {"type": "end"}


async def from_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


def make(server: RunningServer, num_envs: int = 3, **arguments: Any) -> EnvserverVectorEnv:
    return EnvserverVectorEnv("scripted", num_envs, **{"url": server.url, "task": "a", **arguments})


def mask(*slots: int, size: int = 3) -> dict[str, Any]:
    return {"reset_mask": np.isin(np.arange(size), slots)}


async def test_a_step_is_taken_in_every_slot(server: RunningServer) -> None:
    def work() -> None:
        envs = make(server, task=["a", "b", "c"])
        observations, infos = envs.reset(seed=10)
        assert observations == ({"prompt": "Say a."}, {"prompt": "Say b."}, {"prompt": "Say c."})
        assert infos["seed"].tolist() == [10, 11, 12]
        assert observations in envs.observation_space
        actions = [{"type": "echo", "value": 0}, {"type": "score", "reward": 0.5}, "fly"]
        observations, rewards, terminations, truncations, infos = envs.step(actions)
        assert observations[0]["value"] == 0
        assert rewards.tolist() == [0.0, 0.5, 0.0]
        assert not (terminations | truncations).any()
        assert infos["outcome"].tolist() == ["ok", "ok", "format_error"]
        assert infos["trainable"].tolist() == [True, True, True]
        envs.close()
        envs.close()

    await from_thread(work)


async def test_same_step_begins_an_ended_episode_again_in_the_step_that_ends_it(server: RunningServer) -> None:
    def work() -> None:
        envs = make(server)
        _, before = envs.reset(seed=1)
        observations, _, terminations, _, infos = envs.step([ECHO, {"type": "submit", "answer": "a"}, ECHO])
        assert terminations.tolist() == [False, True, False]
        assert observations[1] == {"prompt": "Say a."}
        assert infos["final_obs"].tolist() == [None, {"text": "submitted"}, None]
        assert infos["_final_obs"].tolist() == infos["_final_info"].tolist() == [False, True, False]
        assert infos["final_info"]["outcome"].tolist() == [None, "ok", None]
        assert infos["generation"].tolist() == [1, 2, 1]
        assert infos["episode_id"].tolist() == before["episode_id"].tolist()
        observations, *_, infos = envs.step([ECHO] * 3)
        assert [observation["value"] for observation in observations] == [1, 1, 1]
        assert infos["step_index"].tolist() == [2, 1, 2]
        assert "final_obs" not in infos
        envs.close()

    await from_thread(work)


async def test_disabled_leaves_ended_episodes_to_the_reset_mask(server: RunningServer) -> None:
    def work() -> None:
        envs = make(server, autoreset_mode=AutoresetMode.DISABLED)
        envs.reset(seed=1)
        last, _, terminations, _, infos = envs.step([END, ECHO, END])
        assert terminations.tolist() == [True, False, True]
        assert "final_obs" not in infos
        with pytest.raises(ResetNeeded, match=r"\[0, 2\]"):
            envs.step([ECHO] * 3)
        observations, infos = envs.reset(seed=[5, 6, 7], options=mask(0))
        assert observations == ({"prompt": "Say a."}, last[1], last[2])
        assert infos["_seed"].tolist() == [True, False, False]
        assert infos["seed"][0] == 5
        envs.send([ECHO, ECHO], [0, 1])
        assert sorted(envs.recv(2)[0].tolist()) == [0, 1]
        envs.reset(options=mask(2))
        envs.step([ECHO] * 3)
        envs.close()

    await from_thread(work)


def test_next_step_is_refused_with_its_reason() -> None:
    with pytest.raises(ValueError, match=r"SAME_STEP or DISABLED.*generation"):
        EnvserverVectorEnv("scripted", 2, autoreset_mode="NextStep")


@pytest.mark.parametrize(
    "value",
    [[True, False, False], np.zeros(3, dtype=np.bool_), np.ones(2, dtype=np.bool_), np.ones(3)],
    ids=["list", "nobody", "short", "floats"],
)
async def test_a_reset_mask_is_checked(server: RunningServer, value: Any) -> None:
    def work() -> None:
        envs = make(server)
        with pytest.raises(ValueError, match="reset_mask is"):
            envs.reset(options={"reset_mask": value})
        envs.close()

    await from_thread(work)


async def test_whichever_is_ready_first_is_received_first(server: RunningServer, gates: Gates) -> None:
    def work() -> None:
        envs = make(server)
        envs.reset()
        envs.send([WAIT, ECHO, END], [0, 1, 2])
        indices, observations, rewards, terminations, truncations, infos = envs.recv(min_ready=2)
        assert sorted(indices.tolist()) == [1, 2]
        by_slot = {int(index): number for number, index in enumerate(indices)}
        assert observations[by_slot[1]]["value"] == 1
        assert terminations[by_slot[2]]
        assert infos[by_slot[2]]["final_info"]["outcome"] == "ok"
        assert not truncations.any()
        assert rewards.shape == (2,)
        envs.send([ECHO], [1])  # the others go on meanwhile
        assert envs.recv()[0].tolist() == [1]
        assert envs.recv(1, timeout_s=0.01)[0].tolist() == []
        gates.open("g")
        indices, observations, *_ = envs.recv()
        assert (indices.tolist(), observations) == ([0], ({"passed": "g"},))
        with pytest.raises(ValueError, match="must be from 0 to 0"):
            envs.recv()
        envs.close()

    await from_thread(work)


async def test_a_slot_takes_one_action_at_a_time(server: RunningServer, gates: Gates) -> None:
    def work() -> None:
        envs = make(server)
        envs.reset()
        envs.send([WAIT], [0])
        for actions, indices in (([ECHO] * 2, [1, 0]), ([ECHO] * 2, [1, 1]), ([ECHO], [1, 2]), ([ECHO], [3])):
            with pytest.raises(ValueError, match=r"slots|indices"):
                envs.send(actions, indices)
        with pytest.raises(ValueError, match=r"\[0\] are under way"):
            envs.step([ECHO] * 3)
        gates.open("g")
        envs.recv()
        *_, infos = envs.step([ECHO] * 3)
        assert infos["step_index"].tolist() == [2, 1, 1], "what was refused began nowhere"
        envs.close()

    await from_thread(work)


async def test_a_failing_episode_disturbs_no_other_and_is_begun_again(server: RunningServer) -> None:
    def work() -> None:
        envs = make(server)
        _, before = envs.reset()
        observations, rewards, terminations, truncations, infos = envs.step([ECHO, FAIL, ECHO])
        assert rewards[[0, 2]].tolist() == [0.0, 0.0]
        assert math.isnan(rewards[1])
        assert (terminations.tolist(), truncations.tolist()) == ([False] * 3, [False, True, False])
        assert observations[1] == {"prompt": "Say a."}
        final = infos["final_info"]
        assert final["trainable"].tolist() == [False] * 3
        assert final["_trainable"].tolist() == [False, True, False]
        assert isinstance(final["problem"][1], InfraError)
        assert final["outcome"][1] == "infra_error"
        assert infos["final_obs"][1] is None
        assert infos["generation"].tolist() == [1, 2, 1]
        assert before["episode_id"].tolist() == infos["episode_id"].tolist()
        _, rewards, *_ = envs.step([ECHO] * 3)
        assert rewards.tolist() == [0.0] * 3
        envs.close()

    await from_thread(work)


async def test_an_episode_whose_lease_has_ended_is_replaced(server: RunningServer) -> None:
    loop = asyncio.get_running_loop()

    def work() -> None:
        envs = make(server)
        _, before = envs.reset()
        asyncio.run_coroutine_threadsafe(server.calls.manager.close(before["episode_id"][1]), loop).result()
        observations, rewards, _, truncations, infos = envs.step([ECHO] * 3)
        assert isinstance(infos["final_info"]["problem"][1], EpisodeClosed)
        assert infos["final_info"]["outcome"][1] == "episode_lost"
        assert truncations.tolist() == [False, True, False]
        assert math.isnan(rewards[1])
        assert observations[1] == {"prompt": "Say a."}
        assert infos["episode_id"][1] != before["episode_id"][1]
        assert envs.step([ECHO] * 3)[1].tolist() == [0.0] * 3
        envs.close()

    await from_thread(work)


async def test_with_disabled_a_failed_episode_waits_for_its_reset(server: RunningServer) -> None:
    def work() -> None:
        envs = make(server, autoreset_mode="Disabled")
        envs.reset()
        observations, rewards, _, truncations, infos = envs.step([FAIL, ECHO, ECHO])
        assert observations[0] is None
        assert math.isnan(rewards[0])
        assert truncations.tolist() == [True, False, False]
        assert infos["trainable"].tolist() == [False, True, True]
        assert infos["_problem"].tolist() == [True, False, False]
        with pytest.raises(ResetNeeded, match=r"\[0\]"):
            envs.step([ECHO] * 3)
        envs.reset(options=mask(0))
        envs.step([ECHO] * 3)
        envs.close()

    await from_thread(work)


async def test_a_slot_for_which_no_episode_can_be_had_gets_one_when_the_node_is_back(
    server: RunningServer, runtime: ScriptedRuntime
) -> None:
    def work() -> None:
        envs = make(server)
        envs.reset()
        runtime.fail_creates = [RuntimeUnavailableError("no launcher")] * 9
        observations, rewards, terminations, _, infos = envs.step([END, ECHO, ECHO])
        assert (observations[0], rewards[0], terminations[0]) == (None, 0.0, True), "the end itself was an honest one"
        assert infos["trainable"].tolist() == [False, True, True]
        assert infos["final_info"]["trainable"][0]
        assert isinstance(infos["problem"][0], Problem)
        runtime.fail_creates = []
        steps = runtime.counts["create"]
        observations, rewards, terminations, truncations, infos = envs.step([ECHO] * 3)
        assert observations[0] == {"prompt": "Say a."}
        assert runtime.counts["create"] == steps + 1
        assert math.isnan(rewards[0]), "the action ran nowhere"
        assert not (terminations | truncations).any()
        assert infos["trainable"].tolist() == [False, True, True]
        assert envs.step([ECHO] * 3)[1].tolist() == [0.0] * 3
        envs.close()

    await from_thread(work)


async def test_a_reset_cuts_the_straggler(server: RunningServer, gates: Gates, runtime: ScriptedRuntime) -> None:
    loop = asyncio.get_running_loop()

    def work() -> None:
        envs = make(server, autoreset_mode="Disabled")
        envs.reset()
        envs.send([WAIT, ECHO, ECHO], [0, 1, 2])
        envs.recv(2)
        asyncio.run_coroutine_threadsafe(gates.reached("g"), loop).result()
        observations, infos = envs.reset(options=mask(0))
        assert observations[0] == {"prompt": "Say a."}
        assert infos["generation"][0] == 2
        gates.open("g")
        *_, infos = envs.step([ECHO] * 3)
        assert infos["step_index"].tolist() == [1, 2, 2]
        assert infos["trainable"].all()
        envs.close()

    await from_thread(work)
    assert not runtime.sandboxes


async def test_a_reset_drops_what_was_ready_of_its_slots_alone(server: RunningServer) -> None:
    def work() -> None:
        envs = make(server)
        envs.reset()
        envs.send([ECHO] * 3, [0, 1, 2])
        envs.recv(0, timeout_s=0)
        envs.reset(options=mask(0, 1))
        assert envs.recv(1)[0].tolist() == [2]
        envs.close()

    await from_thread(work)


async def test_seeds_repeat_also_those_of_later_episodes(server: RunningServer) -> None:
    def work() -> list[list[int]]:
        envs = make(server, task=None)
        runs = []
        for seed in (3, [3, 4, 5], 3, 4):
            _, infos = envs.reset(seed=seed)
            seeds: list[int] = infos["seed"].tolist()
            for _ in range(2):
                *_, infos = envs.step([END] * 3)
                seeds += infos["seed"].tolist()
            runs.append(seeds)
        envs.close()
        return runs

    one, listed, again, other = await from_thread(work)
    assert one == listed == again
    assert one[:3] == [3, 4, 5]
    assert len(set(one)) == 9
    assert other != one


async def test_a_mistake_of_the_caller_is_raised(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def work() -> None:
        with pytest.raises(NotFound):
            make(server, task=["a", "none", "b"]).reset()
        with pytest.raises(ValueError, match="2 tasks"):
            make(server, task=["a", "b"])
        with pytest.raises(ValueError, match="2 seeds"):
            make(server).reset(seed=[1, 2])
        gc.collect()

    await from_thread(work)
    await until(lambda: not runtime.sandboxes)


async def test_an_action_that_is_no_json_is_raised_and_holds_nobody_up(server: RunningServer) -> None:
    def work() -> None:
        envs = make(server)
        envs.reset()
        with pytest.raises(Exception, match="of type object"):
            envs.step([ECHO, object(), ECHO])
        received: set[int] = set()
        while len(received) < 2:
            received |= set(envs.recv()[0].tolist())
        assert received == {0, 2}
        *_, infos = envs.step([ECHO] * 3)
        assert infos["step_index"].tolist() == [2, 1, 2]
        envs.close()

    await from_thread(work)


async def test_make_vec_makes_it_without_a_warning(server: RunningServer) -> None:
    def work() -> None:
        envs = gymnasium.make_vec("envserver/Episode-v0", 2, environment="scripted", url=server.url)
        assert isinstance(envs, EnvserverVectorEnv)
        assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        assert envs.spec is not None
        observations, _ = envs.reset()
        assert observations in envs.observation_space
        assert envs.action_space.sample() in envs.action_space
        envs.close()

    await from_thread(work)


async def test_all_slots_share_one_socket(server: RunningServer) -> None:
    def work() -> None:
        envs = make(server, 32)
        envs.reset()
        envs.step([ECHO] * 32)
        connections = server._uvicorn.server_state.connections
        assert len(connections) <= 2, "the socket, and the request that asked for the spaces"
        envs.close()

    await from_thread(work)


async def test_one_that_is_forgotten_with_steps_under_way_closes_its_episodes(
    server: RunningServer, runtime: ScriptedRuntime, gates: Gates
) -> None:
    def work() -> None:
        envs = make(server)
        envs.reset()
        envs.send([WAIT] * 3, range(3))
        del envs
        gc.collect()

    await from_thread(work)
    await until(lambda: not runtime.sandboxes)
    assert runtime.counts["create"] == 3, "none was begun again on the way out"


async def test_the_asynchronous_core_serves_a_loop_of_one_s_own(server: RunningServer, gates: Gates) -> None:
    async with AsyncClient(server.url) as client:
        episodes = AsyncEpisodes(client, [EpisodeRequest("scripted", task=task) for task in "abc"])
        begun = await episodes.reset(range(3), [1, 2, 3])
        assert [turn.observation["prompt"] for turn in begun] == ["Say a.", "Say b.", "Say c."]
        episodes.send([WAIT, ECHO, WAIT], [0, 1, 2])
        assert [turn.index for turn in await episodes.recv()] == [1]
        waiting = asyncio.ensure_future(episodes.recv(2))
        await until(lambda: gates.counts["g"] == 2)
        assert not waiting.done()
        gates.open("g")
        assert {turn.index for turn in await waiting} == {0, 2}
        assert episodes.under_way == []
        await episodes.close()


async def test_a_begin_that_is_cut_leaves_no_episode_behind(server: RunningServer, runtime: ScriptedRuntime) -> None:
    async with AsyncClient(server.url) as client:
        episodes = AsyncEpisodes(client, [EpisodeRequest("scripted")])
        runtime.hold = asyncio.Event()
        beginning = asyncio.ensure_future(episodes.reset([0], [1]))
        await runtime.creating.wait()
        beginning.cancel()
        await asyncio.wait({beginning})
        runtime.hold.set()
        (turn,) = await episodes.reset([0], [2])
        assert turn.info["seed"] == 2
        assert len(runtime.sandboxes) == 1
        await episodes.close()
    assert runtime.counts["create"] == 2


async def test_a_group_s_slots_begin_in_the_same_state(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def work() -> None:
        envs = make(server, group=True)
        observations, infos = envs.reset(seed=8)
        assert observations == ({"prompt": "Say a."},) * 3
        assert infos["seed"].tolist() == [8, 8, 8]
        assert len(set(infos["group_id"])) == 1
        observations, *_ = envs.step([{"type": "set", "value": 1}, {"type": "get"}, {"type": "get"}])
        assert [observations[1]["value"], observations[2]["value"]] == [8, 8]
        *_, terminations, _, _ = envs.step([END, ECHO, ECHO])
        assert terminations.tolist() == [True, False, False]
        with pytest.raises(ResetNeeded):
            envs.step([ECHO] * 3)
        _, again = envs.reset(options=mask(0, 1))
        assert len(set(again["group_id"][:2])) == 1
        assert again["group_id"][0] != infos["group_id"][0]
        assert again["seed"][0] == again["seed"][1]
        assert len(runtime.sandboxes) == 3
        envs.close()

    await from_thread(work)
    assert not runtime.sandboxes


async def test_a_group_s_stragglers_are_truncated(server: RunningServer, gates: Gates) -> None:
    def work() -> None:
        envs = make(server, group=True, stragglers={"finished": 2, "grace_s": 0.0})
        envs.reset(seed=1)
        envs.send([END, END, WAIT], range(3))
        envs.recv(2)
        gates_open()
        _, _, _, terminations, truncations, _ = envs.recv(1)
        assert (terminations.tolist(), truncations.tolist()) == ([False], [True])
        envs.close()

    loop = asyncio.get_running_loop()

    def gates_open() -> None:
        asyncio.run_coroutine_threadsafe(open_when_truncated(), loop).result()

    async def open_when_truncated() -> None:
        await until(lambda: any(each.reason == "straggler" for each in server.manager.episodes()))
        gates.open("g")

    await from_thread(work)


async def test_a_group_that_cannot_begin_is_raised_and_leaves_nothing(
    server: RunningServer, runtime: ScriptedRuntime
) -> None:
    def work() -> None:
        envs = make(server, group=True)
        envs.reset()
        runtime.fail_creates = [RuntimeUnavailableError("away")] * 2
        with pytest.raises(InfraError):
            envs.reset()
        assert not runtime.sandboxes
        with pytest.raises(ResetNeeded):
            envs.step([ECHO] * 3)
        envs.reset()
        envs.close()

    await from_thread(work)


def test_a_group_has_one_task_one_seed_and_no_autoreset() -> None:
    for wrong in ({"autoreset_mode": AutoresetMode.SAME_STEP}, {"task": ["a", "b"]}):
        with pytest.raises(ValueError, match="a group has one task"):
            EnvserverVectorEnv("scripted", 2, group=True, **wrong)


async def test_a_group_takes_no_seed_for_each(server: RunningServer) -> None:
    def work() -> None:
        envs = make(server, group=True)
        with pytest.raises(ValueError, match="one integer for all"):
            envs.reset(seed=[1, 2, 3])
        envs.close()

    await from_thread(work)


async def test_a_recovered_slot_goes_on_and_its_turn_says_so(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def work() -> None:
        envs = make(server, recovery="restore", checkpoints={"every_steps": 1, "kind": "replay"})
        envs.reset(seed=1)
        envs.step([{"type": "set", "value": 4}] * 3)
        envs.step([ECHO] * 3)  # the checkpoint after the first step is there when the second one runs
        runtime.available = False
        observations, rewards, terminations, truncations, infos = envs.step([{"type": "die"}, ECHO, ECHO])
        runtime.available = True
        assert math.isnan(rewards[0])
        assert not (terminations | truncations).any()
        assert infos["trainable"].tolist() == [False, True, True]
        assert observations[0] is not None
        observations, *_, infos = envs.step([{"type": "get"}] * 3)
        assert [observation["value"] for observation in observations] == [4, 4, 4]
        assert infos["generation"].tolist() == [2, 1, 1]
        envs.close()

    await from_thread(work)
