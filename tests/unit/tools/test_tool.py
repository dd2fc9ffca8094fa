"""A tool's schema comes from its signature and docstring, and arguments that do not fit are told precisely."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from environments.environment import StepContext
from environments.tools.kit import Kit
from environments.tools.tool import ArgumentsError, Tool, ToolContext, ToolResult, tool
from tests.unit.local_sandbox import LocalSandbox


@tool
async def weigh(context: ToolContext, thing: str, unit: Literal["kg", "g"] = "kg", times: int = 1) -> str:
    """Weigh a thing
    that is there.

    Args:
        thing: What to weigh: a name,
            as it was given.
        unit: Of the result.
        times: How often.
    """
    return f"{thing} {unit} {times} {context.seed}"


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(LocalSandbox(tmp_path), StepContext(timeout_s=5.0), seed=7)


def test_the_schema_is_that_of_signature_and_docstring() -> None:
    bound = weigh.bind()
    assert (bound.name, bound.description) == ("weigh", "Weigh a thing that is there.")
    assert bound.parameters == {
        "type": "object",
        "additionalProperties": False,
        "required": ["thing"],
        "properties": {
            "thing": {"type": "string", "description": "What to weigh: a name, as it was given."},
            "unit": {"type": "string", "enum": ["kg", "g"], "default": "kg", "description": "Of the result."},
            "times": {"type": "integer", "default": 1, "description": "How often."},
        },
    }


async def test_a_call_gives_what_the_function_says(context: ToolContext) -> None:
    assert await weigh.bind().call(context, {"thing": "x", "times": 3}) == ToolResult("x kg 3 7")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "weigh: the argument 'thing' is missing: What to weigh: a name, as it was given."),
        ({"thing": 3}, "weigh: 'thing' is 3: input should be a valid string"),
        ({"thing": "x", "times": "3"}, "weigh: 'times' is '3': input should be a valid integer"),
        ({"thing": "x", "times": True}, "weigh: 'times' is True: input should be a valid integer"),
        ({"thing": "x", "unit": "lb"}, "weigh: 'unit' is 'lb': input should be 'kg' or 'g'"),
        ({"thing": "x", "colour": 1}, "weigh: there is no argument 'colour'; it takes 'thing', 'unit', 'times'"),
        ({"thing": "x", "times": [0] * 99}, "input should be a valid integer"),
    ],
)
async def test_what_does_not_fit_is_told_and_nothing_runs(
    context: ToolContext, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentsError) as caught:
        await weigh.bind().call(context, arguments)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_function_that_says_too_little_is_refused() -> None:
    async def silent(context: ToolContext, thing: str) -> str:
        return thing

    async def untold(context: ToolContext, thing: str) -> str:
        """Do it."""
        return thing

    async def overtold(context: ToolContext) -> str:
        """Do it.

        Args:
            thing: There is none.
        """
        return ""

    for function, message in ((silent, "no docstring"), (untold, "thing needs"), (overtold, "takes no thing")):
        with pytest.raises(TypeError, match=message):
            tool(function)


async def test_a_kits_marked_methods_are_its_tools_and_share_it(context: ToolContext) -> None:
    class Totals(Kit):
        name = "totals"
        total = 0

        @tool
        async def add(self, context: ToolContext, by: int = 1) -> str:
            """Add to the total.

            Args:
                by: How much.
            """
            self.total += by
            return str(self.total)

        async def no_tool(self) -> None:
            """Not marked."""

    kit, other = Totals(), Totals()
    assert list(kit.tools) == ["add"]
    add: Tool = kit.tools["add"]
    await add.call(context, {"by": 2})
    assert (await add.call(context, {})).text == "3"
    assert (await other.tools["add"].call(context, {})).text == "1"
