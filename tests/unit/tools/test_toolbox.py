"""Calls are found, numbered, limited and shown by rules that a step which is gone through again meets again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from environments.environment import JsonObject, StepContext
from environments.tasks import GraderSpec, Task
from environments.tools.kit import Kit
from environments.tools.pages import path_of
from environments.tools.rules import Rules, parse_rules
from environments.tools.tool import ToolContext, ToolError, ToolResult, tool
from environments.tools.toolbox import CallError, Toolbox
from envserver_sdk.models import Outcome
from tests.unit.local_sandbox import LocalSandbox

TASK = Task("t", "Do it.", GraderSpec("answer"))
NO_RULES = Rules()
STEP = StepContext(timeout_s=0.2)


class Lamps(Kit):
    """Some state, some results."""

    name = "lamps"

    def __init__(self) -> None:
        super().__init__()
        self.lit: list[str] = []

    @tool
    async def light(self, context: ToolContext, lamp: str) -> ToolResult:
        """Light a lamp.

        Args:
            lamp: Its name.
        """
        if lamp == "broken":
            raise ToolError("that lamp is broken")
        self.lit.append(lamp)
        return ToolResult(" ".join(self.lit), seen=(f"lamp:{lamp}",), pictures=(b"\x89PNG",))

    @tool
    async def manual(self, context: ToolContext, words: int) -> str:
        """Read the manual.

        Args:
            words: How many.
        """
        return "".join(f"{number:04} " for number in range(words))

    def snapshot(self) -> JsonObject:
        return {"lit": list(self.lit)}

    def restore(self, sandbox: Any, task: Task, state: JsonObject) -> None:
        self.lit = list(state["lit"])


async def _toolbox(root: Path, rules: Rules = NO_RULES, seed: int = 1) -> Toolbox:
    toolbox = Toolbox([Lamps()], rules, seed)
    await toolbox.begin(LocalSandbox(root), TASK)
    return toolbox


async def called(toolbox: Toolbox, name: str, arguments: JsonObject, step: StepContext) -> tuple[JsonObject, Outcome]:
    done = await toolbox.call(name, arguments, step)
    return done.observation, done.outcome


async def test_a_call_is_numbered_shown_and_noted(tmp_path: Path) -> None:
    toolbox = await _toolbox(tmp_path)
    observation, outcome = await called(toolbox, "light", {"lamp": "a"}, STEP)
    assert observation == {
        "number": 1, "tool": "light", "content": "a", "images": [{"format": "png", "data": "iVBORw=="}],
    }  # fmt: skip
    assert outcome is Outcome.OK
    observation, _ = await called(toolbox, "light", {"lamp": "broken"}, STEP)
    assert observation == {"number": 2, "tool": "light", "content": "Error: that lamp is broken", "error": True}
    calls = toolbox.facts()["calls"]
    assert [(call["number"], call["tool"], call["error"], list(call["seen"])) for call in calls] == [
        (1, "light", False, ["lamp:a"]),
        (2, "light", True, []),
    ]
    assert calls[0]["digest"] != calls[1]["digest"]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("lihgt", {"lamp": "a"}, "there is no tool 'lihgt'; did you mean light?"),
        ("x" * 999, {}, "the tools are light, manual"),
        (None, {}, "there is no tool NoneType"),
        ("light", ["a"], "the arguments of light must be an object, not list"),
        ("light", {}, "light: the argument 'lamp' is missing: Its name."),
    ],
)
async def test_what_is_no_call_runs_nothing_and_takes_no_number(
    tmp_path: Path, name: Any, arguments: Any, message: str
) -> None:
    toolbox = await _toolbox(tmp_path)
    with pytest.raises(CallError) as caught:
        await toolbox.call(name, arguments, STEP)
    assert message in str(caught.value)
    assert toolbox.record.next_number == 1


async def test_budgets_stop_calls_by_tool_and_in_all(tmp_path: Path) -> None:
    toolbox = await _toolbox(tmp_path, Rules(budgets={"light": 1, "*": 3}))
    await toolbox.call("light", {"lamp": "a"}, STEP)
    refused, outcome = await called(toolbox, "light", {"lamp": "b"}, STEP)
    assert refused["refused"] == "budget"
    assert "all 1 calls of light are used up" in refused["content"]
    assert outcome is Outcome.OK
    shown, _ = await called(toolbox, "manual", {"words": 1}, STEP)
    assert shown["content"] == "0000 "
    refused, _ = await called(toolbox, "manual", {"words": 1}, STEP)
    assert "give your answer" in refused["content"]


async def test_failures_and_latency_are_the_seeds(tmp_path: Path) -> None:
    async def luck(seed: int) -> list[bool]:
        toolbox = await _toolbox(tmp_path, Rules(failure_rate=0.5), seed)
        return [bool((await called(toolbox, "light", {"lamp": "a"}, STEP))[0].get("error")) for _ in range(40)]

    first = await luck(1)
    assert first == await luck(1)
    assert first != await luck(2)
    assert 8 < sum(first) < 32


async def test_a_failed_call_did_nothing(tmp_path: Path) -> None:
    toolbox = await _toolbox(tmp_path, Rules(failure_rate=1.0))
    shown, _ = await called(toolbox, "light", {"lamp": "a"}, STEP)
    assert "nothing was done" in shown["content"]
    assert toolbox.snapshot()["kits"]["lamps"] == {"lit": []}


async def test_latency_past_the_steps_time_is_a_time_out(tmp_path: Path) -> None:
    toolbox = await _toolbox(tmp_path, Rules(latency_s=(30.0, 30.0)))
    shown, outcome = await called(toolbox, "light", {"lamp": "a"}, STEP)
    assert outcome is Outcome.POLICY_TIMEOUT
    assert shown["error"] is True
    assert toolbox.snapshot()["kits"]["lamps"] == {"lit": []}


async def test_a_long_result_is_read_page_by_page_also_by_the_policys_programs(tmp_path: Path) -> None:
    toolbox = await _toolbox(tmp_path, Rules(page_chars=200))
    assert "read_result" not in toolbox.tools
    shown, _ = await called(toolbox, "manual", {"words": 100}, STEP)
    assert (shown["page"], shown["pages"]) == (1, 3)
    text = shown["content"][:200]
    assert "read_result(number=1, page=2)" in shown["content"]
    for page in (2, 3):
        shown, _ = await called(toolbox, "read_result", {"number": 1, "page": page}, STEP)
        assert (shown["page"], shown["pages"]) == (page, 3)
        text += shown["content"]
    assert text == "".join(f"{number:04} " for number in range(100))
    assert (tmp_path / path_of(1).lstrip("/")).read_text() == text
    for arguments, message in (({"number": 1, "page": 4}, "there is no page 4"), ({"number": 2, "page": 1}, "no more")):
        shown, _ = await called(toolbox, "read_result", arguments, STEP)
        assert message in shown["content"]


async def test_a_result_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    toolbox = await _toolbox(tmp_path, Rules(page_chars=200))
    (tmp_path / "workspace").mkdir(exist_ok=True)
    (tmp_path / "workspace/.results").write_text("in the way")
    shown, _ = await called(toolbox, "manual", {"words": 100}, STEP)
    assert "300 more characters: not kept" in shown["content"]
    assert "pages" not in shown


async def test_it_goes_on_from_a_snapshot(tmp_path: Path) -> None:
    toolbox = await _toolbox(tmp_path, Rules(page_chars=200, budgets={"light": 2}))
    await toolbox.call("manual", {"words": 100}, STEP)
    await toolbox.call("light", {"lamp": "a"}, STEP)
    twin = Toolbox([Lamps()], Rules(page_chars=200, budgets={"light": 2}), 1)
    twin.restore(LocalSandbox(tmp_path), TASK, toolbox.snapshot())
    assert twin.snapshot() == toolbox.snapshot()
    assert twin.schemas() == toolbox.schemas()
    calls: list[tuple[str, JsonObject]] = [("light", {"lamp": "b"}), ("read_result", {"number": 1, "page": 2})]
    for name, arguments in [*calls, ("light", {"lamp": "c"})]:
        assert await twin.call(name, arguments, STEP) == await toolbox.call(name, arguments, STEP)
    assert twin.facts() == toolbox.facts()


async def test_two_tools_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'light'"):
        await Toolbox([Lamps(), Lamps()], Rules(), 1).begin(LocalSandbox(tmp_path), TASK)


def test_rules_of_a_caller_come_before_the_tasks_but_budgets_only_shrink() -> None:
    rules = parse_rules(
        {"budgets": {"a": 3, "b": 5}, "page_chars": 500}, {"budgets": {"a": 9, "b": 2}, "page_chars": 300}
    )
    assert rules == Rules(budgets={"a": 3, "b": 2}, page_chars=300)


@pytest.mark.parametrize(
    "options",
    [
        {"budgets": {"a": -1}}, {"budgets": {"a": "3"}}, {"budgets": 3}, {"latency_s": 3}, {"latency_s": [2, 1]},
        {"latency_s": [0, 999]}, {"failure_rate": 1.5}, {"failure_rate": True}, {"page_chars": 3}, {"page_chars": 1e3},
    ],
)  # fmt: skip
def test_rules_that_are_none_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        parse_rules(options)
