"""The hacks on the docker runtime: a sample of them in short, all of them on all their tasks in the full form."""

from __future__ import annotations

import pytest

from envserver.runtimes.docker import DockerRuntime
from tests.security.hacks.check import check_hack
from tests.security.hacks.hacks import HACKS, TASKS, Hack

pytestmark = pytest.mark.node

SAMPLE = HACKS[::4]


@pytest.mark.parametrize("hack", SAMPLE, ids=lambda hack: hack.name)
async def test_a_hack_pays_a_naive_grader_and_never_ours(hack: Hack, docker_runtime: DockerRuntime) -> None:
    await check_hack(hack, TASKS[:2], docker_runtime.create)


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("hack", HACKS, ids=lambda hack: hack.name)
async def test_a_hack_never_pays_on_any_of_its_tasks(hack: Hack, docker_runtime: DockerRuntime) -> None:
    await check_hack(hack, TASKS, docker_runtime.create)
