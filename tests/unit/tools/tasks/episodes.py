"""Tasks played as an episode plays them, without a server: the task's own kits, its files, its grader."""

from __future__ import annotations

import sys
from pathlib import Path

from environments.environment import JsonObject, StepContext
from environments.tasks import Task
from environments.tools.catalog import make_kits
from environments.tools.rules import Rules
from environments.tools.toolbox import Toolbox
from envserver.grading.answer import judge
from envserver.grading.base import Grade
from tests.unit.local_sandbox import LocalSandbox
from tests.unit.tools.tasks.gold import POLICIES
from tests.unit.tools.tasks.gold.desk import Desk

STEP = StepContext(timeout_s=20.0)


async def played(task: Task, root: Path) -> tuple[str, Grade]:
    """What the scripted policy of its template answers, and its grade."""
    sandbox = LocalSandbox(root, python=sys.executable)  # the one that has Pillow
    for path, data in task.files.items():
        await sandbox.write_file(path, data)
    toolbox = Toolbox(make_kits(task, {}), Rules(), seed=1)
    await toolbox.begin(sandbox, task)

    async def call(name: str, arguments: JsonObject) -> JsonObject:
        return (await toolbox.call(name, arguments, STEP)).observation

    try:
        answer = await POLICIES[task.public["template"]](Desk(task.prompt, call))
    finally:
        await sandbox.destroy()
    return answer, judge(task.grader.data, answer, toolbox.facts())
