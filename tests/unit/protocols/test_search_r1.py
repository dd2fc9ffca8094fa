"""Search-R1: a query in tags, or an answer."""

from __future__ import annotations

import pytest

from environments.protocols import Result, protocol
from tests.unit.protocols.cases import TOOLS, Case, check, codes, ids

RAIN = ("search_web", {"query": "rain"})

CASES = [
    Case("search", "<think>Hm.</think>\n<search> rain </search>", (RAIN,), thought="Hm."),
    Case("answer", "<think>Hm.</think>\n<answer> Rain </answer>", (), "Rain", "Hm."),
    Case("several lines", "<search>\nrain\r\nsun\n</search>", (("search_web", {"query": "rain\r\nsun"}),)),
    Case("the template opened the thought", "Hm.</think><search>rain</search>", (RAIN,), thought="Hm."),
    Case("two searches", "<search>rain</search><search>sun</search>", (RAIN,), problems=("too_many_calls",)),
    Case(
        "three searches",
        "<search>rain</search><search>a</search><search>b</search>",
        (RAIN,),
        problems=("too_many_calls",),
    ),
    Case("closed and not opened", "</search><answer>Rain</answer>", (), "Rain", problems=("~unclosed_tag",)),
    Case("search and answer", "<search>rain</search><answer>x</answer>", (RAIN,), problems=("~text_after_call",)),
    Case("answer and search", "<answer>Rain</answer><search>x</search>", (), "Rain", problems=("~text_after_call",)),
    Case("information of its own", "<search>rain</search>\n<information>x", (RAIN,), problems=("~made_up_result",)),
    Case("text after", "<search>rain</search> I wait.", (RAIN,), problems=("~text_after_call",)),
    Case("text before", "Well. <search>rain</search>", (RAIN,), problems=("~stray_text",)),
    Case("cut off", "<search>rain in", problems=("unclosed_tag",)),
    Case("answer cut off", "<answer>Rai", problems=("unclosed_tag",)),
    Case("another tag in it", "<search>a<search>rain</search>", problems=("unclosed_tag",)),
    Case("closed by another", "<search>rain</answer>", problems=("unclosed_tag",)),
    Case("empty query", "<search> </search>", problems=("wrong_arguments",)),
    Case("empty answer", "<answer> </answer>", problems=("no_action",)),
    Case("in the thought", "<think><search>a</search></think><answer>b</answer>", (), "b", "<search>a</search>"),
    Case("in a thought of the template", "<search>a</search></think><answer>b</answer>", (), "b", "<search>a</search>"),
    Case("a thought in the query", "<search>ra<think>x</think>in</search>", thought="x", problems=("bad_call",)),
    Case("half in a thought", "<search>a</think><search>rain</search>", (RAIN,), thought="<search>a"),
    Case("prose", "It rains.", problems=("~stray_text", "no_action")),
    Case("empty", "", problems=("no_action",)),
]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_messages_are_read(case: Case) -> None:
    check(protocol("search_r1"), case)


@pytest.mark.parametrize(
    ("text", "call_id"),
    [("<search>a", "call_1"), ("<search>a</answer>", "call_1"), ("<answer>a", None), ("<answer>a</search>", None)],
)
def test_what_was_not_closed_is_named(text: str, call_id: str | None) -> None:
    [problem] = protocol("search_r1").parse(text, TOOLS).problems
    assert (problem.code, problem.call_id) == ("unclosed_tag", call_id)


def test_the_tool_and_its_argument_can_be_set() -> None:
    turn = protocol({"name": "search_r1", "tool": "lookup", "argument": "word"}).parse("<search>rain</search>", TOOLS)
    assert [(call.name, call.arguments) for call in turn.calls] == [("lookup", {"word": "rain"})]


def test_a_tool_that_is_not_there_is_reported() -> None:
    assert codes(protocol("search_r1").parse("<search>rain</search>", {})) == ("unknown_tool",)


@pytest.mark.parametrize("text", ["<search>rain", "<answer>rain"])
def test_closing_tags_that_the_sampler_leaves_out_are_no_problem(text: str) -> None:
    turn = protocol({"name": "search_r1", "stop": ["</search>", "</answer>"]}).parse(text, TOOLS)
    assert (len(turn.calls), turn.answer, codes(turn)) in [(1, None, ()), (0, "rain", ())]


def test_results_are_information() -> None:
    search = protocol("search_r1")
    turn = search.parse("<search>rain</search>", TOOLS)
    [message] = search.render_results(turn, [Result(turn.calls[0], "wet")])
    assert message == {"role": "user", "content": "<information>wet</information>"}
