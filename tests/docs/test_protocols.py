"""The page on protocols has every setting and problem, and its examples are read and answered as it shows."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from typing import Any

import pytest

from environments.protocols import PROBLEMS, PROTOCOLS, Result, ToolSchema, protocol
from tests.conftest import ROOT
from tests.docs.blocks import Block, find_blocks

DOCUMENT = ROOT / "docs" / "protocols.md"
PAGE = DOCUMENT.read_text()

SEARCH = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}},
    "required": ["query"],
}
SHELL = {"type": "object", "properties": {"command": {"type": "string"}}}
TOOLS = {
    "search_web": ToolSchema("search_web", "Search the web.", SEARCH),
    "bash": ToolSchema("bash", "Run a command.", SHELL),
}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    table = PAGE.partition(f"## {heading}\n")[2].partition("|---|")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table.splitlines()[1:]]


def blocks(heading: str) -> list[Block]:
    first = PAGE[: PAGE.index(f"\n## {heading}\n")].count("\n")
    following = [each for each in find_blocks(DOCUMENT) if each.line > first]
    return following[:2]


def test_every_problem_is_explained() -> None:
    assert rows("Problems") == [[f"`{code}`", meaning] for code, meaning in PROBLEMS.items()]


def test_every_setting_is_there_with_its_default() -> None:
    shown: dict[str, str] = {}
    for names, default, *_ in rows("Settings"):
        shown |= {name: default.replace("\\|", "|").strip("`") for name in re.findall(r"`(\w+)`", names)}
    settings = {each.name: each for kind in PROTOCOLS.values() for each in fields(kind.settings_type)}
    assert set(shown) == set(settings)
    for name, each in settings.items():
        if name not in ("max_calls", "blocks"):
            assert each.default is not MISSING
            assert shown[name] == json.dumps(each.default), name


def test_defaults_that_differ_are_named() -> None:
    one = {name for name, kind in PROTOCOLS.items() if _max_calls(kind.settings_type) == 1}
    [cells] = [cells for cells in rows("Settings") if cells[0] == "`max_calls`"]
    assert set(re.findall(r"`(\w+)`", cells[1])) == one | {"null", "1"}
    [cells] = [cells for cells in rows("Settings") if cells[0] == "`blocks`"]
    assert cells[1].split(", ") == list(protocol("code_block").settings.blocks)  # type: ignore[attr-defined]


def _max_calls(settings_type: Any) -> Any:
    return next(each.default for each in fields(settings_type) if each.name == "max_calls")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_examples_are_read_and_answered_as_shown(name: str) -> None:
    said, answered = blocks(name)
    own = protocol(_example_settings() if name == "special_tokens" else name)
    turn = own.parse(json.loads(said.text) if said.language == "json" else said.text, TOOLS)
    assert turn.problems == ()
    [call] = turn.calls
    [message] = own.render_results(turn, [Result(call, "Rain, 12 °C.", number=1)])
    if answered.language == "json":
        assert message == json.loads(answered.text)
    else:
        assert message == {"role": "user", "content": answered.text.removesuffix("\n")}


def _example_settings() -> Any:
    section = PAGE.partition("## special_tokens\n")[2]
    return json.loads(section.partition("The example is of `")[2].partition("`. ")[0].replace("\n", " "))
