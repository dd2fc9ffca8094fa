"""The GRPO example: what it masks, what it learns from, and by how much. The world is scripted, the endpoint a stub."""

from __future__ import annotations

import argparse
import math
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, ClassVar

import httpx
import pytest

from environments.environment import EnvironmentSpec, JsonObject, StepContext, Transition
from environments.tasks import TaskSet
from envserver.server import RunningServer
from envserver_sdk import AsyncClient, Timeouts
from envserver_sdk.models import Outcome
from examples import grpo
from tests.chat_stub import ChatStub, Messages, chat_stub
from tests.unit.episodes.helpers import until
from tests.unit.fixtures import make_config
from tests.unit.scripted import Gates, ScriptedEnvironment, ScriptedGrader, ScriptedRuntime, ScriptedTasks


class Letters(ScriptedTasks):
    name = "humaneval"


class CodeLike(ScriptedEnvironment):
    """The scripted world under the code environment's name: a solution is right when it is the task's letter."""

    spec: ClassVar[EnvironmentSpec] = EnvironmentSpec(
        name="code",
        description="For tests.",
        image="scripted",
        action_schema={"type": "object"},
        observation_schema={"type": "object"},
        step_timeout_s=10.0,
        max_step_timeout_s=60.0,
        episode_timeout_s=600.0,
        max_steps=9,
    )
    _sets: ClassVar[Mapping[str, TaskSet]] = {"humaneval": Letters()}

    async def do_write_file(self, action: JsonObject, context: StepContext) -> Transition:
        assert action["path"] == "solution.py"
        self.sandbox.files["/workspace/answer"] = action["content"].strip().encode()
        return Transition({"path": action["path"]})

    async def do_run(self, action: JsonObject, context: StepContext) -> Transition:
        match action["code"].strip():
            case "broken":
                return Transition({"exit_code": 1, "stderr": "SyntaxError: " + "x" * 5000})
            case "fail":
                return await self.do_fail(action, context)
            case "escape":
                return Transition({"exit_code": 0}, outcome=Outcome.ESCAPE_ATTEMPT)
        return Transition({"exit_code": 0, "stdout": ""})


@pytest.fixture
async def make_code_server(
    runtime: ScriptedRuntime, grader: ScriptedGrader, gates: Gates
) -> AsyncIterator[Callable[..., Any]]:
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> RunningServer:
            config = make_config(**changes)
            server = RunningServer(config, runtime, environments={"code": CodeLike}, graders=grader.get)
            return await stack.enter_async_context(server)

        yield make


@pytest.fixture
async def code_server(make_code_server: Callable[..., Any]) -> RunningServer:
    running: RunningServer = await make_code_server()
    return running


def arguments(**changes: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"group": 4, "turns": 2, "step_timeout_s": 5.0, "deadline_s": 30.0, **changes})


def fenced(code: str) -> str:
    return f"Here it is:\n```python\n{code}\n```\nDone."


@asynccontextmanager
async def playing(
    server: RunningServer, answer: Callable[[Messages], str | int], **timeouts: float
) -> AsyncIterator[tuple[AsyncClient, grpo.Policy, ChatStub]]:
    with chat_stub(answer) as stub:
        async with (
            AsyncClient(server.url, timeouts=Timeouts(**timeouts)) as client,
            httpx.AsyncClient(base_url=stub.url + "/", timeout=30) as endpoint,
        ):
            yield client, grpo.Policy(endpoint, grpo.Sampling("m", backoff_s=0.01)), stub


def conversations(*scripts: list[str | int]) -> Callable[[Messages], str | int]:
    """Each rollout gets a script of its own, told apart by its first reply; the last entry is said for ever."""
    fresh, begun, lock = iter(scripts), {}, threading.Lock()

    def answer(messages: Messages) -> str | int:
        with lock:
            if len(messages) == 2:
                script = next(fresh)
                begun[script[0]] = script[1:]
                return script[0]
            rest = begun[messages[2]["content"]]
            return rest.pop(0) if len(rest) > 1 else rest[0]

    return answer


