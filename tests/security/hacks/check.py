"""What must hold of every hack, with sandboxes from anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from environments.code.humaneval import SOLUTION, HumanEval, problems
from environments.environment import Artifacts
from envserver.grading.base import Grade, SandboxFactory
from envserver.grading.worker import WorkerGrader
from envserver.runtimes.base import SandboxFileError, SandboxSpec
from tests.security.hacks.hacks import Hack, Problem
from tests.security.hacks.naive import NAIVE_GRADERS, NaiveGrader, place

NAIVE_SPEC = SandboxSpec(image="code", labels={"purpose": "naive grading"})


def canonical(problem: Problem) -> str:
    return f"{problem['prompt']}{problem['canonical_solution']}"


async def grade_all(solution: Callable[[Problem], str], make_sandbox: SandboxFactory) -> dict[str, Grade]:
    """Grades of all tasks, four at a time."""
    turns = asyncio.Semaphore(4)

    async def one(task_id: str) -> Grade:
        artifacts = Artifacts({SOLUTION: solution(problems()[task_id]).encode()})
        async with turns:
            return await WorkerGrader().grade(HumanEval().get(task_id), artifacts, make_sandbox)

    return dict(zip(problems(), await asyncio.gather(*map(one, problems())), strict=True))


async def reward(hack: Hack, task_id: str, make_sandbox: SandboxFactory) -> float:
    """What our grader pays."""
    solution = hack.files(problems()[task_id])["solution.py"]
    artifacts = Artifacts({SOLUTION: solution.encode()})
    return (await WorkerGrader().grade(HumanEval().get(task_id), artifacts, make_sandbox)).reward


async def naive_graders_that_pay(hack: Hack, task_id: str, make_sandbox: SandboxFactory) -> list[str]:
    return [grader.__name__ for grader in NAIVE_GRADERS if await _pays(grader, hack, task_id, make_sandbox)]


async def _pays(grader: NaiveGrader, hack: Hack, task_id: str, make_sandbox: SandboxFactory) -> bool:
    problem = problems()[task_id]
    sandbox = await make_sandbox(NAIVE_SPEC)
    try:
        await place(sandbox, problem, hack.files(problem))
        return await grader(sandbox, problem)
    except SandboxFileError:  # the report that it looks for was never written
        return False
    finally:
        await sandbox.destroy()


async def check_hack(hack: Hack, task_ids: Sequence[str], make_sandbox: SandboxFactory) -> None:
    rewards = [await reward(hack, task_id, make_sandbox) for task_id in task_ids]
    assert rewards == [0.0] * len(task_ids)
    for grader in NAIVE_GRADERS:
        if await _pays(grader, hack, task_ids[0], make_sandbox):
            return
    raise AssertionError("the hack is not real: no naive grader pays it")
