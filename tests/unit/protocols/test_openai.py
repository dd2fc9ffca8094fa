"""Chat completions: calls beside the content."""

from __future__ import annotations

from typing import Any

import pytest

from environments.protocols import Picture, Result, protocol
from tests.unit.protocols.cases import TOOLS, Case, check, codes, ids


def entry(arguments: Any = '{"query": "rain"}', name: Any = "search_web", call_id: Any = "a") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def message(*entries: Any, content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(entries)}


RAIN = ("search_web", {"query": "rain"})
SUN = ("search_web", {"query": "sun"})
SECOND = entry('{"query": "sun"}', call_id="b")

CASES = [
    Case("call", message(entry()), (RAIN,)),
    Case("call with text", message(entry(), content="I look."), (RAIN,), text="I look."),
    Case("parallel calls", message(entry(), SECOND), (RAIN, SUN)),
    Case("answer", {"role": "assistant", "content": "Rain."}, answer="Rain."),
    Case("answer as text", "Rain.", answer="Rain."),
    Case(
        "answer in parts", {"content": [{"type": "text", "text": "Ra"}, {"type": "text", "text": "in."}]}, (), "Rain."
    ),
    Case("refusal", {"content": [{"type": "refusal", "refusal": "No."}]}, answer="No."),
    Case("no calls", message(content="Rain."), answer="Rain."),
    Case("reasoning", {**message(entry()), "reasoning_content": "Hm."}, (RAIN,), thought="Hm."),
    Case("thought left in the text", {"content": "<think>Hm.</think>\nRain."}, (), "Rain.", "Hm."),
    Case("arguments as an object", message(entry({"query": "rain"})), (RAIN,)),
    Case("no arguments", message(entry("", "finish")), (("finish", {}),)),
    Case("without an id", message(entry(call_id=None)), (RAIN,)),
    Case("calls in the text are text", '<tool_call>{"name": "finish"}', answer='<tool_call>{"name": "finish"}'),
    Case("bad json", message(entry('{"query": "rain"')), problems=("bad_json",)),
    Case("two values", message(entry('{"query": "rain"} {}')), problems=("bad_json",)),
    Case("arguments are no object", message(entry("[]")), problems=("bad_call",)),
    Case("arguments are missing", message(entry(None)), problems=("bad_call",)),
    Case(
        "line break in a string",
        message(entry('{"query": "a\nb"}')),
        (("search_web", {"query": "a\nb"}),),
        problems=("~bad_json",),
    ),
    Case("unknown tool", message(entry(name="search")), problems=("unknown_tool",)),
    Case("name is no text", message(entry(name=5)), problems=("bad_call",)),
    Case("wrong arguments", message(entry('{"query": 5}')), problems=("wrong_arguments",)),
    Case("infinite number in an object", message(entry({"query": "a", "limit": float("inf")})), problems=("bad_json",)),
    Case("lone surrogate in an object", message(entry({"query": "\ud800"})), problems=("bad_json",)),
    Case("a good one beside a bad one", message(entry("{"), SECOND), (SUN,), problems=("bad_json",)),
    Case("the same id twice", message(entry(), entry('{"query": "sun"}')), (RAIN,), problems=("bad_call",)),
    Case("another type", message({**entry(), "type": "custom"}), problems=("bad_call",)),
    Case("no function", message({"id": "a", "type": "function"}), problems=("bad_call",)),
    Case("no object", message("search"), problems=("bad_call",)),
    Case("calls are no list", {"content": "Rain.", "tool_calls": {}}, problems=("not_a_message",)),
    Case("empty", {"role": "assistant", "content": None}, problems=("no_action",)),
    Case("of a user", {"role": "user", "content": "Rain."}, problems=("not_a_message",)),
    Case("content is a number", {"content": 5}, problems=("not_a_message",)),
    Case("block is a text", {"content": ["Rain."]}, problems=("not_a_message",)),
    Case("a list", [message(entry())], problems=("not_a_message",)),
    Case("enormous object", message(entry({"query": "a" * 1_000_001})), problems=("bad_json",)),
    Case("enormous", message(entry(" " * 600_000), entry(" " * 600_000)), problems=("too_long",)),
]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_messages_are_read(case: Case) -> None:
    check(protocol("openai"), case)


def test_every_call_has_one_message_under_its_own_id() -> None:
    openai = protocol({"name": "openai", "max_calls": 2})
    turn = openai.parse(message(entry(), entry("{", call_id="b"), entry(call_id="c"), entry(call_id="d")), TOOLS)
    messages = openai.render_results(turn, [Result(turn.calls[0], "wet")])
    assert [(each["role"], each["tool_call_id"]) for each in messages] == [("tool", each) for each in "abcd"]
    assert [each["content"][:6] for each in messages] == ["wet", "Error:", "Error:", "Error:"]
    assert codes(turn) == ("bad_json", "too_many_calls", "too_many_calls")


def test_problems_of_the_whole_message_come_from_the_user() -> None:
    openai = protocol("openai")
    [told] = openai.render_results(openai.parse("", TOOLS), [])
    assert told == {"role": "user", "content": "Error: the message is empty: call a tool, or give your answer"}


def test_pictures_follow_in_a_user_message() -> None:
    openai = protocol("openai")
    turn = openai.parse(message(entry()), TOOLS)
    told = openai.render_results(turn, [Result(turn.calls[0], "plot", pictures=(Picture("webp", "AAAA"),))])
    assert [each["role"] for each in told] == ["tool", "user"]
    assert told[1]["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}}


def test_tools_are_functions() -> None:
    [first, *_] = protocol("openai").tool_schemas(TOOLS)
    assert first["type"] == "function"
    assert first["function"] == {
        "name": "search_web",
        "description": "Search the web.",
        "parameters": TOOLS["search_web"].parameters,
    }
