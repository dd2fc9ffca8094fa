"""Protocols are made from names and settings, and say precisely what they do not take."""

from __future__ import annotations

import re
from typing import Any

import pytest

import environments.protocols
from environments.protocols import PROBLEMS, PROTOCOLS, FormatProblem, ToolSchema, protocol
from tests.unit.protocols.cases import SPECIAL


@pytest.mark.parametrize("name", [name for name in PROTOCOLS if name != "special_tokens"])
def test_every_protocol_is_made_by_its_name(name: str) -> None:
    assert protocol(name).name == name
    assert protocol({"name": name, "max_calls": 3, "max_chars": 10}).settings.max_calls == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("hermess", "there is no protocol 'hermess'; did you mean 'hermes'?"),
        ("xml", "there is no protocol 'xml'; there are 'tagged', 'hermes',"),
        (5, "a protocol is a name or an object with a name, not 5"),
        ({}, "a protocol is a name or an object with a name, not an object"),
        ({"name": "hermes", "max_call": 1}, "hermes has no setting 'max_call'; did you mean 'max_calls'"),
        ({"name": "hermes", "max_calls": 0}, "max_calls is 0: at least 1, or null for no limit"),
        ({"name": "hermes", "max_calls": True}, "max_calls is true: a whole number or null"),
        ({"name": "hermes", "max_chars": 0}, "max_chars is 0: at least 1"),
        ({"name": "hermes", "max_chars": "9"}, "max_chars is '9': a whole number"),
        ({"name": "hermes", "stop": "</tool_call>"}, "stop is '</tool_call>': a list of texts that are not empty"),
        ({"name": "hermes", "stop": [""]}, "stop is a list: a list of texts that are not empty"),
        ({"name": "hermes", "thought_required": 1}, "thought_required is 1: true or false"),
        ({"name": "openai", "stop": []}, "openai has no setting 'stop'"),
        ({"name": "search_r1", "max_calls": 0}, "max_calls is 0"),
        ({"name": "search_r1", "tool": ""}, "tool has to be set"),
        ({"name": "search_r1", "argument": 5}, "argument is 5: a text"),
        ({"name": "code_block", "blocks": {}}, "blocks is an object: an object with a member for each language"),
        ({"name": "code_block", "blocks": {"a b": {}}}, "blocks: 'a b' is no language of a fence"),
        ({"name": "code_block", "blocks": {"c": {"tool": "c"}}}, 'blocks: c needs {"tool": ..., "argument": ...}'),
        ("special_tokens", "call_begin has to be set"),
    ],
)
def test_what_is_not_taken_is_named(settings: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # what it says is compared below
        protocol(settings)
    assert str(caught.value).startswith(message)


def test_defaults_are_those_of_the_format() -> None:
    one = {name for name in PROTOCOLS if name != "special_tokens" and protocol(name).settings.max_calls == 1}
    assert one == {"tagged", "react", "search_r1", "code_block"}
    assert protocol(SPECIAL).settings.max_calls is None


def test_problems_have_known_codes() -> None:
    assert FormatProblem("bad_json", "x").fatal
    with pytest.raises(ValueError, match="'other' is none of the codes"):
        FormatProblem("other", "x")
    assert all(code.islower() for code in PROBLEMS)


def test_the_public_names_are_these() -> None:
    assert sorted(environments.protocols.__all__) == [
        "Call",
        "FormatProblem",
        "PROBLEMS",
        "PROTOCOLS",
        "Picture",
        "Protocol",
        "Result",
        "ToolSchema",
        "Turn",
        "protocol",
    ]


def _tool(name: str, *needed: str, **others: Any) -> dict[str, ToolSchema]:
    members = {each: {"type": "string"} for each in needed} | others
    return {name: ToolSchema(name, "", {"type": "object", "properties": members, "required": list(needed)})}


CLICK = _tool("click", "ref")
CALLABLE: list[tuple[Any, dict[str, ToolSchema]]] = [
    ("hermes", {}),
    ("openai", CLICK),
    ("search_r1", CLICK | _tool("search_web", "query", limit={"type": "integer"})),
    ({"name": "search_r1", "tool": "click", "argument": "ref"}, CLICK),
    ("code_block", CLICK | _tool("bash", "command")),
    ({"name": "code_block", "blocks": {"ref": {"tool": "click", "argument": "ref"}}}, CLICK),
]
NOT_CALLABLE: list[tuple[Any, dict[str, ToolSchema], str]] = [
    ("search_r1", CLICK, "search_r1 calls 'search_web', and there is no such tool; set 'tool': there are 'click'"),
    ("search_r1", _tool("serch_web", "query"), "no such tool; set 'tool': did you mean 'serch_web'?"),
    ("search_r1", _tool("search_web", "text"), "search_r1 calls search_web with 'query' alone, which it does not take"),
    ("search_r1", _tool("search_web", "query", "site"), "with 'query' alone, which it does not take"),
    ("code_block", CLICK, "code_block calls 'python' with 'code' or 'bash' with 'command', and no tool is called so"),
    ("code_block", _tool("python", "source"), "set 'blocks': there are 'python'"),
]


@pytest.mark.parametrize(("settings", "tools"), CALLABLE)
def test_a_protocol_that_can_call_something_is_taken(settings: Any, tools: dict[str, ToolSchema]) -> None:
    protocol(settings).check(tools)


@pytest.mark.parametrize(("settings", "tools", "message"), NOT_CALLABLE)
def test_a_protocol_that_can_call_nothing_says_so(settings: Any, tools: dict[str, ToolSchema], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        protocol(settings).check(tools)
