"""docs/tools.md tells of every tool as it is: its arguments, its examples, and what the calculator answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from environments.environment import StepContext
from environments.protocols.schema import check_arguments
from environments.tools.arithmetic import calculate, written
from environments.tools.arithmetic.functions import CONSTANTS, FUNCTIONS
from environments.tools.kit import Kit
from environments.tools.kits import KITS
from environments.tools.tool import Tool, ToolContext
from tests.unit.local_sandbox import LocalSandbox

PAGE = (Path(__file__).resolve().parents[3] / "docs/tools.md").read_text(encoding="utf-8")
ELSEWHERE = {"world", "recorded", "mcp"}
"""Their tools are a task's or a server's own."""
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}
TOLD = sorted(KITS.keys() - ELSEWHERE)
ANSWERS = re.findall(r"^\| `([^`]+)` \| `([^`]+)`(?:, `(exactly: [^`]+)`)? \|$", SECTIONS["calculator"], re.MULTILINE)


def signature(tool: Tool) -> str:
    required = tool.parameters.get("required", ())
    names = tool.parameters.get("properties", {})
    return f"{tool.name}({', '.join(name if name in required else f'{name}?' for name in names)})"


@pytest.mark.parametrize("name", TOLD)
def test_a_kits_section_has_its_tools_with_their_arguments(name: str) -> None:
    told = re.findall(r"^\| `(\w+\([^`]*\))` \|", SECTIONS[name].partition("| expression")[0], re.MULTILINE)
    assert told == [signature(KITS[name]().tools[tool]) for tool in order(told, KITS[name]())]


def order(told: list[str], kit: Kit) -> list[str]:
    """The kit's tools, as the page has them, then those that it misses."""
    names = [each.partition("(")[0] for each in told]
    return sorted(kit.tools, key=lambda tool: names.index(tool) if tool in names else len(names))


@pytest.mark.parametrize("name", TOLD)
def test_its_examples_fit(name: str) -> None:
    examples = [
        json.loads(text) for text in re.findall(r"^```json\n(.*?)\n```", SECTIONS[name], re.DOTALL | re.MULTILINE)
    ]
    assert examples
    for action in examples:
        tool = KITS[name]().tools[action["name"]]
        assert action["type"] == "call"
        assert check_arguments(action["arguments"], tool.parameters) == []


def test_every_kit_is_in_the_table() -> None:
    table = PAGE.partition("\n## ")[0]
    assert set(re.findall(r"\[(\w+)\]\(#", table)) == set(TOLD)
    running = {name for name in TOLD if KITS[name].runs_code}
    lines = [line for line in table.splitlines() if "; runs code" in line]
    assert {name for line in lines for name in re.findall(r"\[(\w+)\]\(#", line)} == running


@pytest.mark.parametrize(("expression", "first", "second"), ANSWERS)
def test_the_calculator_answers_what_the_page_says(expression: str, first: str, second: str) -> None:
    assert written(calculate(expression)) == "\n".join(filter(None, (first, second)))


def test_the_page_names_every_function() -> None:
    assert len(ANSWERS) == SECTIONS["calculator"].partition("| expression")[2].count("\n| ")
    functions = SECTIONS["calculator"].partition("- Functions: `")[2].partition("`.")[0]
    assert set(re.sub(r"\([^)]*\)", "", functions).split()) == set(FUNCTIONS)
    constants = SECTIONS["calculator"].partition("- Constants: ")[2].partition("\n")[0]
    assert set(re.findall(r"`(\w+)`", constants)) == set(CONSTANTS)


async def test_the_kit_of_ones_own_is_one(tmp_path: Path) -> None:
    source = SECTIONS["A kit of your own"].partition("```python\n")[2].partition("```")[0]
    made: dict[str, Any] = {}
    exec(compile(source, "tools.md", "exec", dont_inherit=True), made)
    kit: Kit = made["DiceKit"]()
    context = ToolContext(LocalSandbox(tmp_path), StepContext(timeout_s=5.0), seed=9)
    assert (await kit.tools["roll"].call(context, {})).text == "4"
