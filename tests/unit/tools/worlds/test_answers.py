"""Calls that are taken down, compared with possible answers."""

from __future__ import annotations

from typing import Any

import pytest

from environments.environment import Artifacts, StepContext
from environments.tasks import GraderSpec, Task
from environments.tools.tool import ArgumentsError, ToolContext
from environments.tools.worlds.bfcl.answers import wrong
from environments.tools.worlds.bfcl.literals import read
from environments.tools.worlds.record import Call
from environments.tools.worlds.recording import RecordingKit
from envserver.grading.base import GradingError
from envserver.grading.registry import get_grader
from tests.unit.local_sandbox import LocalSandbox

FUNCTIONS = {
    "f": {
        "properties": {
            "text": {"type": "string"},
            "count": {"type": "integer"},
            "share": {"type": "float"},
            "flag": {"type": "boolean"},
            "names": {"type": "array", "items": {"type": "string"}},
            "options": {"type": "dict"},
            "anything": {"type": "any"},
        },
        "required": ["text"],
    }
}


def right(arguments: dict[str, Any], values: dict[str, list[Any]]) -> bool:
    given = {"text": "t", **arguments}
    return not wrong([Call("f", given)], [{"f": {"text": ["t"], **values}}], FUNCTIONS, "python")


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ({"text": "New-York, N.Y."}, {"text": ["new york ny"]}),
        ({"count": 3}, {"count": [2, 3]}),
        ({"share": 3}, {"share": [3.0]}),
        ({"flag": False}, {"flag": [False]}),
        ({}, {"count": ["", 3]}),
        ({"names": []}, {"names": ["", ["a"]]}),
        ({"names": ["A b", "c"]}, {"names": [["x"], ["ab", "c"]]}),
        ({"options": {"a": 1}}, {"options": [{"a": [1, 2], "b": ["", 3]}]}),
        ({"options": {"a": {"b": "C"}}}, {"options": [{"a": [{"b": ["c"]}]}]}),
        ({"anything": 5}, {"anything": [5]}),
    ],
)
def test_what_an_answer_gives_is_right(arguments: dict[str, Any], values: dict[str, list[Any]]) -> None:
    assert right(arguments, values)


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ({"text": "Boston"}, {"text": ["new york"]}),
        ({"count": 4}, {"count": [2, 3]}),
        ({"count": "3"}, {"count": [3]}),
        ({"count": True}, {"count": [1]}),
        ({"count": 3.0}, {"count": [3]}),
        ({"flag": 1}, {"flag": [True]}),
        ({}, {"count": [3]}),
        ({"count": 3}, {}),
        ({"unknown": 3}, {"unknown": [3]}),
        ({"names": ["c", "ab"]}, {"names": [["ab", "c"]]}),
        ({"names": ["ab"]}, {"names": [["ab", "c"]]}),
        ({"names": []}, {"names": [["a"]]}),
        ({"options": {"a": 1, "c": 1}}, {"options": [{"a": [1]}]}),
        ({"options": {"b": 3}}, {"options": [{"a": [1], "b": [3]}]}),
        ({"options": {"a": True}}, {"options": [{"a": [1]}]}),
    ],
)
def test_what_no_answer_gives_is_wrong(arguments: dict[str, Any], values: dict[str, list[Any]]) -> None:
    assert not right(arguments, values)


def test_parallel_calls_are_right_in_any_order_and_each_once() -> None:
    answers = [{"f": {"text": ["a", "b"]}}, {"f": {"text": ["a"]}}]
    one, other = Call("f", {"text": "a"}), Call("f", {"text": "b"})
    assert not wrong([one, other], answers, FUNCTIONS, "python")
    assert not wrong([other, one], answers, FUNCTIONS, "python")
    assert not wrong([one, one], answers, FUNCTIONS, "python")
    assert wrong([other, other], answers, FUNCTIONS, "python")
    assert wrong([one], answers, FUNCTIONS, "python")
    assert wrong([one, other, one], answers, FUNCTIONS, "python")
    assert wrong([Call("g", {"text": "a"}), other], answers, FUNCTIONS, "python")


