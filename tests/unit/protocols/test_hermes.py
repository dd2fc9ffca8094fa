"""Hermes and Qwen: JSON between <tool_call> tags."""

from __future__ import annotations

import pytest

from environments.protocols import Picture, Result, protocol
from tests.unit.protocols.cases import TOOLS, Case, check, codes, ids

RAIN = ("search_web", {"query": "rain"})
SUN = ("search_web", {"query": "sun"})
CALL = '<tool_call>\n{"name": "search_web", "arguments": {"query": "rain"}}\n</tool_call>'
OTHER = '<tool_call>\n{"name": "search_web", "arguments": {"query": "sun"}}\n</tool_call>'
BARE = '{"name": "search_web", "arguments": {"query": "rain"}}'

CASES = [
    Case("one call", CALL, (RAIN,)),
    Case("two calls", f"{CALL}\n{OTHER}", (RAIN, SUN)),
    Case("thought text call", f"<think>\nHm.\n</think>\n\nI look.\n{CALL}", (RAIN,), thought="Hm.", text="I look."),
    Case("answer", "It rains.", answer="It rains."),
    Case("answer after a thought", "<think>Hm.</think>\n\nIt rains.", answer="It rains.", thought="Hm."),
    Case("on one line", f"<tool_call>{BARE}</tool_call>", (RAIN,)),
    Case("windows line ends", CALL.replace("\n", "\r\n"), (RAIN,)),
    Case("unicode", CALL.replace("rain", "días 雨 🌧"), (("search_web", {"query": "días 雨 🌧"}),)),
    Case("no arguments", '<tool_call>{"name": "finish", "arguments": {}}</tool_call>', (("finish", {}),)),
    Case("end token", f"{CALL}<|im_end|>\n<|im_end|>", (RAIN,)),
    Case("content of a message", {"role": "assistant", "content": CALL}, (RAIN,)),
    Case("blocks", {"content": [{"type": "text", "text": CALL[:20]}, {"type": "text", "text": CALL[20:]}]}, (RAIN,)),
    Case("reasoning beside", {"content": CALL, "reasoning_content": "Hm."}, (RAIN,), thought="Hm."),
    Case(
        "tags inside of a string",
        CALL.replace("rain", "</tool_call><tool_call></think>"),
        (("search_web", {"query": "</tool_call><tool_call></think>"}),),
    ),
    Case("unclosed at the end", f"<tool_call>\n{BARE}", (RAIN,), problems=("~unclosed_tag",)),
    Case("unclosed before another", f"<tool_call>\n{BARE}\n{OTHER}", (RAIN, SUN), problems=("~unclosed_tag",)),
    Case("cut off", f"<tool_call>\n{BARE[:-9]}", problems=("bad_json",)),
    Case("opened and nothing more", "<tool_call>", problems=("bad_json",)),
    Case("one brace too many", f"<tool_call>{BARE}}}</tool_call>", problems=("bad_call",)),
    Case("two objects in one tag", f"<tool_call>{BARE}\n{BARE}</tool_call>", problems=("bad_call",)),
    Case("single quotes", f"<tool_call>{BARE.replace(chr(34), chr(39))}</tool_call>", problems=("bad_json",)),
    Case("a list", f"<tool_call>[{BARE}]</tool_call>", problems=("bad_call",)),
    Case("no name", '<tool_call>{"arguments": {}}</tool_call>', problems=("bad_call",)),
    Case("parameters", CALL.replace("arguments", "parameters"), problems=("bad_call",)),
    Case("arguments as text", CALL.replace('{"query": "rain"}', '"{}"'), problems=("bad_call",)),
    Case("another member", f'<tool_call>{BARE[:-1]}, "id": 1}}</tool_call>', (RAIN,), problems=("~bad_call",)),
    Case("in a fence", f"<tool_call>\n```json\n{BARE}\n```\n</tool_call>", (RAIN,), problems=("~stray_text",)),
    Case(
        "line break in a string",
        CALL.replace("rain", "rain\nsun"),
        (("search_web", {"query": "rain\nsun"}),),
        problems=("~bad_json",),
    ),
    Case("same key twice", CALL.replace('"rain"', '"rain", "query": "sun"'), problems=("bad_json",)),
    Case("not a number", CALL.replace('"rain"', '"rain", "limit": NaN'), problems=("bad_json",)),
    Case("infinity in disguise", CALL.replace('"rain"', '"rain", "limit": 1e999'), problems=("bad_json",)),
    Case("lone surrogate", CALL.replace("rain", "\\ud83d"), problems=("bad_json",)),
    Case("nested too deep", CALL.replace('"rain"', "[" * 100_000), problems=("bad_json",)),
    Case("nested deep and closed", CALL.replace('"rain"', "[" * 99 + "]" * 99), problems=("bad_json",)),
    Case("huge integer", CALL.replace('"rain"', "9" * 5000), problems=("bad_json",)),
    Case("unknown tool", CALL.replace("search_web", "serach_web"), problems=("unknown_tool",)),
    Case("wrong type", CALL.replace('"rain"', "5"), problems=("wrong_arguments",)),
    Case("a good one beside a bad one", f"{CALL.replace('query', 'q')}{OTHER}", (SUN,), problems=("wrong_arguments",)),
    Case("text after", f"{CALL}\nLet me wait.", (RAIN,), text="Let me wait.", problems=("~text_after_call",)),
    Case("closed and not opened", f"{BARE}\n</tool_call>", problems=("unclosed_tag",), text=BARE),
    Case("in a thought", f"<think>Maybe {CALL}?</think>No.", answer="No.", thought=f"Maybe {CALL}?"),
    Case("in an open thought", f"<think>Maybe {CALL}", thought=f"Maybe {CALL}", problems=("unclosed_tag",)),
    Case("in a thought that the template opened", f"Maybe {CALL}?</think>No.", answer="No.", thought=f"Maybe {CALL}?"),
    Case(
        "a broken one in a thought that the template opened",
        f"{CALL}<tool_call>{{broken</think>No.",
        answer="No.",
        thought=f"{CALL}<tool_call>{{broken",
    ),
    Case(
        "a made up result in a thought that the template opened",
        f"{CALL}<tool_response>sun</tool_response></think>{OTHER}",
        (SUN,),
        thought=f"{CALL}<tool_response>sun</tool_response>",
    ),
    Case("a second thought", f"<think>a</think>{CALL}<think>{OTHER}</think>", (RAIN,), thought=f"a\n{OTHER}"),
    Case(
        "a made up result",
        f"{CALL}\n<tool_response>\nsun\n</tool_response>\n{OTHER}",
        (RAIN,),
        problems=("~made_up_result",),
    ),
    Case(
        "a thought behind a made up result",
        f"{CALL}<tool_response>sun</tool_response><think>So.</think>Sun.",
        (RAIN,),
        problems=("~made_up_result",),
    ),
    Case(
        "the end of a thought behind a made up result",
        f"<think>a</think>{CALL}<tool_response>sun</tool_response>So.</think>Sun.",
        (RAIN,),
        thought="a",
        problems=("~made_up_result",),
    ),
    Case(
        "the same behind a thought of the template",
        f"a</think>{CALL}<tool_response>sun</tool_response>So.</think>Sun.",
        (RAIN,),
        thought="a",
        problems=("~made_up_result",),
    ),
    Case("empty", "", problems=("no_action",)),
    Case("blank", " \n\t ", problems=("no_action",)),
    Case("only a thought", "<think>Hm.</think>", thought="Hm.", problems=("no_action",)),
    Case("a number", 5, problems=("not_a_message",)),
    Case("nothing", None, problems=("not_a_message",)),
    Case("of a user", {"role": "user", "content": CALL}, problems=("not_a_message",)),
    Case("of a tool", {"role": "tool", "content": CALL}, problems=("not_a_message",)),
    Case("calls beside the text", {"content": CALL, "tool_calls": [{}]}, problems=("not_a_message",)),
    Case("unknown block", {"content": [{"type": "tool_result", "text": CALL}]}, problems=("not_a_message",)),
    Case("no valid unicode", f"\ud800{CALL}", problems=("not_a_message",)),
    Case("enormous", "a" * 1_000_001, problems=("too_long",)),
]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_messages_are_read(case: Case) -> None:
    check(protocol("hermes"), case)


