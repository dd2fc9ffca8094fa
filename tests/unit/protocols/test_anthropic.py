"""The Messages API: content blocks."""

from __future__ import annotations

from typing import Any

import pytest

from environments.protocols import Picture, Result, protocol
from tests.unit.protocols.cases import TOOLS, Case, check, codes, ids


def use(arguments: Any, name: Any = "search_web", call_id: Any = "a") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def text(said: Any) -> dict[str, Any]:
    return {"type": "text", "text": said}


def message(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "x"}
FIRST = use({"query": "rain"})
SECOND = use({"query": "sun"}, call_id="b")
RAIN = ("search_web", {"query": "rain"})
SUN = ("search_web", {"query": "sun"})
ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)

CASES = [
    Case("call", message(FIRST), (RAIN,)),
    Case("thought text call", message(THINKING, text("I look."), FIRST), (RAIN,), thought="Hm.", text="I look."),
    Case("parallel calls", message(FIRST, SECOND), (RAIN, SUN)),
    Case("answer", message(text("Rain.")), answer="Rain."),
    Case("answer as text", "Rain.", answer="Rain."),
    Case("content as text", {"role": "assistant", "content": "Rain."}, answer="Rain."),
    Case("redacted thought", message({"type": "redacted_thinking", "data": "x"}, text("Rain.")), answer="Rain."),
    Case("unknown tool", message(use({}, "search")), problems=("unknown_tool",)),
    Case("wrong arguments", message(use({"query": 5})), problems=("wrong_arguments",)),
    Case("input is a text", message(use('{"query": "rain"}')), problems=("bad_call",)),
    Case("name is no text", message(use({}, 5)), problems=("bad_call",)),
    Case("not a number", message(use({"query": "a", "limit": float("nan")})), problems=("bad_json",)),
    Case("key is no text", message(use({5: "a"})), problems=("bad_json",)),
    Case("without end", message(use({"query": ENDLESS})), problems=("bad_json",)),
    Case("no json", message(use({"query": b"rain"})), problems=("bad_json",)),
    Case("a good one beside a bad one", message(use({}), SECOND), (SUN,), problems=("wrong_arguments",)),
    Case("the same id twice", message(FIRST, use({"query": "sun"})), (RAIN,), problems=("bad_call",)),
    Case("result of its own", message(FIRST, {"type": "tool_result", "content": "x"}), problems=("not_a_message",)),
    Case("text is no text", message(text(5)), problems=("not_a_message",)),
    Case("block is no object", message("Rain."), problems=("not_a_message",)),
    Case("nothing", {"role": "assistant", "content": None}, problems=("not_a_message",)),
    Case("empty", message(), problems=("no_action",)),
    Case("only a thought", message(THINKING), thought="Hm.", problems=("no_action",)),
    Case("of a user", {"role": "user", "content": [FIRST]}, problems=("not_a_message",)),
    Case("enormous input", message(use({"query": "a" * 1_000_001})), problems=("bad_json",)),
    Case("enormous", message(text("a" * 1_000_001)), problems=("too_long",)),
]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_messages_are_read(case: Case) -> None:
    check(protocol("anthropic"), case)


def test_all_results_come_in_one_message_before_any_text() -> None:
    anthropic = protocol("anthropic")
    turn = anthropic.parse(message(FIRST, use({}, call_id="b")), TOOLS)
    [told] = anthropic.render_results(turn, [Result(turn.calls[0], "wet", error=True)])
    assert told["role"] == "user"
    first, second = told["content"]
    assert first == {"type": "tool_result", "tool_use_id": "a", "content": "wet", "is_error": True}
    assert (second["tool_use_id"], second["is_error"], codes(turn)) == ("b", True, ("wrong_arguments",))


def test_pictures_are_image_blocks() -> None:
    anthropic = protocol("anthropic")
    turn = anthropic.parse(message(FIRST), TOOLS)
    [told] = anthropic.render_results(turn, [Result(turn.calls[0], "plot", pictures=(Picture("webp", "AAAA"),))])
    assert told["content"][0]["content"] == [
        {"type": "text", "text": "plot"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "AAAA"}},
    ]


def test_an_episode_begins_with_a_picture_in_the_same_form() -> None:
    anthropic = protocol("anthropic")
    assert anthropic.render_user("Go on.") == {"role": "user", "content": "Go on."}
    assert anthropic.render_user("Go on.", [Picture("png", "AAAA")])["content"] == [
        {"type": "text", "text": "Go on."},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    ]


def test_tools_have_an_input_schema() -> None:
    [first, *_] = protocol("anthropic").tool_schemas(TOOLS)
    assert first == {
        "name": "search_web",
        "description": "Search the web.",
        "input_schema": TOOLS["search_web"].parameters,
    }
