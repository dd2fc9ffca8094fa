"""Qwen3-Coder: values in tags, typed by the tool's parameters."""

from __future__ import annotations

import pytest

from environments.protocols import ToolSchema, protocol
from tests.unit.protocols.cases import TOOLS, Case, check, codes, ids


def call(name: str, **values: str) -> str:
    lines = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    return f"<tool_call>\n<function={name}>\n{lines}</function>\n</tool_call>"


def written(**values: object) -> tuple[tuple[str, dict[str, object]], ...]:
    return (("write_file", values),)


RAIN = ("search_web", {"query": "rain"})
CALL = call("search_web", query="rain")
INLINE = "<tool_call><function=search_web><parameter=query>rain</parameter></function></tool_call>"
CODE = 'def f():\n    return "<b>&amp;</b>"\n'

CASES = [
    Case("call", CALL, (RAIN,)),
    Case("on one line", INLINE, (RAIN,)),
    Case("thought text call", f"<think>Hm.</think>\nI look.\n{CALL}", (RAIN,), thought="Hm.", text="I look."),
    Case("two calls", CALL + call("finish"), (RAIN, ("finish", {}))),
    Case("answer", "It rains.", answer="It rains."),
    Case("windows line ends", CALL.replace("\n", "\r\n"), (RAIN,)),
    Case(
        "only the outer line breaks go", call("write_file", path=f"\n{CODE}"), (("write_file", {"path": f"\n{CODE}"}),)
    ),
    Case("nothing is unescaped", call("write_file", path=CODE), written(path=CODE)),
    Case("integer", call("search_web", query="5", limit="5"), (("search_web", {"query": "5", "limit": 5}),)),
    Case("number", call("write_file", path="a", scale="2.50"), written(path="a", scale=2.5)),
    Case("whole number", call("write_file", path="a", scale="2"), written(path="a", scale=2)),
    Case("boolean", call("write_file", path="a", append="True"), written(path="a", append=True)),
    Case("null", call("search_web", query="null", site="null"), (("search_web", {"query": "null", "site": None}),)),
    Case(
        "text or null", call("search_web", query="a", site="b.org"), (("search_web", {"query": "a", "site": "b.org"}),)
    ),
    Case("list", call("write_file", path="a", lines="[1, 2]"), written(path="a", lines=[1, 2])),
    Case(
        "object",
        call("write_file", path="a", options='{"a": 1}'),
        (("write_file", {"path": "a", "options": {"a": 1}}),),
    ),
    Case("choice", call("write_file", path="a", mode="text"), written(path="a", mode="text")),
    Case("empty value", call("write_file", path=""), written(path="")),
    Case("no number", call("search_web", query="a", limit="many"), problems=("wrong_arguments",)),
    Case("python list", call("write_file", path="a", lines="[1, None]"), problems=("wrong_arguments",)),
    Case("unknown parameter", call("search_web", query="a", limits="5"), problems=("wrong_arguments",)),
    Case("missing parameter", call("search_web", limit="5"), problems=("wrong_arguments",)),
    Case("unknown tool", call("search", query="a"), problems=("unknown_tool",)),
    Case("no opening tag", CALL.removeprefix("<tool_call>\n"), (RAIN,), problems=("~unclosed_tag",)),
    Case("no closing tag", CALL.removesuffix("</tool_call>"), (RAIN,), problems=("~unclosed_tag",)),
    Case("function not closed", INLINE.removesuffix("</function></tool_call>"), problems=("unclosed_tag",)),
    Case("parameter cut off", INLINE[:60], problems=("unclosed_tag",)),
    Case(
        "parameter not closed before the next",
        call("search_web", query="a", limit="5").replace("</parameter>\n", "", 1),
        problems=("unclosed_tag",),
    ),
    Case("parameter not closed before the end", CALL.replace("</parameter>\n", ""), problems=("unclosed_tag",)),
    Case(
        "parameter twice",
        INLINE.replace("</function>", "<parameter=query>sun</parameter></function>"),
        (),
        problems=("bad_call",),
    ),
    Case("json in it", '<tool_call>{"name": "finish", "arguments": {}}</tool_call>', problems=("bad_call",)),
    Case("text in it", INLINE.replace("</function>", "sun</function>"), problems=("bad_call",)),
    Case("no name", INLINE.replace("=search_web", "="), problems=("bad_call",)),
    Case("attribute form", INLINE.replace("<parameter=query>", '<parameter name="query">'), problems=("bad_call",)),
    Case("text after", f"{CALL}\nI wait.", (RAIN,), text="I wait.", problems=("~text_after_call",)),
    Case("a good one beside a bad one", call("search", a="b") + CALL, (RAIN,), problems=("unknown_tool",)),
    Case("in a thought", f"<think>{CALL}</think>Rain.", answer="Rain.", thought=CALL),
    Case("in a thought of the template", f"{CALL}</think>Rain.", answer="Rain.", thought=CALL),
    Case(
        "tags in a value",
        call("write_file", path="</think><tool_call>"),
        (("write_file", {"path": "</think><tool_call>"}),),
    ),
    Case("a made up result", f"{CALL}<tool_response>wet</tool_response>So.", (RAIN,), problems=("~made_up_result",)),
    Case("closed and not opened", "So.</function>", text="So.", problems=("unclosed_tag",)),
    Case("empty", "", problems=("no_action",)),
]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_messages_are_read(case: Case) -> None:
    check(protocol("qwen3_coder"), case)


def test_a_value_without_a_declared_type_is_text() -> None:
    open_tool = ToolSchema("finish", "", {"type": "object"})
    turn = protocol("qwen3_coder").parse(call("finish", why="5"), {"finish": open_tool})
    assert turn.calls[0].arguments == {"why": "5"}


def test_a_number_for_what_takes_text_is_text() -> None:
    tool = ToolSchema("set", "", {"type": "object", "properties": {"to": {"type": ["string", "boolean"]}}})
    turn = protocol("qwen3_coder").parse(call("set", to="5") + call("set", to="true"), {"set": tool})
    assert [each.arguments for each in turn.calls] == [{"to": "5"}, {"to": True}]


def test_calls_beyond_the_limit_do_not_run() -> None:
    turn = protocol({"name": "qwen3_coder", "max_calls": 1}).parse(CALL * 3, TOOLS)
    assert (len(turn.calls), codes(turn)) == (1, ("too_many_calls",))
