"""Formats by configuration."""

from __future__ import annotations

from typing import Any

import pytest

from environments.protocols import Result, protocol
from tests.unit.protocols.cases import SPECIAL, TOOLS, Case, check, codes, ids

RAIN = ("search_web", {"query": "rain"})
CALL = '<|call|>search_web<|sep|>{"query": "rain"}<|/call|>'
MISTRAL: dict[str, Any] = {
    "name": "special_tokens",
    "call_begin": "[TOOL_CALLS]",
    "body": "name_then_json",
    "separator": "[ARGS]",
    "result_begin": "[TOOL_RESULTS]",
    "result_end": "[/TOOL_RESULTS]",
}
LLAMA: dict[str, Any] = {
    "name": "special_tokens",
    "call_begin": "<|python_tag|>",
    "arguments_key": "parameters",
    "result_begin": "<|start_header_id|>ipython<|end_header_id|>",
    "result_end": "<|eom_id|>",
}

CASES = [
    Case("call", f"[THINK]Hm.[/THINK]<|calls|>{CALL}<|/calls|>", (RAIN,), thought="Hm."),
    Case("two calls", f"<|calls|>{CALL}{CALL}<|/calls|>", (RAIN, RAIN)),
    Case("answer", "[THINK]Hm.[/THINK][ANSWER] Rain. [/ANSWER]", (), "Rain.", "Hm."),
    Case("text is no answer", "It rains.", text="It rains.", problems=("no_action",)),
    Case("text after the answer", "[ANSWER]Rain.[/ANSWER] So.", answer="Rain.", text="So.", problems=("~stray_text",)),
    Case("two answers", "[ANSWER]Rain.[/ANSWER][ANSWER]x[/ANSWER]", (), "Rain.", problems=("~stray_text",)),
    Case("answer not closed", "[ANSWER]Rai", text="Rai", problems=("unclosed_tag",)),
    Case(
        "call in the answer",
        f"[ANSWER]{CALL}[/ANSWER]",
        text='search_web<|sep|>{"query": "rain"}',
        problems=("stray_text", "stray_text"),
    ),
    Case("call after the answer", f"[ANSWER]Rain.[/ANSWER]{CALL}", text="Rain.", problems=("too_many_calls",)),
    Case("answer after the call", f"{CALL}[ANSWER]x[/ANSWER]", (RAIN,), problems=("~text_after_call",)),
    Case("tokens in a string", CALL.replace("rain", "<|/call|>"), (("search_web", {"query": "<|/call|>"}),)),
    Case("not closed", CALL.removesuffix("<|/call|>"), (RAIN,), problems=("~unclosed_tag",)),
    Case("no separator", CALL.replace("<|sep|>", ""), problems=("bad_call",)),
    Case("text after", f"{CALL} I wait.", (RAIN,), text="I wait.", problems=("~text_after_call",)),
    Case("made up result", f"{CALL}<|result|>wet", (RAIN,), problems=("~made_up_result",)),
    Case("in a thought", f"[THINK]{CALL}[/THINK][ANSWER]Rain.[/ANSWER]", (), "Rain.", CALL),
    Case("in a thought of the template", f"{CALL}[/THINK][ANSWER]Rain.[/ANSWER]", (), "Rain.", CALL),
    Case("empty", "", problems=("no_action",)),
]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_messages_are_read(case: Case) -> None:
    check(protocol(SPECIAL), case)


def test_a_call_may_end_with_its_json() -> None:
    text = '[TOOL_CALLS]search_web[ARGS]{"query": "rain"}[TOOL_CALLS]finish[ARGS]{}'
    check(protocol(MISTRAL), Case("mistral", text, (RAIN, ("finish", {}))))


def test_the_arguments_may_have_another_key() -> None:
    text = '<|python_tag|>{"name": "search_web", "parameters": {"query": "rain"}}<|eom_id|>'
    check(protocol(LLAMA | {"end_tokens": ["<|eom_id|>"]}), Case("llama", text, (RAIN,)))


def test_results_stand_between_their_tokens() -> None:
    own = protocol(SPECIAL)
    turn = own.parse(CALL, TOOLS)
    [message] = own.render_results(turn, [Result(turn.calls[0], "wet")])
    assert message == {"role": "user", "content": "<|result|>wet<|/result|>"}
    assert codes(turn) == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"call_begin": ""}, "call_begin has to be set"),
        ({"result_end": ""}, "result_end has to be set"),
        ({"body": "xml"}, "body is 'xml': one of json, name_then_json"),
        ({"body": "json"}, "separator is '<|sep|>': only name_then_json has one"),
        ({"answer_end": ""}, "answer_begin and answer_end are set together"),
        ({"call_end": "<|call|>"}, "'<|call|>' is given for two tokens"),
        ({"call_begin": "call"}, "'call' cannot be a token"),
        ({"call_begin": "&call;"}, "'&call;' cannot be a token"),
        ({"call_begin": "<call> "}, "'<call> ' cannot be a token"),
        ({"separator": "{"}, "'{' cannot be a token"),
    ],
)
def test_tokens_that_cannot_work_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="^" + message.replace("|", r"\|").replace("{", r"\{")):
        protocol({**SPECIAL, **changed})
