"""What a protocol writes, it reads as the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from environments.protocols import PROTOCOLS, Call, ToolSchema, Turn, protocol
from tests.unit.protocols.cases import SPECIAL, TOOLS, codes

SETTINGS: dict[str, Any] = {name: name for name in PROTOCOLS} | {"special_tokens": SPECIAL}
PARALLEL = ("hermes", "qwen3_coder", "openai", "anthropic", "special_tokens")
WITH_TEXT = (*PARALLEL, "code_block")

CHARACTERS = st.characters(codec="utf-8")
MARKERS = st.sampled_from(
    [
        "<think>",
        "</think>",
        "</tool_call>",
        "<tool_response>",
        "</parameter>",
        "```",
        "\nAction: x",
        "<",
        "{",
        '"',
        "\\",
    ]
)
WORDS = st.text(CHARACTERS, max_size=20) | st.lists(MARKERS | st.text(max_size=4), max_size=4).map("".join)
SAID = st.none() | WORDS.map(str.strip).filter(bool)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
WRITES = st.fixed_dictionaries(
    {"path": WORDS},
    optional={
        "content": WORDS,
        "lines": st.lists(st.integers(-5, 5), max_size=3),
        "options": st.dictionaries(WORDS, VALUES, max_size=3),
        "append": st.booleans(),
        "scale": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
        "mode": st.sampled_from(["text", "binary"]),
    },
)


def calls(name: str) -> st.SearchStrategy[list[tuple[str, dict[str, Any]]]]:
    if name == "search_r1":
        queries = WORDS.map(str.strip).filter(bool)
        return queries.map(lambda query: [("search_web", {"query": query})])
    if name == "code_block":
        return WORDS.filter(str.strip).map(lambda code: [("python", {"code": code})])
    nothing: dict[str, Any] = {}
    writes = WRITES.map(lambda arguments: ("write_file", arguments))
    return st.lists(writes | st.just(("finish", nothing)), min_size=1, max_size=3 if name in PARALLEL else 1)


def exact(value: Any) -> Any:
    """With types, since 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {key: exact(member) for key, member in value.items()}
    return [exact(member) for member in value] if isinstance(value, list) else (type(value), value)


@pytest.mark.parametrize("name", PROTOCOLS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_calls(name: str, data: st.DataObject) -> None:
    made = tuple(Call(*call, f"call_{n}") for n, call in enumerate(data.draw(calls(name)), 1))
    turn = Turn(data.draw(SAID), made, text=data.draw(SAID) if name in WITH_TEXT else None)
    own = protocol(SETTINGS[name])
    try:
        message = own.render_turn(turn)
    except ValueError:
        assume(False)
    read = own.parse(message, TOOLS)
    assert [(call.name, exact(call.arguments), call.call_id) for call in read.calls] == [
        (call.name, exact(call.arguments), call.call_id) for call in made
    ]
    assert (read.thought, read.text, read.answer, read.problems) == (turn.thought, turn.text, None, ())


@pytest.mark.parametrize("name", PROTOCOLS)
@given(answer=SAID.filter(bool), thought=SAID)
@settings(max_examples=60, deadline=None)
def test_answers(name: str, answer: str, thought: str | None) -> None:
    own = protocol(SETTINGS[name])
    try:
        message = own.render_turn(Turn(thought, answer=answer))
    except ValueError:
        assume(False)
    read = own.parse(message, TOOLS)
    assert (read.thought, read.answer, read.calls, read.problems) == (thought, answer, (), ())


@pytest.mark.parametrize("name", PROTOCOLS)
def test_plain_turns_can_always_be_said(name: str) -> None:
    own = protocol(SETTINGS[name])
    call: tuple[str, dict[str, Any]] = (
        ("python", {"code": "1 < 2"}) if name == "code_block" else ("search_web", {"query": "1 < 2"})
    )
    read = own.parse(own.render_turn(Turn("So.", (Call(*call),))), TOOLS)
    assert [(each.name, each.arguments) for each in read.calls] == [call]
    assert own.parse(own.render_turn(Turn("So.", answer="1 < 2")), TOOLS).answer == "1 < 2"


@pytest.mark.parametrize(
    ("name", "turn"),
    [
        ("tagged", Turn(answer="</answer>")),
        ("tagged", Turn(calls=(Call("finish", {}), Call("finish", {})))),
        ("tagged", Turn(calls=(Call("finish", {}),), text="a")),
        ("hermes", Turn(answer="<tool_call>")),
        ("hermes", Turn(answer="a<|im_end|>")),
        ("qwen3_coder", Turn(calls=(Call("write_file", {"path": "</parameter>"}),))),
        ("qwen3_coder", Turn(calls=(Call("write_file", {"path>": "a"}),))),
        ("react", Turn("a\nAction: b", (Call("finish", {}),))),
        ("search_r1", Turn(calls=(Call("finish", {}),))),
        ("search_r1", Turn(calls=(Call("search_web", {"query": " a"}),))),
        ("code_block", Turn(calls=(Call("finish", {}),))),
        ("code_block", Turn(answer="```python\n1\n```")),
        ("openai", Turn(answer="<think>a</think>b")),
        ("openai", Turn()),
    ],
)
def test_what_a_format_cannot_say_is_refused(name: str, turn: Turn) -> None:
    with pytest.raises(ValueError, match=name):
        protocol(name).render_turn(turn)


def test_ids_that_the_format_carries_come_back() -> None:
    for name in ("openai", "anthropic"):
        own = protocol(name)
        made = (Call("finish", {}, "toolu_x"), Call("finish", {}, "toolu_y"))
        assert own.parse(own.render_turn(Turn(calls=made)), TOOLS).calls == made


def test_ids_by_position_begin_where_the_turn_begins() -> None:
    hermes = protocol("hermes")
    turn = Turn(calls=(Call("finish", {}, "call_7"), Call("finish", {}, "call_8")))
    read = hermes.parse(hermes.render_turn(turn), TOOLS, index=7)
    assert (read.calls, codes(read)) == (turn.calls, ())


def test_a_code_block_is_fenced_by_more_backticks_than_it_holds() -> None:
    code = protocol("code_block")
    message = code.render_turn(Turn(calls=(Call("python", {"code": "x\n```\ny"}),)))
    assert message["content"] == "````python\nx\n```\ny\n````"


def test_tools_of_any_schema_are_listed() -> None:
    odd = {"odd": ToolSchema("odd", "Odd.", {})}
    for name in PROTOCOLS:
        own = protocol(SETTINGS[name])
        assert (own.instructions(odd) is None) == (name in ("openai", "anthropic"))
        assert own.tool_schemas(odd)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_instructions_name_the_tools_and_their_results(name: str) -> None:
    text = protocol(SETTINGS[name]).instructions(TOOLS)
    if text is not None:
        assert ("search" in text) or ("Run Python." in text)
        frames = ("observation", "Observation:", "response>", "result|>", "output", "information")
        assert any(frame in text for frame in frames)
