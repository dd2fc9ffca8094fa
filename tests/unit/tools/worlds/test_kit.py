"""The kit of a world: calls reach the simulator, and what it came to is taken down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from environments.tasks import GraderSpec, Task
from environments.tools.tool import ArgumentsError
from environments.tools.worlds.kit import MAX_ARGUMENTS_BYTES, WorldKit
from envserver_sdk.models import Outcome
from tests.unit.local_sandbox import LocalSandbox
from tests.unit.tools.worlds.conftest import ROOT, WORLD, Call, caller, file_task


def turns(kit: WorldKit) -> Any:
    return kit.facts()["turns"]


async def test_a_call_says_what_the_simulator_says(call: Call) -> None:
    assert json.loads((await call("ls")).text) == {"current_directory_content": ["a.txt", "docs"]}
    assert json.loads((await call("cat", file_name="a.txt")).text) == {"file_content": "one\ntwo"}


async def test_what_the_simulator_refuses_is_an_error_and_not_a_fault(call: Call) -> None:
    result = await call("cat", file_name="b.txt")
    assert result.error
    assert result.outcome is Outcome.OK
    assert "No such file" in result.text


async def test_state_is_taken_down_by_the_parts_that_change(kit: WorldKit, call: Call) -> None:
    await call("ls")
    await call("touch", file_name="b.txt")
    kit.begin_turn(2)
    await call("touch", file_name="c.txt")
    first, second = turns(kit)
    assert [each["changed"] for each in first["calls"]] == [[], [ROOT]]
    assert list(first["digests"]) == [ROOT]
    assert second["digests"] != first["digests"]
    assert set(kit.facts()["beginning"]) == {ROOT, "GorillaFileSystem.long_context"}


async def test_another_way_to_a_state_has_the_same_digests(kit: WorldKit, call: Call, tmp_path: Path) -> None:
    await call("mv", source="a.txt", destination="docs")
    other_sandbox = LocalSandbox(tmp_path / "other")
    other = WorldKit()
    await other.begin(other_sandbox, file_task(), 0)
    there = caller(other, other_sandbox)
    await there("cp", source="a.txt", destination="docs")
    other.begin_turn(2)
    await there("rm", file_name="a.txt")
    assert turns(other)[-1]["digests"] == turns(kit)[-1]["digests"]
    await other_sandbox.destroy()


async def test_a_tool_that_is_withheld_comes_with_its_turn(kit: WorldKit) -> None:
    assert "rm" not in kit.tools
    kit.begin_turn(2)
    assert "rm" in kit.tools


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "'file_name' is missing"),
        ({"file_name": 3}, "'file_name' is 3, must be a string"),
        ({"file_name": "a.txt", "path": "/"}, "there is no argument 'path'; there are 'file_name'"),
        ({"file_name": "x" * MAX_ARGUMENTS_BYTES}, f"at most {MAX_ARGUMENTS_BYTES} are taken"),
    ],
)
async def test_arguments_that_do_not_fit_run_nothing(
    kit: WorldKit, call: Call, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ArgumentsError, match="cat: ") as refused:
        await call("cat", **arguments)
    assert said in str(refused.value)
    assert turns(kit)[0]["calls"] == []


async def test_a_call_that_takes_too_long_is_interrupted_and_the_world_lives_on(
    kit: WorldKit, sandbox: LocalSandbox
) -> None:
    slow = caller(kit, sandbox, timeout_s=0.5)
    result = await slow("logarithm", value=10.0, base=3.0, precision=3_000_000)
    assert result.outcome is Outcome.POLICY_TIMEOUT
    assert result.error
    assert not (await caller(kit, sandbox)("ls")).error
    assert not kit.facts()["lost"]


async def test_a_world_that_ends_says_so_for_ever(kit: WorldKit, sandbox: LocalSandbox, call: Call) -> None:
    await call("touch", file_name="b.txt")
    await sandbox.end("world")
    assert (await call("ls")).outcome is Outcome.POLICY_KILLED
    assert "nothing can be called any more" in (await call("ls")).text
    assert kit.facts()["lost"]


async def test_another_server_goes_on_from_a_snapshot(kit: WorldKit, sandbox: LocalSandbox, call: Call) -> None:
    await call("mkdir", dir_name="new")
    state = json.loads(json.dumps(kit.snapshot()))
    restored = WorldKit()
    restored.restore(sandbox, file_task(), state)
    assert restored.snapshot() == state
    assert "new" in (await caller(restored, sandbox)("ls")).text


async def test_a_step_that_is_gone_through_again_changes_the_world_once(sandbox: LocalSandbox, kit: WorldKit) -> None:
    state, series = kit.snapshot(), sandbox.reserve_series()
    seen = []
    for _ in range(2):
        server = LocalSandbox(sandbox.root, guest=sandbox.guest)
        again = WorldKit()
        again.restore(server, file_task(), state)
        with server.series(series):
            seen.append((await caller(again, server)("mkdir", dir_name="once"), again.snapshot()))
    assert seen[0] == seen[1]
    assert not seen[0][0].error  # run twice, the second would say that it exists


async def test_a_task_without_a_world_is_refused(sandbox: LocalSandbox) -> None:
    with pytest.raises(ValueError, match="has no world"):
        await WorldKit().begin(sandbox, Task("t", "", GraderSpec("world")), 0)


async def test_a_world_that_does_not_begin_is_refused(sandbox: LocalSandbox) -> None:
    spec = {**WORLD["spec"], "classes": ["Nowhere"]}
    task = Task("t", "", GraderSpec("world"), hidden={"world": {"program": "bfcl", "spec": spec, "tools": []}})
    with pytest.raises(ValueError, match="does not begin: KeyError: 'Nowhere'"):
        await WorldKit().begin(sandbox, task, 0)


async def test_snapshots_stay_small(kit: WorldKit, call: Call) -> None:
    for number in range(20):
        await call("touch", file_name=f"{number}.txt")
    assert len(json.dumps(kit.snapshot())) < 8000
