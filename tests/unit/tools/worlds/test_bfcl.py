"""The BFCL task sets: what is loaded, and that references are paid and corrupted ones are not."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import bfcl
from environments.tools.worlds.bfcl import data
from environments.tools.worlds.bfcl.calls import CallTextError, parse_call
from environments.tools.worlds.bfcl.multi_turn import CATEGORIES, MORE_TOOLS, MultiTurn
from environments.tools.worlds.bfcl.single_turn import CATEGORIES as SINGLE
from environments.tools.worlds.bfcl.single_turn import SingleTurn


@pytest.mark.timeout(300)
def test_references_are_paid_and_corrupted_ones_are_not() -> None:
    rows = bfcl.run([], every=40)
    assert len(rows) == len(CATEGORIES) + len(SINGLE)
    assert {row.name: [*row.unpaid, *row.wrongly_paid] for row in rows if row.unpaid or row.wrongly_paid} == {}
    assert all(row.loaded for row in rows)
    assert sum(row.corrupted.total() for row in rows) > 1000
    assert bfcl.holds(rows)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_every_reference_is_paid_and_no_corrupted_one_is() -> None:
    assert bfcl.holds(bfcl.run([], every=1))


def test_what_cannot_be_loaded_is_told_with_its_reason_and_is_no_task() -> None:
    tasks = MultiTurn("miss_func")
    assert tasks.broken() == {
        "multi_turn_miss_func_49": "turn 2 calls tail, which is withheld until later",
        "multi_turn_miss_func_173": "close_ticket: 'ticket_id' is the string 'ticket_001', must be an integer",
    }
    assert not set(tasks.broken()) & set(tasks.task_ids())
    assert len(tasks.task_ids()) == 198


def test_splits_part_the_tasks() -> None:
    tasks = MultiTurn("base")
    assert sorted([*tasks.task_ids("train"), *tasks.task_ids("test")]) == sorted(tasks.task_ids())
    assert len(tasks.task_ids("test")) == 43
    with pytest.raises(KeyError):
        tasks.task_ids("dev")


def test_a_tool_that_is_withheld_comes_with_the_turn_that_says_so() -> None:
    task = MultiTurn("miss_func").get("multi_turn_miss_func_0")
    assert task.hidden["world"]["since"] == {"sort": 4}
    assert task.hidden["user"]["turns"][2] == {"text": MORE_TOOLS}
    assert task.grader.data["turns"][2] == []


def test_tools_are_described_in_the_words_of_json_schema() -> None:
    (tool,) = [each for each in data.class_tools("TradingBot") if each["name"] == "place_order"]
    assert tool["parameters"]["type"] == "object"
    assert {name: each["type"] for name, each in tool["parameters"]["properties"].items()} == {
        "order_type": "string",
        "symbol": "string",
        "price": "number",
        "amount": "integer",
    }


def test_nothing_of_the_answers_can_be_seen() -> None:
    task = SingleTurn(SINGLE[0]).get("simple_python_0")
    assert task.public == {"tools": ["recorded"]}
    assert set(task.hidden) == {"recorded"}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("mv(source='a', destination='b')", {"source": "a", "destination": "b"}),
        ("mv('a', destination='b')", {"source": "a", "destination": "b"}),
        (" mv('a', -1.5) ", {"source": "a", "destination": -1.5}),
        ("mv(source=[1, (2, None)], destination={'x': True})", {"source": [1, [2, None]], "destination": {"x": True}}),
    ],
)
def test_a_call_in_text_is_parsed_as_data(text: str, arguments: dict[str, Any]) -> None:
    assert parse_call(text, {"mv": ["source", "destination"]}) == {"tool": "mv", "arguments": arguments}


@pytest.mark.parametrize(
    "text",
    [
        "mv(source=__import__('os').system('id'))",
        "mv(open('/etc/passwd').read())",
        "mv.__class__('a')",
        "rm('a')",
        "mv('a', 'b', 'c')",
        "mv('a', source='b')",
        "mv(**{'source': 'a'})",
        "mv(source={1: 2})",
        "mv('a'); mv('b')",
        "mv(",
        "x",
    ],
)
def test_what_is_no_call_of_literals_is_refused(text: str) -> None:
    with pytest.raises(CallTextError):
        parse_call(text, {"mv": ["source", "destination"]})
