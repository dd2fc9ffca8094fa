"""The tau2 task sets in solo mode."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import tau2
from environments.environment import Artifacts
from environments.tools.worlds import session
from environments.tools.worlds.kit import WorldKit
from environments.tools.worlds.session import WorldSession, WorldSpec
from environments.tools.worlds.tau2 import data
from environments.tools.worlds.tau2.solo import Solo
from environments.tools.worlds.tau2.tools import tools
from envserver.grading.registry import get_grader
from tests.unit.local_sandbox import LocalSandbox
from tests.unit.tools.worlds.conftest import caller

ROAMING = "[mobile_data_issue]user_abroad_roaming_enabled_off[PERSONA:None]"


@pytest.fixture
def _this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "PATHS", (str(data.folder().parent),))


@pytest.mark.timeout(300)
def test_references_are_paid_and_doing_nothing_is_not() -> None:
    mock, telecom = tau2.run(["mock", "telecom"], every=150)
    assert (mock.loaded, telecom.loaded) == (1, 16)
    assert tau2.holds([mock, telecom])


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_every_reference_is_paid() -> None:
    assert tau2.holds(tau2.run(["mock", "telecom"], every=1))


def test_what_cannot_be_done_alone_is_no_task_and_told_with_its_reason() -> None:
    tasks = Solo("mock")
    assert len(tasks.task_ids()) == 5
    assert set(tasks.broken().values()) == {
        "it has no ticket",
        "it has no reference: only language would judge it",
        "something has to be said, and nobody listens in solo mode",
    }
    assert Solo("telecom").broken() == {}


def test_splits_are_those_of_the_data() -> None:
    tasks = Solo("telecom")
    assert {name: len(tasks.task_ids(name)) for name in tasks.splits()} == {
        "all": 2285,
        "small": 20,
        "train": 74,
        "test": 40,
        "full": 2285,
        "base": 114,
    }


def test_tools_are_described_from_their_source() -> None:
    described = {tool["name"]: tool for tool in tools("telecom")}
    assert len(described) == 43
    assert described["get_bills_for_customer"]["parameters"] == {
        "type": "object",
        "properties": {
            "customer_id": {"type": "string", "description": "ID of the customer."},
            "limit": {"type": "integer", "description": "Maximum number of bills to return."},
        },
        "required": ["customer_id"],
    }
    assert all(tool["description"] for tool in described.values())


@pytest.mark.usefixtures("_this_python")
@pytest.mark.parametrize(
    ("done", "reward"), [(("toggle_roaming",), 1.0), (("toggle_roaming", "toggle_data"), 0.0), ((), 0.0)]
)
async def test_an_episode_is_paid_by_its_assertions(
    sandbox: LocalSandbox, make_sandbox: Any, done: tuple[str, ...], reward: float
) -> None:
    task = Solo("telecom").get(ROAMING)
    kit = WorldKit()
    await kit.begin(sandbox, task, 0)
    call = caller(kit, sandbox)
    assert not (await call("refuel_data", customer_id="C1001", line_id="L1002", gb_amount=1.0)).error
    for tool in done:
        await call(tool)
    facts = {"kits": {"world": kit.facts()}, "said": ["Done."]}
    grade = await get_grader("world").grade(task, Artifacts({}, facts=facts), make_sandbox)
    assert grade.components == {"assertions": reward}


@pytest.mark.usefixtures("_this_python")
async def test_what_the_simulator_draws_by_chance_is_the_same_again(sandbox: LocalSandbox) -> None:
    spec = WorldSpec.of(Solo("telecom").get(ROAMING).hidden["world"])
    charge = {"customer_id": "C1002", "amount": 5.0, "description": "Refuel"}
    world, digests = WorldSession(sandbox), []
    await world.open(spec)
    for _ in range(2):
        await world.begin(spec)
        digests.append((await world.call("agent._apply_one_time_charge", charge, timeout_s=20.0)).digests)
    assert "agent.bills" in digests[0]
    assert digests[0] == digests[1]


@pytest.mark.usefixtures("_this_python")
async def test_what_only_a_grader_may_call_is_no_tool(sandbox: LocalSandbox) -> None:
    kit = WorldKit()
    await kit.begin(sandbox, Solo("telecom").get(ROAMING), 0)
    assert not any("." in name or name.startswith("assert") for name in kit.tools)
