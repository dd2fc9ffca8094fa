"""One episode as a Gymnasium environment, against a real server."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import trustme
from gymnasium.error import ResetNeeded, UnsupportedMode
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

import envserver_sdk.gymnasium
from envserver.runtimes.base import RuntimeUnavailableError
from envserver.server import RunningServer
from envserver_sdk import Client, Timeouts, Tls
from envserver_sdk.errors import ConnectionFailed, EpisodeLost, InfraError, NotFound, NotJson
from envserver_sdk.gymnasium import EnvserverEnv, EnvserverVectorEnv, EpisodeRecovered
from tests.unit.episodes.helpers import until
from tests.unit.fixtures import MakeServer
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime

ECHO = {"type": "echo", "value": 1}


async def from_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.to_thread(work)


def make(server: RunningServer, **arguments: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make("envserver/Episode-v0", environment="scripted", url=server.url, **arguments)


async def test_gymnasium_s_own_checks_pass_without_a_warning(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def work() -> None:
        env = make(server)
        check_env(env.unwrapped)
        env.close()

    await from_thread(work)
    await until(lambda: not runtime.sandboxes)


async def test_an_episode_is_played(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def work() -> None:
        env = make(server, task="a")
        observation, info = env.reset(seed=7)
        assert observation == {"prompt": "Say a."}
        assert (info["task"], info["seed"], info["greeting"], info["generation"]) == ("a", 7, "hello", 1)
        observation, reward, terminated, truncated, info = env.step(ECHO)
        assert (observation["value"], reward, terminated, truncated) == (1, 0.0, False, False)
        assert (info["outcome"], info["trainable"], info["step_index"]) == ("ok", True, 1)
        _, reward, terminated, truncated, info = env.step({"type": "submit", "answer": "a"})
        assert (type(reward), reward, terminated, truncated) == (float, 1.0, True, False)
        with pytest.raises(ResetNeeded):
            env.step(ECHO)
        env.close()
        env.close()
        with pytest.raises(ConnectionFailed):
            env.reset()

    await from_thread(work)
    assert not runtime.sandboxes


async def test_an_action_that_is_no_json_is_not_sent_and_the_episode_goes_on(server: RunningServer) -> None:
    def work() -> None:
        env = make(server, timeouts=Timeouts(step_s=5))
        env.reset()
        with pytest.raises(NotJson, match=r"action\.value is nan"):
            env.step({"type": "echo", "value": float("nan")})
        observation, *_, info = env.step({"type": "echo", "value": np.int64(3)})
        assert (observation["value"], info["step_index"]) == (3, 1)
        env.close()

    await from_thread(work)


async def test_a_malformed_action_is_an_observation(server: RunningServer) -> None:
    def work() -> None:
        env = make(server)
        env.reset()
        observation, reward, *_, info = env.step("fly")
        assert (observation["error"], reward, info["outcome"], info["trainable"]) == (
            "unknown action", 0.0, "format_error", True,
        )  # fmt: skip
        env.close()

    await from_thread(work)


async def test_a_named_task_keeps_the_episode_and_another_one_replaces_it(
    server: RunningServer, runtime: ScriptedRuntime
) -> None:
    def work() -> list[dict[str, Any]]:
        env = make(server, task="a")
        infos = [env.reset()[1], env.reset()[1], env.reset(options={"task": "b"})[1], env.reset()[1]]
        assert len(runtime.sandboxes) == 1
        env.close()
        return infos

    infos = await from_thread(work)
    first, second, other, back = ((info["episode_id"], info["generation"], info["task"]) for info in infos)
    assert first[1:] == (1, "a")
    assert second == (first[0], 2, "a")
    assert other[0] != first[0]
    assert other[1:] == (1, "b")
    assert back[1:] == (1, "a")


async def test_the_seed_comes_in_through_reset_and_decides_what_follows(server: RunningServer) -> None:
    def work() -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        env = make(server)

        def begin(seed: int | None) -> tuple[str, int]:
            _, info = env.reset(seed=seed)
            return info["task"], info["seed"]

        runs = [begin(5), *(begin(None) for _ in range(6))], [begin(5), *(begin(None) for _ in range(6))]
        env.close()
        return runs

    one, other = await from_thread(work)
    assert one == other
    assert one[0][1] == 5
    assert len({seed for _, seed in one}) == 7
    assert len({task for task, _ in one}) > 1, "without a task the seed chooses one"


async def test_options_go_to_the_environment(server: RunningServer, gates: Gates) -> None:
    def work() -> None:
        env = make(server, options={"gate": "g"})
        env.reset()
        env.reset(options={"gate": None})
        with pytest.raises(Exception, match="unknown: fly"):
            env.reset(options={"fly": 1})
        env.close()

    gates.open("g")
    await from_thread(work)
    assert gates.counts["g"] == 2, "the first and the last begin had it from the constructor"


async def test_a_failure_of_ours_is_an_exception_and_reset_goes_on(
    server: RunningServer, grader: ScriptedGrader
) -> None:
    def work() -> None:
        env = make(server, task="a")
        env.reset()
        with pytest.raises(InfraError) as caught:
            env.step({"type": "fail"})
        assert caught.value.extra["info"]["trainable"] is False
        with pytest.raises(ResetNeeded):
            env.step(ECHO)
        assert env.reset()[1]["generation"] == 2
        grader.errors = [RuntimeError("no verdict")] * 10
        with pytest.raises(InfraError):
            env.step({"type": "submit"})
        env.close()

    await from_thread(work)


async def test_an_episode_that_is_gone_is_replaced_by_the_next_reset(server: RunningServer) -> None:
    loop = asyncio.get_running_loop()

    def work() -> None:
        env = make(server, task="a")
        _, info = env.reset()
        asyncio.run_coroutine_threadsafe(server.calls.manager.close(info["episode_id"]), loop).result()
        with pytest.raises(Exception, match="episode_closed"):
            env.step(ECHO)
        _, again = env.reset()
        assert again["episode_id"] != info["episode_id"]
        assert env.step(ECHO)[0]["value"] == 1
        env.close()

    await from_thread(work)


async def test_a_node_that_cannot_make_an_episode_raises(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def work() -> None:
        env = make(server)
        runtime.fail_creates = [RuntimeUnavailableError("no launcher")] * 9
        with pytest.raises(InfraError):
            env.reset()
        with pytest.raises(ResetNeeded):
            env.unwrapped.step(ECHO)
        runtime.fail_creates = []
        env.reset()
        env.close()

    await from_thread(work)


async def test_order_is_enforced_and_render_shows_the_last_observation(server: RunningServer) -> None:
    def work() -> None:
        env = EnvserverEnv("scripted", url=server.url, task="a", render_mode="ansi")
        for call in (env.render, lambda: env.step(ECHO)):
            with pytest.raises(ResetNeeded):
                call()
        observation, _ = env.reset()
        observation["prompt"] = "changed"
        assert env.render() == "prompt: Say a."
        env.step({"type": "echo", "value": ["é"]})
        assert env.render() == 'value: ["é"]\ntimeout_s: 10.0'
        env.close()
        with pytest.raises(UnsupportedMode):
            EnvserverEnv("scripted", url=server.url, render_mode="human")

    await from_thread(work)


async def test_the_limit_of_a_step_reaches_the_environment(server: RunningServer) -> None:
    def work() -> float:
        env = make(server, step_timeout_s=3.5)
        env.reset()
        limit: float = env.step(ECHO)[0]["timeout_s"]
        env.close()
        return limit

    assert await from_thread(work) == 3.5


async def test_an_unknown_environment_and_a_missing_key_fail_where_the_environment_is_made(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await make_server(api_key="env_k_123")

    def work() -> None:
        with pytest.raises(Exception, match="unauthorized"):
            make(server)
        monkeypatch.setenv("ENVSERVER_API_KEY", "env_k_123")
        make(server).close()
        with pytest.raises(NotFound):
            EnvserverEnv("none", url=server.url)

    await from_thread(work)


@pytest.mark.parametrize("make_one", [EnvserverEnv, EnvserverVectorEnv])
async def test_a_private_authority_is_trusted_when_it_is_named(
    make_server: MakeServer, tmp_path: Path, make_one: Callable[..., Any]
) -> None:
    authority, certificate = tmp_path / "ca.pem", tmp_path / "server.pem"
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(authority)
    issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    server = await make_server(tls_cert_file=certificate, tls_key_file=certificate)

    def work() -> None:
        with pytest.raises(ConnectionFailed):
            make_one("scripted", url=server.url)
        env = make_one("scripted", url=server.url, tls=Tls(ca_file=authority))
        env.reset()
        env.close()

    await from_thread(work)


async def test_a_step_that_timed_out_here_is_fetched_by_taking_it_again(server: RunningServer, gates: Gates) -> None:
    action = {"type": "wait", "gate": "g"}

    def work() -> None:
        env = make(server, timeouts=Timeouts(step_s=0.05))
        env.reset()
        with pytest.raises(Exception, match="no answer within"):
            env.step(action)
        gates.open("g")
        assert env.step(action)[4]["step_index"] == 1
        env.close()

    await from_thread(work)
    assert gates.counts["g"] == 1


async def test_one_that_is_forgotten_closes_its_episode(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def work() -> None:
        env = make(server)
        env.reset()
        assert len(runtime.sandboxes) == 1
        del env
        gc.collect()

    await from_thread(work)
    await until(lambda: not runtime.sandboxes)


FORGET = """
import sys, gymnasium
env = gymnasium.make("envserver_sdk.gymnasium:envserver/Episode-v0", environment="scripted", url=sys.argv[1])
print(env.reset()[0])
"""


async def test_one_that_is_open_at_exit_closes_its_episode(server: RunningServer, runtime: ScriptedRuntime) -> None:
    command = [sys.executable, "-W", "error", "-c", FORGET, server.url]
    done = await from_thread(lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Say" in done.stdout
    await until(lambda: not runtime.sandboxes)


async def test_one_that_is_collected_on_its_own_thread_closes_its_episode_too(
    server: RunningServer, runtime: ScriptedRuntime
) -> None:
    async def forget(kept: list[EnvserverEnv]) -> None:
        kept.clear()
        gc.collect()

    def work() -> None:
        kept = [EnvserverEnv("scripted", url=server.url)]
        kept[0].reset()
        kept[0]._session.run(forget(kept))

    await from_thread(work)
    await until(lambda: not runtime.sandboxes)


FORK = """
import gc, os, sys, gymnasium, envserver_sdk.gymnasium
env = gymnasium.make("envserver/Episode-v0", environment="scripted", url=sys.argv[1])
env.reset()
child = os.fork()
if child == 0:
    del env
    gc.collect()
    os._exit(7)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), env.step({"type": "echo", "value": "still mine"})[0]["value"])
