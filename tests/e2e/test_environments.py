"""Environments of one's own over real sandboxes: another image, other limits; the server runs in the test's loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import pytest_asyncio

from environments.code import CodeEnvironment
from environments.environment import Artifacts, Environment, EnvironmentSpec, StepContext, Transition
from environments.tasks import GraderSpec, Task, TaskSet
from envserver.config import ServerConfig
from envserver.runtimes.base import Command, Sandbox
from envserver.runtimes.crun import CrunRuntime
from envserver.server import RunningServer
from envserver_sdk import AsyncClient, AsyncEpisode
from envserver_sdk.errors import EpisodeEnded, InfraError
from envserver_sdk.models import EpisodeState
from tests.e2e.helpers import bash, eventually
from tests.unit.fixtures import unblocked_loop

__all__ = ["unblocked_loop"]  # nothing that the real runtime does may block the loop either

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("nothing_left")]

TASK = "HumanEval/0"


class OneTask(TaskSet):
    name, version = "one", "1"

    def task_ids(self, split: str = "all") -> Sequence[str]:
        return ["only"]

    def splits(self) -> Sequence[str]:
        return ["all"]

    def get(self, task_id: str) -> Task:
        return Task("only", "Look around.", GraderSpec("worker"))


class ShellEnvironment(Environment):
    """Any image that has a `sh`: each action is a command line."""

    spec: ClassVar[EnvironmentSpec] = EnvironmentSpec(
        "shell", "A shell and nothing else", "busybox", {"type": "string"}, {"type": "object"}
    )

    @classmethod
    def task_sets(cls) -> Mapping[str, TaskSet]:
        return {"one": OneTask()}

    async def reset(
        self, sandbox: Sandbox, task: Task, seed: int, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        self._sandbox = sandbox
        return {"prompt": task.prompt}, {}

    async def step(self, action: Any, context: StepContext) -> Transition:
        result = await self._sandbox.run(Command(["sh", "-c", str(action)]), timeout_s=context.timeout_s)
        return Transition({"stdout": result.stdout.text, "exit_code": result.exit_code})

    async def artifacts(self) -> Artifacts:
        return Artifacts({})


class AbsentImage(ShellEnvironment):
    spec = replace(ShellEnvironment.spec, name="absent", image="no-such-image")


class FewSteps(CodeEnvironment):
    spec = replace(CodeEnvironment.spec, name="few", max_steps=3)


class ShortLived(CodeEnvironment):
    spec = replace(CodeEnvironment.spec, name="short", episode_timeout_s=1.5)


Begin = Callable[[type[Environment]], Any]


@pytest_asyncio.fixture
async def begin(runtime: CrunRuntime) -> AsyncIterator[Begin]:
    """An episode of an environment, on a server that knows this one alone."""
    async with AsyncExitStack() as stack:

        async def make(environment: type[Environment]) -> AsyncEpisode:
            name = environment.spec.name
            server = RunningServer(ServerConfig(port=0), runtime, environments={name: environment})
            await stack.enter_async_context(server)
            client = await stack.enter_async_context(AsyncClient(server.url))
            return await stack.enter_async_context(client.create(name))

        yield make


async def test_an_image_with_nothing_but_busybox_is_an_episode(begin: Begin) -> None:
    episode = await begin(ShellEnvironment)
    step = await episode.step("command -v python3 bash; id -u; pwd; echo kept > note; ls /bin | wc -l")
    lines = step.observation["stdout"].splitlines()
    assert lines[:2] == ["1000", "/workspace"]
    assert int(lines[2]) > 50
    assert (await episode.step("cat note")).observation == {"stdout": "kept\n", "exit_code": 0}
    assert (await episode.step("exit 3")).observation["exit_code"] == 3


async def test_an_image_that_is_not_there_is_named_and_nothing_is_left(begin: Begin) -> None:
    with pytest.raises(InfraError, match="no-such-image"):
        await begin(AbsentImage)


async def test_the_last_step_of_an_episode_is_truncated(begin: Begin) -> None:
    episode = await begin(FewSteps)
    steps = [await episode.step(bash(f"echo {number}")) for number in range(3)]
    assert [(step.terminated, step.truncated) for step in steps] == [(False, False), (False, False), (False, True)]
    assert [step.outcome for step in steps] == ["ok"] * 3
    with pytest.raises(EpisodeEnded, match="max_steps"):
        await episode.step(bash("true"))
    assert (await episode.grade()).reward == 0.0


async def test_an_episode_past_its_time_ends_and_its_last_step_gets_no_more_than_what_is_left(begin: Begin) -> None:
    episode = await begin(ShortLived)
    step = await episode.step(bash("sleep 60"))
    assert (step.outcome, step.truncated, step.terminated) == ("policy_timeout", True, False)
    assert step.info.duration_ms < 10_000

    async def ended() -> bool:
        return (await episode.status()).state is EpisodeState.ENDED

    await eventually(ended)
    assert (await episode.status()).reason == "episode_timeout"
    with pytest.raises(EpisodeEnded, match="episode_timeout"):
        await episode.step(bash("true"))
