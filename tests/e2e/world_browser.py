"""Runs solutions of the world's tasks in the real browser, through the SDK, by the actions that a policy takes."""

from __future__ import annotations

from environments.browser.obstacles.rewriting import WORDINGS
from environments.browser.world.gold.acting import Acting
from environments.browser.world.gold.careful import careful
from environments.browser.world.gold.solutions import SOLUTIONS
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks import World
from envserver_sdk import AsyncClient
from envserver_sdk.models import Outcome, StepResult

OPTIONS = {"observe": ["text", "html"], "max_chars": 400_000, "action_timeout_s": 15}
"""Solutions read whole pages, and do not mind a machine that is slow."""
LOOK = {"type": "wait", "time_s": 0}
MAX_STEPS = 400
ENDS = ("answer", "infeasible")


def solution_of(task_id: str, seed: int) -> Acting:
    """What it knows is what the prompt says, and how things are called where their wording is an obstacle."""
    task = World().get(task_id)
    told = WorldPlay(task, seed).errand.told
    steps = SOLUTIONS[task_id.partition("/")[0]](told)
    obstacles = task.public.get("obstacles", {})
    if not obstacles:
        return Acting(steps)
    wording = WORDINGS[obstacles["wording"]["variant"]] if "wording" in obstacles else {}
    return Acting(careful(steps, told), {shown: name for name, shown in wording.items()})


async def solve(client: AsyncClient, task_id: str, seed: int) -> StepResult:
    """The last step of an episode that is played as the task's solution says.

    An error ends it: no solution acts where something else is in the way, so an action that did not work was lost.
    Raises: LookupError.
    """
    acting = solution_of(task_id, seed)
    async with client.create("browser", task_set="world", task=task_id, seed=seed, options=OPTIONS) as episode:
        action = acting.begin(episode.observation)
        for _ in range(MAX_STEPS):
            result = await episode.step(action)
            if action["type"] in ENDS:
                return result
            if result.outcome is not Outcome.OK:
                raise LookupError(f"{action} came to {result.outcome}: {result.observation}")
            # Once more, as whoever is told that the page was still loading would.
            action = LOOK if result.observation.get("loading") else acting.go_on(result.observation)
    raise LookupError(f"{task_id} comes to no end")


async def end_at_once(client: AsyncClient, task_id: str, kind: str) -> float:
    """What it is worth to do nothing, and to say that it is done, or that it cannot be."""
    members = {"answer": {"text": ""}, "infeasible": {"reason": "It cannot be done."}}[kind]
    async with client.create("browser", task_set="world", task=task_id, seed=1) as episode:
        result = await episode.step({"type": kind, **members})
        assert result.terminated
        return result.reward