"""


async def test_a_fork_leaves_the_episode_to_its_parent(server: RunningServer) -> None:
    command = [sys.executable, "-c", FORK, server.url]
    done = await from_thread(lambda: subprocess.run(command, capture_output=True, text=True, timeout=30, check=False))
    assert (done.stdout, done.returncode) == ("7 still mine\n", 0), done.stderr


async def test_gymnasium_s_own_vector_environment_takes_it(server: RunningServer) -> None:
    def work() -> None:
        envs = SyncVectorEnv([lambda task=task: make(server, task=task) for task in ("a", "b")])  # type: ignore[misc]
        observations, _ = envs.reset(seed=1)
        assert observations == ({"prompt": "Say a."}, {"prompt": "Say b."})
        observations, rewards, *_ = envs.step([ECHO, {"type": "submit", "answer": "b"}])
        assert observations[0]["value"] == 1
        assert rewards.tolist() == [0.0, 1.0]
        envs.close()

    await from_thread(work)


def test_the_ids_are_registered_and_say_that_timings_differ() -> None:
    for name in ("envserver/Code-v0", "envserver/Episode-v0"):
        assert gymnasium.spec(name).nondeterministic
    assert gymnasium.spec("envserver/Code-v0").kwargs == {"environment": "code"}


def test_public_names_are_listed_and_exist() -> None:
    for name in envserver_sdk.gymnasium.__all__:
        assert getattr(envserver_sdk.gymnasium, name) is not None


def test_the_sdk_itself_needs_neither_gymnasium_nor_numpy() -> None:
    code = "import envserver_sdk, sys; print([m for m in ('gymnasium', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"


async def test_a_lost_world_is_an_exception_too(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def work() -> None:
        env = make(server, task="a")
        env.reset()
        runtime.available = False
        with pytest.raises(EpisodeLost):
            env.step({"type": "die"})
        runtime.available = True
        env.close()

    await from_thread(work)


GET = {"type": "get"}


def put(value: Any) -> dict[str, Any]:
    return {"type": "set", "value": value}


async def test_an_episode_is_saved_rolled_back_and_forked(server: RunningServer, runtime: ScriptedRuntime) -> None:
    def work() -> None:
        env = make(server, task="a", render_mode="ansi")
        with pytest.raises(ResetNeeded):
            env.unwrapped.checkpoint()  # type: ignore[attr-defined]
        env.reset(seed=7)
        inner = env.unwrapped
        assert isinstance(inner, EnvserverEnv)
        inner.step(put("saved"))
        checkpoint = inner.checkpoint(label="here")
        assert checkpoint.info.label == "here"
        inner.step(put("later"))
        one, two = inner.fork(2)
        assert one.render() == inner.render()
        one.step(put("other"))
        assert [each.step(GET)[0]["value"] for each in (one, two, inner)] == ["other", "later", "later"]
        inner.step({"type": "end"})
        observation, info = inner.restore(checkpoint)
        assert (observation["was"], info["generation"], info["task"]) == ("saved", 2, "a")
        assert inner.step(GET)[0]["value"] == "saved"
        env.close()
        assert two.step(GET)[0]["value"] == "later", "a fork has a connection of its own"
        assert two.reset(seed=1)[1]["generation"] == 1
        with Client(server.url) as client:
            client.checkpoint(checkpoint.checkpoint_id).delete()
        one.close()
        two.close()

    await from_thread(work)
    await until(lambda: not runtime.sandboxes)
    assert not runtime.stored


async def test_a_fork_whose_environment_cannot_be_made_leaves_no_episode(
    server: RunningServer, runtime: ScriptedRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        env = EnvserverEnv("scripted", url=server.url, task="a")
        env.reset()
        twins = [env._twin()]

        def twin() -> EnvserverEnv:
            if twins:
                return twins.pop()
            raise ConnectionFailed("gone")

        monkeypatch.setattr(env, "_twin", twin)
        with pytest.raises(ConnectionFailed):
            env.fork(3)
        with Client(server.url) as client:
            assert len(client.list().episodes) == 1
        env.close()

    await from_thread(work)
    assert not runtime.sandboxes


async def test_a_recovered_world_is_an_exception_and_the_next_step_goes_on(
    server: RunningServer, runtime: ScriptedRuntime
) -> None:
    def work() -> None:
        env = EnvserverEnv("scripted", url=server.url, task="a", recovery="restore")
        env.reset(seed=5)
        checkpoint = env.checkpoint()
        env.step(put(6))
        runtime.available = False
        with pytest.raises(EpisodeRecovered) as caught:
            env.step({"type": "die"})
        runtime.available = True
        assert isinstance(caught.value, EpisodeLost)
        assert caught.value.extra["info"]["recovery"]["checkpoint_id"] == checkpoint.checkpoint_id
        observation, *_, info = env.step(GET)
        assert (observation["value"], info["generation"], info["step_index"]) == (5, 2, 1)
        checkpoint.delete()
        env.close()

    await from_thread(work)