def test_calls_beyond_the_limit_do_not_run() -> None:
    turn = protocol({"name": "hermes", "max_calls": 2}).parse(CALL + OTHER + CALL + OTHER, TOOLS)
    assert [call.arguments["query"] for call in turn.calls] == ["rain", "sun"]
    assert codes(turn) == ("too_many_calls",)
    assert turn.problems[0].call_id == "call_3"


def test_where_one_call_is_allowed_and_the_first_is_bad_none_runs() -> None:
    turn = protocol({"name": "hermes", "max_calls": 1}).parse(CALL.replace("rain", "\\q") + OTHER, TOOLS)
    assert turn.calls == ()
    assert codes(turn) == ("bad_json", "too_many_calls")


def test_without_a_limit_there_is_one_all_the_same() -> None:
    turn = protocol("hermes").parse(CALL * 1000, TOOLS)
    assert (len(turn.calls), codes(turn)) == (128, ("too_many_calls",))


def test_a_closing_tag_that_the_sampler_leaves_out_is_no_problem() -> None:
    turn = protocol({"name": "hermes", "stop": ["</tool_call>"]}).parse(f"<tool_call>{BARE}", TOOLS)
    assert (len(turn.calls), codes(turn)) == (1, ())


def test_a_missing_thought_is_reported_where_one_is_asked_for() -> None:
    strict = protocol({"name": "hermes", "thought_required": True})
    assert codes(strict.parse(CALL, TOOLS)) == ("~no_thought",)
    assert codes(strict.parse(f"<think>Hm.</think>{CALL}", TOOLS)) == ()


def test_results_and_refusals_come_in_the_order_of_the_calls() -> None:
    hermes = protocol("hermes")
    turn = hermes.parse(CALL.replace("query", "q") + OTHER, TOOLS)
    [message] = hermes.render_results(turn, [Result(turn.calls[0], "warm")])
    assert message["role"] == "user"
    first, second = message["content"].split("</tool_response>\n")
    assert first.startswith("<tool_response>\nError: search_web: the argument 'query' is missing: What to look for")
    assert second == "<tool_response>\nwarm\n</tool_response>"


def test_what_was_forgiven_is_not_told_to_the_policy() -> None:
    hermes = protocol("hermes")
    turn = hermes.parse(f"{CALL}\nLet me wait.", TOOLS)
    assert hermes.render_results(turn, []) == []


def test_pictures_come_as_parts_of_the_message() -> None:
    hermes = protocol("hermes")
    turn = hermes.parse(CALL, TOOLS)
    [message] = hermes.render_results(turn, [Result(turn.calls[0], "a plot", pictures=(Picture("webp", "AAAA"),))])
    assert message["content"] == [
        {"type": "text", "text": "<tool_response>\na plot\n</tool_response>"},
        {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}},
    ]


def test_ids_count_from_the_index() -> None:
    turn = protocol("hermes").parse(CALL + OTHER, TOOLS, index=7)
    assert [call.call_id for call in turn.calls] == ["call_7", "call_8"]
