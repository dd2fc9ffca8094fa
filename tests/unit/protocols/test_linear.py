"""Time grows with the length of the message and no faster, whatever it holds.

Each text repeats what makes a careless reader look to the end again and again. Times are of this process; the bound is
ten times what is measured on a busy core, and a fraction of what quadratic reading takes.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from environments.protocols import PROTOCOLS, Call, Result, Turn, protocol
from tests.unit.protocols.cases import TOOLS
from tests.unit.protocols.test_round_trips import SETTINGS

CHARS = 100_000
MAX_S = 0.8

UNITS = [
    "<think>",
    "</think>",
    "<think></think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_call>{",
    '<tool_call>{"name": "',
    '<tool_call>["',
    '<tool_call>{"name": "finish", "arguments": {}}</tool_call>',
    '<tool_call>{"name": "finish", "arguments": {}}',
    "<tool_response>",
    "<function=finish></function>",
    "<function=write_file><parameter=path>",
    "<parameter=path>a</parameter>",
    "<function=",
    "<answer>",
    "</answer>",
    "<answer><tool>",
    "<answer><tool>finish{}</tool>",
    "<search>",
    "<search>a</search>",
    "<information>",
    "\nAction: finish\nAction Input: {",
    "\nAction: lookup\nAction Input: a",
    "\nAction:",
    "\nAction Input:",
    "\nFinal Answer:",
    "\nObservation:",
    "\n**",
    "```",
    "\n```\n",
    "\n```python\n",
    "\n````python\n```",
    "\n```x\n```",
    "<|call|>",
    "<|call|>a<|sep|>{",
    "<|/call|>",
    "[ANSWER]",
    "[ANSWER][/ANSWER]",
    "[THINK][/THINK]",
    "[/THINK]",
    " ",
    "\n",
    "\t\n ",
    "<",
    "{",
    "[",
    '"',
    "\\",
    "é",
    "<|im_end|>",
]
ENDS = ["", "</think>", "[/THINK]"]


@pytest.mark.parametrize("unit", UNITS)
def test_long_texts_are_read_in_time(unit: str) -> None:
    read_in_time(unit, CHARS, MAX_S)


@pytest.mark.full
@pytest.mark.parametrize("unit", UNITS)
def test_the_longest_texts_are_read_in_time(unit: str) -> None:
    read_in_time(unit, 10 * CHARS, 10 * MAX_S)


def read_in_time(unit: str, chars: int, max_s: float) -> None:
    for name in PROTOCOLS:
        own = protocol(SETTINGS[name])
        for end in ENDS:
            text = unit * ((chars - len(end)) // len(unit)) + end
            began = time.process_time()
            own.parse(text, TOOLS)
            assert time.process_time() - began < max_s, (name, end)


@pytest.mark.parametrize(
    "unit", ["<", "< ", "</", "`", "```\n", "\n", "\nobservation[", "\n ", "<|", "<|a", "<|a|>", "*", "\n**", "<x<"]
)
def test_long_results_are_framed_in_time(unit: str) -> None:
    call = Call("finish", {}, "call_1")
    result = Result(call, unit * (CHARS // len(unit)), number=1)
    for name in PROTOCOLS:
        own = protocol(SETTINGS[name])
        began = time.process_time()
        own.render_results(Turn(calls=(call,)), [result])
        assert time.process_time() - began < MAX_S, name


def test_many_calls_beside_the_text_are_read_in_time() -> None:
    entry: dict[str, Any] = {"type": "function", "function": {"name": "finsh", "arguments": "{"}}
    blocks = [{"type": "tool_use", "id": str(n), "name": "serch_web", "input": {}} for n in range(2_000)]
    began = time.process_time()
    protocol("openai").parse({"content": "", "tool_calls": [entry] * 2_000}, TOOLS)
    protocol("anthropic").parse({"content": blocks}, TOOLS)
    assert time.process_time() - began < 4 * MAX_S