@pytest.mark.parametrize(
    ("text", "kind", "items", "value"),
    [
        ("42", "integer", None, 42),
        ("x + 1", "integer", None, "x + 1"),
        ("42L", "long", None, 42),
        ("42", "long", None, "42"),
        ("1.5f", "float", None, 1.5),
        ("1.5e2", "double", None, 150.0),
        ("true", "boolean", None, True),
        ('"a"', "String", None, "a"),
        ("a", "any", None, "a"),
        ("new int[]{1, 2}", "Array", "integer", [1, 2]),
        ('new String[]{"a, b", "c"}', "Array", "String", ["a, b", "c"]),
        ("new ArrayList<>(Arrays.asList(1L, 2L))", "ArrayList", "long", [1, 2]),
        ('new ArrayList<Object>(Arrays.asList("a", 1, true))', "ArrayList", "any", ["a", 1, True]),
        ('new ArrayList<String>() {{ add("x"); add("y"); }}', "ArrayList", "String", ["x", "y"]),
        ("new ArrayList<>()", "ArrayList", None, []),
        ('new HashMap<String, Object>() {{ put("a", 1); put("b", "c"); }}', "HashMap", None, {"a": 1, "b": "c"}),
        ("new HashMap<>()", "HashMap", None, {}),
        ('new HashMap<>() {{ put("a", 1); }} + x', "HashMap", None, 'new HashMap<>() {{ put("a", 1); }} + x'),
        ("list", "ArrayList", None, "list"),
    ],
)
def test_java_text_is_read(text: str, kind: str, items: str | None, value: Any) -> None:
    assert read(text, "java", kind, items) == value


@pytest.mark.parametrize(
    ("text", "kind", "items", "value"),
    [
        ("60", "float", None, 60.0),
        ("12n", "Bigint", None, 12),
        ("'a'", "String", None, "a"),
        ("[1, 2]", "array", "integer", [1, 2]),
        ("new Array('a', b)", "array", "String", ["a", "b"]),
        ("[[1, 2], ['a']]", "array", "array", [[1, 2], ["a"]]),
        ("[]", "array", None, []),
        ("{a: {b: [1, 'c, d']}, 'e': true}", "dict", None, {"a": {"b": [1, "c, d"]}, "e": True}),
        ("{}", "dict", None, {}),
        ("[1, 2]x", "array", "integer", "[1, 2]x"),
    ],
)
def test_javascript_text_is_read(text: str, kind: str, items: str | None, value: Any) -> None:
    assert read(text, "javascript", kind, items) == value


def test_brackets_without_end_cost_no_more_than_their_levels() -> None:
    nested = "[" * 8000 + "]" * 8000
    assert read(nested, "javascript", "array") != nested  # read as far as levels go


def task(**grader: Any) -> Task:
    tools = [{"name": "f", "description": "", "parameters": {"type": "object", "properties": {}}}]
    return Task("t", "", GraderSpec("calls", grader), hidden={"recorded": tools})


async def made(sandbox: LocalSandbox, *calls: dict[str, Any]) -> RecordingKit:
    kit = RecordingKit()
    await kit.begin(sandbox, task(), 0)
    for arguments in calls:
        await kit.tools["f"].call(ToolContext(sandbox, StepContext(1.0), 0), arguments)
    return kit


@pytest.mark.parametrize(
    ("wanted", "calls", "reward"),
    [
        ("none", (), 1.0),
        ("none", ({},), 0.0),
        ("some", (), 0.0),
        ("some", ({},), 1.0),
        ("answers", ({"text": "a"},), 1.0),
        ("answers", ({"text": "b"},), 0.0),
    ],
)
async def test_calls_are_taken_down_and_graded(
    sandbox: LocalSandbox, wanted: str, calls: tuple[dict[str, Any], ...], reward: float
) -> None:
    kit = await made(sandbox, *calls)
    given = {"wanted": wanted, "answers": [{"f": {"text": ["a"]}}], "functions": FUNCTIONS, "language": "python"}
    artifacts = Artifacts({}, facts={"kits": {"recorded": kit.facts()}})

    async def none(_: object) -> Any:
        raise AssertionError("nothing is run")

    assert (await get_grader("calls").grade(task(**given), artifacts, none)).reward == reward
    with pytest.raises(GradingError):
        await get_grader("calls").grade(task(**given), Artifacts({}), none)


async def test_recorded_calls_survive_their_server(sandbox: LocalSandbox) -> None:
    kit = await made(sandbox, {"text": "a"}, {"text": 3})
    restored = RecordingKit()
    restored.restore(sandbox, task(), kit.snapshot())
    assert restored.facts() == kit.facts()
    assert list(restored.tools) == ["f"]


async def test_arguments_without_end_are_not_taken_down(sandbox: LocalSandbox) -> None:
    with pytest.raises(ArgumentsError, match="at most"):
        await made(sandbox, {"text": "x" * 20_000})