async def test_advantages_are_taken_over_the_trainable_samples_alone(
    code_server: RunningServer, runtime: ScriptedRuntime
) -> None:
    released = threading.Event()
    script = conversations(
        [fenced("a")],
        [fenced("b")],
        ["no block", fenced("a")],
        ["no block at all", "still none"],
        [fenced("broken") + "1", fenced("a")],
        ["unlucky", 503, fenced("a")],
        ["no endpoint", 500],
        [fenced("fail")],
        [fenced("escape")],
        ["straggler", "never said"],
    )

    def answer(messages: Messages) -> str | int:
        if len(messages) > 2 and messages[2]["content"] == "straggler":
            released.wait()
        return script(messages)

    try:
        async with playing(code_server, answer) as (client, policy, _):
            playing_group = grpo.play_group(client, policy, "a", arguments(group=10, deadline_s=3.0))
            samples = {sample.messages[2]["content"]: sample for sample in await playing_group}
            await until(lambda: not runtime.sandboxes)  # the straggler's episode is closed too
            released.set()
    finally:
        released.set()
    rewards = {said: sample.reward for said, sample in samples.items() if sample.reward is not None}
    assert rewards == {
        fenced("a"): 1.0, fenced("b"): 0.0, "no block": 1.0, "no block at all": 0.0, fenced("broken") + "1": 1.0,
        "unlucky": 1.0, fenced("escape"): 0.0,
    }  # fmt: skip
    deviation = math.sqrt(12) / 7  # of four ones and three noughts
    for said, reward in rewards.items():
        assert samples[said].advantage == pytest.approx((reward - 4 / 7) / (deviation + 1e-6), abs=1e-12)
    masked = {said: sample for said, sample in samples.items() if said not in rewards}
    assert all(samples[said].mask == 1 for said in rewards)
    assert all((sample.mask, sample.advantage) == (0, 0.0) for sample in masked.values())
    assert {said: str(sample.reason).split(":")[0] for said, sample in masked.items()} == {
        "no endpoint": "EndpointError",
        fenced("fail"): "UntrainableError",
        "straggler": "deadline",
    }


async def test_what_went_wrong_is_shown_to_the_policy_and_cut(code_server: RunningServer) -> None:
    script = conversations([fenced("broken"), fenced("a")])
    async with playing(code_server, script) as (client, policy, stub):
        (sample,) = await grpo.play_group(client, policy, "a", arguments(group=1))
    assert [message["role"] for message in sample.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert sample.messages[1]["content"] == "Say a."
    complaint = sample.messages[3]["content"]
    assert complaint.endswith("x" * 100)
    assert len(complaint) < 2100
    assert sample.outcomes == ["ok"] * 5
    assert stub.requests[0]["path"] == "/v1/chat/completions"
    assert (stub.requests[0]["model"], stub.requests[0]["temperature"]) == ("m", 1.0)


async def test_the_last_turn_is_submitted_whatever_it_is(code_server: RunningServer) -> None:
    async with playing(code_server, conversations([fenced("broken")])) as (client, policy, _):
        (sample,) = await grpo.play_group(client, policy, "a", arguments(group=1, turns=1))
    assert (sample.reward, sample.mask, sample.advantage) == (0.0, 1, 0.0)


async def test_a_full_node_masks_and_does_not_pay_nothing(make_code_server: Callable[..., Any]) -> None:
    server = await make_code_server(max_episodes=3, queue_length=0)
    always = playing(server, lambda _: fenced("a"), create_s=0.2)
    async with always as (client, policy, stub), client.create("code"):
        samples = await grpo.play_group(client, policy, "a", arguments(group=3))
    assert [(sample.reward, sample.mask, sample.advantage) for sample in samples] == [(None, 0, 0.0)] * 3
    assert all("Overloaded" in str(sample.reason) for sample in samples)
    assert stub.requests == []


@pytest.mark.parametrize(("status", "asked"), [(503, 3), (400, 1)])
async def test_the_endpoint_is_asked_a_bounded_number_of_times(
    code_server: RunningServer, status: int, asked: int
) -> None:
    async with playing(code_server, lambda _: status) as (_, policy, stub):
        with pytest.raises(grpo.EndpointError, match=str(status)):
            await policy.answer([{"role": "user", "content": "x"}])
    assert len(stub.requests) == asked


async def test_a_defect_of_the_program_is_not_masked(code_server: RunningServer) -> None:
    class Broken(grpo.Policy):
        async def answer(self, messages: object) -> str:
            raise ZeroDivisionError

    async with playing(code_server, lambda _: "x") as (client, policy, _):
        with pytest.raises(ZeroDivisionError):
            await grpo.play_group(client, Broken(policy._endpoint, policy._sampling), "a", arguments())


@pytest.mark.parametrize("rewards", [[1.0, 1.0], [None, None], [None, 0.5]])
def test_a_group_without_a_difference_has_no_advantage(rewards: list[float | None]) -> None:
    samples = [grpo.Sample("a", reward=reward, mask=int(reward is not None)) for reward in rewards]
    grpo.set_advantages(samples)
    assert [sample.advantage for sample in samples] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("first\n```py\na\n```\nbetter:\n```\nb\n```", "b\n"),
        ("```python\nopen", None),
        ("none", None),
        ("```python\n```", ""),
    ],
)
def test_the_last_fenced_block_is_the_answer(reply: str, code: str | None) -> None:
    assert grpo.parse_code(reply) == code
