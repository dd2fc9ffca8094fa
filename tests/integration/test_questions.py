"""Questions in real sandboxes, by the environment itself: a task of each template whose tools work in one."""

from __future__ import annotations

import pytest

from environments.environment import JsonObject, StepContext
from environments.tools.environment import ToolsEnvironment
from environments.tools.tasks.questions import TEMPLATES
from envserver.grading.answer import judge
from envserver.runtimes.base import SandboxSpec
from envserver.runtimes.crun import CrunRuntime
from tests.unit.tools.tasks.gold import POLICIES
from tests.unit.tools.tasks.gold.desk import Desk

pytestmark = pytest.mark.node

ON_THE_SERVER = {"search", "calculator"}
STEP = StepContext(timeout_s=20.0)


def _in_a_sandbox() -> list[str]:
    made = {name: template.task(template.keys()[0]) for name, template in TEMPLATES.items()}
    return [name for name, task in made.items() if not ON_THE_SERVER.issuperset(task.public["tools"])]


@pytest.mark.parametrize("name", _in_a_sandbox())
async def test_the_image_has_what_the_tools_need(runtime: CrunRuntime, name: str) -> None:
    template = TEMPLATES[name]
    task = template.task(template.keys()[-1])
    sandbox, environment = await runtime.create(SandboxSpec(image="tools")), ToolsEnvironment()

    async def call(tool: str, arguments: JsonObject) -> JsonObject:
        action = {"type": "call", "name": tool, "arguments": arguments}
        return (await environment.step(action, STEP)).observation

    try:
        await environment.reset(sandbox, task, 0, {})
        answer = await POLICIES[name](Desk(task.prompt, call))
        assert (await environment.step({"type": "answer", "text": answer}, STEP)).submitted
        facts = (await environment.artifacts()).facts
    finally:
        await sandbox.destroy()
    grade = judge(task.grader.data, answer, facts)
    assert grade.reward == 1.0, (answer, grade)
