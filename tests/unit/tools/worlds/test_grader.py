"""The grader of worlds: replays the reference, and pays for what was reached."""

from __future__ import annotations

from typing import Any

import pytest

from environments.environment import Artifacts
from environments.tools.worlds.kit import WorldKit
from envserver.grading.base import Grade, GradingError
from envserver.grading.registry import get_grader
from tests.unit.local_sandbox import LocalSandbox
from tests.unit.tools.worlds.conftest import ROOT, Call, file_task

MOVE = {"tool": "mv", "arguments": {"source": "a.txt", "destination": "docs"}}
LOOK = {"tool": "ls", "arguments": {}}


@pytest.fixture
def grade(kit: WorldKit, make_sandbox: Any) -> Any:
    async def judge(said: str = "Done.", **grader: Any) -> Grade:
        facts = {"kits": {"world": kit.facts()}, "said": [said]}
        task = file_task(turns=[[LOOK, MOVE]], **grader)
        return await get_grader("world").grade(task, Artifacts({}, facts=facts), make_sandbox)

    return judge


async def test_the_references_own_way_is_paid(call: Call, grade: Any) -> None:
    await call("ls")
    await call("mv", source="a.txt", destination="docs")
    assert (await grade(checked="turns", results=True)).components == {"state": 1.0, "results": 1.0}


async def test_another_way_to_the_same_state_is_paid(kit: WorldKit, call: Call, grade: Any) -> None:
    await call("cp", source="a.txt", destination="docs")
    kit.begin_turn(2)
    await call("rm", file_name="a.txt")
    assert (await grade()).reward == 1.0


async def test_another_state_is_not_paid_and_the_report_tells_no_value(call: Call, grade: Any) -> None:
    await call("cp", source="a.txt", destination="docs")
    judged = await grade()
    assert judged.components == {"state": 0.0}
    assert judged.report == {"problems": [f"state: turn 1: {ROOT} is not as it should be"], "calls": 1}


async def test_what_had_to_be_found_out_counts_where_the_task_says_so(call: Call, grade: Any) -> None:
    await call("mv", source="a.txt", destination="docs")
    assert (await grade()).reward == 1.0
    judged = await grade(results=True)
    assert judged.components == {"state": 1.0, "results": 0.0}
    assert judged.report["problems"] == ["results: turn 1: 1 of 2 results had not been obtained"]


async def test_a_world_that_was_lost_is_not_paid(sandbox: LocalSandbox, call: Call, grade: Any) -> None:
    await call("mv", source="a.txt", destination="docs")
    await sandbox.end("world")
    await call("ls")
    judged = await grade()
    assert (judged.reward, judged.components["world"]) == (0.0, 0.0)


async def test_an_assertion_is_made_in_the_state_that_the_policy_reached(call: Call, grade: Any) -> None:
    await call("cd", folder="docs")
    await call("touch", file_name="b.txt")
    here = {"tool": "ls", "arguments": {}, "text": '{"current_directory_content": ["b.txt"]}'}
    assert (await grade(checked="never", assertions=[here])).components == {"assertions": 1.0}
    elsewhere = {**here, "text": '{"current_directory_content": []}'}
    assert (await grade(checked="never", assertions=[here, elsewhere])).components == {"assertions": 0.0}


async def test_a_replay_that_comes_to_another_state_is_no_verdict(kit: WorldKit, call: Call, grade: Any) -> None:
    await call("touch", file_name="b.txt")
    kit.facts()["turns"]  # what is taken down is a copy; forge it below
    record = kit.snapshot()
    record["turns"][0]["digests"][ROOT] = "0" * 32
    with pytest.MonkeyPatch.context() as patch, pytest.raises(GradingError, match="came to another state"):
        patch.setattr(kit, "facts", lambda: record)
        await grade(checked="never", assertions=[{**LOOK, "text": ""}])


async def test_a_world_that_begins_otherwise_is_no_verdict(kit: WorldKit, grade: Any) -> None:
    record = kit.snapshot()
    record["beginning"][ROOT] = "0" * 32
    with pytest.MonkeyPatch.context() as patch, pytest.raises(GradingError, match="did not begin"):
        patch.setattr(kit, "facts", lambda: record)
        await grade()


async def test_an_episode_without_a_world_is_no_verdict_unless_the_policy_ended_it(make_sandbox: Any) -> None:
    grader = get_grader("world")
    with pytest.raises(GradingError, match="has no world"):
        await grader.grade(file_task(), Artifacts({}), make_sandbox)
    ended = Artifacts({}, problems=("the policy ended its sandbox",))
    assert (await grader.grade(file_task(), ended, make_sandbox)).reward == 0.0
