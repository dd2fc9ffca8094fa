"""Thought and answer in tags; the first tool in the answer runs."""

from __future__ import annotations

import pytest

from environments.protocols import Result, protocol
from tests.unit.protocols.cases import TOOLS, Case, check, codes, ids

RAIN = ("search_web", {"query": "rain"})
TOOL = '<tool>search_web{"query": "rain"}</tool>'
CALL = f"<answer>{TOOL}</answer>"
OTHER = TOOL.replace("rain", "sun")

CASES = [
    Case("call", f"<think>Hm.</think>{CALL}", (RAIN,), thought="Hm."),
    Case(
        "answer", "<think>Hm.</think><answer>Rain, see observation[2].</answer>", (), "Rain, see observation[2].", "Hm."
    ),
    Case("spaced out", f"<think>\nHm.\n</think>\n\n<answer>\n{TOOL}\n</answer>\n", (RAIN,), thought="Hm."),
    Case("spaces around the name", '<answer><tool> search_web {"query": "rain"} </tool></answer>', (RAIN,)),
    Case("windows line ends", f"<answer>\r\n{TOOL}\r\n</answer>", (RAIN,)),
    Case("no arguments", "<answer><tool>finish{}</tool></answer>", (("finish", {}),)),
    Case(
        "tags in a string", CALL.replace("rain", "</tool></answer>"), (("search_web", {"query": "</tool></answer>"}),)
    ),
    Case("the template opened the thought", f"Hm.</think>{CALL}", (RAIN,), thought="Hm."),
    Case("two tools", f"<answer>{TOOL}{OTHER}</answer>", (RAIN,), problems=("too_many_calls",)),
    Case("two answers", f"{CALL}<answer>{OTHER}</answer>", (RAIN,), problems=("~stray_text",)),
    Case("a final answer and then a tool", f"<answer>Rain.</answer>{CALL}", answer="Rain.", problems=("~stray_text",)),
    Case("text after", f"{CALL} I wait.", (RAIN,), problems=("~text_after_call",)),
    Case("text beside", f"<answer>I look: {TOOL}</answer>", (RAIN,), problems=("~stray_text",)),
    Case("text before", f"Well. {CALL}", (RAIN,), problems=("~stray_text",)),
    Case("unclosed after a tool", f"<answer>{TOOL}", (RAIN,), problems=("~unclosed_tag",)),
    Case("tool unclosed in the answer", CALL.replace("</tool>", ""), (RAIN,), problems=("~unclosed_tag",)),
    Case("unclosed answer", "<answer>It rai", text="It rai", problems=("unclosed_tag",)),
    Case("cut off in the arguments", '<answer><tool>search_web{"query": "ra', problems=("bad_json", "~unclosed_tag")),
    Case("tool outside", f"<think>Hm.</think>{TOOL}", thought="Hm.", problems=("bad_call",)),
    Case("no name", '<answer><tool>{"query": "rain"}</tool></answer>', problems=("bad_call",)),
    Case("no object", "<answer><tool>search_web rain</tool></answer>", problems=("bad_call",)),
    Case("a word alone", "<answer><tool>finish</tool></answer>", problems=("bad_call",)),
    Case("parentheses", '<answer><tool>search_web({"query": "rain"})</tool></answer>', problems=("bad_call",)),
    Case("unknown tool", CALL.replace("search_web", "search"), problems=("unknown_tool",)),
    Case("wrong arguments", CALL.replace("query", "q"), problems=("wrong_arguments",)),
    Case("fence", '<answer><tool>search_web```json\n{"query": "rain"}\n```</tool></answer>', problems=("bad_call",)),
    Case("in the thought", f"<think>{CALL}</think><answer>Rain.</answer>", answer="Rain.", thought=CALL),
    Case("in an open thought", f"<think>{CALL}", thought=CALL, problems=("unclosed_tag",)),
    Case("in a thought inside of the answer", f"<answer><think>{TOOL}</think>Rain.</answer>", (), "Rain.", TOOL),
    Case("in a thought of the template", f"{CALL}</think><answer>Rain.</answer>", answer="Rain.", thought=CALL),
    Case("answer closed twice", "<answer>Rain.</answer></answer>", answer="Rain.", problems=("~unclosed_tag",)),
    Case("tool closed and not opened", "<answer>Rain.</tool></answer>", answer="Rain.", problems=("~unclosed_tag",)),
    Case("empty answer", "<answer></answer>", problems=("no_action",)),
    Case("no tags at all", "It rains.", problems=("~stray_text", "no_action")),
    Case("empty", "", problems=("no_action",)),
]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_messages_are_read(case: Case) -> None:
    check(protocol("tagged"), case)


def test_an_answer_whose_closing_tag_the_sampler_leaves_out_counts() -> None:
    turn = protocol({"name": "tagged", "stop": ["</answer>"]}).parse("<think>Hm.</think><answer>Rain", TOOLS)
    assert (turn.answer, codes(turn)) == ("Rain", ())


def test_more_calls_run_where_they_are_allowed() -> None:
    turn = protocol({"name": "tagged", "max_calls": 2}).parse(f"<answer>{TOOL}{OTHER}</answer>", TOOLS)
    assert (len(turn.calls), codes(turn)) == (2, ())


def test_the_reply_has_the_number_of_the_observation() -> None:
    tagged = protocol("tagged")
    turn = tagged.parse(CALL, TOOLS)
    result = Result(turn.calls[0], "wet", number=3)
    assert tagged.render_results(turn, [result]) == [{"role": "user", "content": "observation[3]: wet"}]


def test_what_was_refused_takes_no_number() -> None:
    tagged = protocol("tagged")
    turn = tagged.parse(CALL.replace("search_web", "search"), TOOLS)
    [message] = tagged.render_results(turn, [])
    assert message["content"] == "error: there is no tool 'search'; did you mean 'search_web'?"
