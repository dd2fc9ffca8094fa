"""Random and bent assistant messages for every protocol: `python -m tests.fuzz.protocols --inputs 1000000 --seed 1`.

Inputs are texts of `protocol_corpus`, bent and joined, mixtures of the formats' tokens, and messages of structured
forms with strange members; most are read by the protocol that they are meant for. What must hold of each: no exception;
the same turn when it is read again; a bounded time; no call that the message does not hold: its name, its arguments'
keys and every value in them occur in it, as an independent reader finds them; a turn without calls and answer says why;
and the results can be rendered.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from environments.protocols import PROTOCOLS, Call, Protocol, Result, ToolSchema, Turn, protocol

CORPUS = Path(__file__).parent / "protocol_corpus"
MAX_S = 0.25
"""Of one input, in this process's time: a hundred times what the slowest takes on a quiet machine."""
MAX_CHARS = 20_000

OBJECT: dict[str, Any] = {"type": "object", "properties": {}}
TOOLS = {
    tool.name: tool
    for tool in (
        ToolSchema(
            "search_web",
            "Search.",
            {
                "type": "object",
                "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}, "deep": {"type": "boolean"}},
                "required": ["query"],
            },
        ),
        ToolSchema("anything", "Takes whatever there is.", {"type": "object"}),
        ToolSchema("finish", "End.", OBJECT),
        ToolSchema("python", "Run.", {"type": "object", "properties": {"code": {"type": "string"}}}),
        ToolSchema("bash", "Run.", {"type": "object", "properties": {"command": {"type": "string"}}}),
    )
}
SETTINGS: list[Any] = [
    *(name for name in PROTOCOLS if name != "special_tokens"),
    {"name": "special_tokens", "call_begin": "<|call|>", "call_end": "<|/call|>", "separator": "<|sep|>",
     "body": "name_then_json", "result_begin": "<|result|>", "result_end": "<|/result|>",
     "answer_begin": "[ANSWER]", "answer_end": "[/ANSWER]"},
    {"name": "special_tokens", "call_begin": "[TOOL_CALLS]", "result_begin": "[RESULT]", "result_end": "[/RESULT]"},
    {"name": "tagged", "max_calls": 3, "stop": ["</answer>", "</think>"]},
    {"name": "hermes", "max_calls": 1, "thought_required": True},
    {"name": "search_r1", "stop": ["</search>", "</answer>"]},
    {"name": "code_block", "max_calls": 4, "stop": ["```"]},
    {"name": "react", "max_calls": None},
]  # fmt: skip

TOKENS = [
    "<think>", "</think>", "<answer>", "</answer>", "<tool>", "</tool>", "<tool_call>", "</tool_call>",
    "<tool_response>", "</tool_response>", "<function=", "</function>", "<parameter=", "</parameter>", ">",
    "<search>", "</search>", "<information>", "</information>", "Thought:", "Action:", "Action Input:",
    "Observation:", "Final Answer:", "```python\n", "```bash\n", "\n```\n", "```", "<|call|>", "<|/call|>", "<|sep|>",
    "<|result|>", "[ANSWER]", "[/ANSWER]", "[TOOL_CALLS]", "<|im_end|>", "search_web", "anything", "finish", "python",
    '{"query": "rain"}', '{"name": "anything", "arguments": ', '{"code": "1"}', "{}", "{", "}", "[", "]", '"', "'",
    "\\", ":", ",", "null", "true", "1e9", "-0", "NaN", "\n", "\r\n", " ", "\t", "é", "雨", "\u2028", "\0", "\ud83d",
    "\\ud83d", "\\u0041", "query", "limit", "name", "arguments", "0" * 30,
]  # fmt: skip
STRANGE: list[Any] = [
    None, True, False, 0, -1, 2**64, 1.5, float("nan"), float("inf"), "", "x", "\0", "\ud83d", [], {}, [[]], {"a": {}},
    {"query": "rain"}, '{"query": "rain"}', "search_web", "anything", "assistant", "user", "text", "tool_use",
]  # fmt: skip


@dataclass
class Tally:
    """What came of a run."""

    inputs: int = 0
    calls: int = 0
    answers: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


@lru_cache
def protocols() -> list[Protocol]:
    return [protocol(settings) for settings in SETTINGS]


class Inputs:
    """An endless row of messages; the seed decides them."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._named_texts = [(path.stem, path.read_bytes().decode()) for path in sorted(CORPUS.glob("*.txt"))]
        self._texts = [text for _, text in self._named_texts]
        self._messages = [(path.stem, json.loads(path.read_bytes())) for path in sorted(CORPUS.glob("*.json"))]

    def next(self) -> tuple[Protocol, Any]:
        """A message, and the protocol that shall read it."""
        kind = self._random.random()
        if kind < 0.5:
            name, text = self._random.choice(self._named_texts)
            return self._reader(name), self._bent(text)[:MAX_CHARS]
        if kind < 0.7:
            return self._reader(""), "".join(self._random.choices(TOKENS, k=self._random.randint(0, 40)))
        if kind < 0.75:
            return self._reader(""), self._random.choice(TOKENS) * self._random.randint(1, 200)
        name, message = self._random.choice(self._messages)
        return self._reader(name), self._bent_value(message)

    def all_as_they_are(self) -> list[Any]:
        return [*self._texts, *(message for _, message in self._messages)]

    def _reader(self, name: str) -> Protocol:
        """Most often the protocol that the name of a file of the corpus begins with."""
        fitting = [own for own in protocols() if name.startswith(own.name.removesuffix("_tokens"))]
        return self._random.choice(fitting if fitting and self._random.random() < 0.8 else protocols())

    def _bent(self, text: str) -> str:
        for _ in range(self._random.choice([0, 1, 1, 2, 3, 8])):
            start = self._random.randint(0, len(text))
            end = min(len(text), start + self._random.choice([0, 1, 2, 10, 100]))
            text = text[:start] + self._piece(text[start:end]) + text[end:]
        return text

    def _piece(self, old: str) -> str:
        action = self._random.randrange(6)
        if action == 0:
            return ""
        if action == 1:
            return old * self._random.randint(2, 5)
        if action == 2:
            return old + self._random.choice(TOKENS)
        if action == 3:
            other = self._random.choice(self._texts)
            start = self._random.randint(0, len(other))
            return other[start : start + self._random.randint(0, 200)]
        if action == 4:
            return old.swapcase() if self._random.random() < 0.3 else old[::-1]
        return chr(self._random.choice([self._random.randrange(128), self._random.randrange(0x110000)]))

    def _bent_value(self, value: Any) -> Any:
        """A copy with some members changed."""
        if self._random.random() < 0.06:
            return self._random.choice(STRANGE)
        if isinstance(value, dict):
            bent = {key: self._bent_value(member) for key, member in value.items() if self._random.random() > 0.02}
            return bent | ({self._random.choice(["id", "x", "name"]): None} if self._random.random() < 0.02 else {})
        if isinstance(value, list):
            bent_list = [self._bent_value(each) for each in value]
            return bent_list * 2 if self._random.random() < 0.05 else bent_list
        return self._bent(value) if isinstance(value, str) and self._random.random() < 0.15 else value


class Held:
    """An independent, careless reading of a message: what occurs in it at all."""

    def __init__(self, message: Any) -> None:
        texts = list(_texts(message))
        joined = "".join(texts)
        self._raw = joined + "\n" + "\n".join(texts)
        self._unescaped = _unescape(self._raw)
        self._twice = _unescape(self._unescaped)
        self._numbers: set[float] | None = None

    def lacks(self, value: Any) -> Any:
        """What of the value the message does not hold; None if nothing."""
        if isinstance(value, dict | list):
            parts = [*value, *value.values()] if isinstance(value, dict) else value
            return next((found for each in parts if (found := self.lacks(each)) is not None), None)
        if isinstance(value, str):
            held = any(value in text for text in (self._raw, self._unescaped, self._twice))
        elif value is None or isinstance(value, bool):
            held = json.dumps(value) in self._raw.lower() or str(value).lower() in self._raw.lower()
        else:
            held = value in self._all_numbers()
        return None if held else repr(value)

    def _all_numbers(self) -> set[float]:
        if self._numbers is None:
            found = re.findall(r"-?\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,6})?", self._raw)
            tails = [each[cut:] for each in found if len(each) < 50 for cut in range(len(each))]
            self._numbers = {number for each in (*found, *tails) if (number := _number(each)) is not None}
        return self._numbers


def _number(text: str) -> float | None:
    try:
        return json.loads(text)  # type: ignore[no-any-return]
    except ValueError:
        return None


def _texts(value: Any) -> Any:
    """Every text, key and plain value in a message."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield str(key)
            yield from _texts(member)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    else:
        yield value if isinstance(value, str) else json.dumps(value)


_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_PLAIN = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _unescape(text: str) -> str:
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else _PLAIN.get(match[2], match[2]), text)
    return plain.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def check(own: Protocol, message: Any, tally: Tally) -> None:
    """Read one message with one protocol."""
    began = time.process_time()
    turn = own.parse(message, TOOLS)
    taken = time.process_time() - began
    tally.slowest_s = max(tally.slowest_s, taken)
    if taken > MAX_S:
        tally.wrong.append(f"{own.name} takes {taken:.3f} s for {message!r}")
    _check_turn(own, message, turn, tally)
    tally.calls += len(turn.calls)
    tally.answers += turn.answer is not None
    tally.codes.update(problem.code for problem in turn.problems)


def _check_turn(own: Protocol, message: Any, turn: Turn, tally: Tally) -> None:
    if repr(own.parse(message, TOOLS)) != repr(turn):
        tally.wrong.append(f"{own.name} reads {message!r} in two ways")
    if not turn.calls and turn.answer is None and not any(problem.fatal for problem in turn.problems):
        tally.wrong.append(f"{own.name} says nothing of {message!r}")
    if turn.calls and turn.answer is not None:
        tally.wrong.append(f"{own.name} finds calls and an answer in {message!r}")
    if turn.calls:
        _check_calls(own, message, turn, tally)
    results = [Result(call, "".join(TOKENS[:60]), number=1) for call in turn.calls]
    for told in own.render_results(turn, results):
        json.dumps(told)


def _check_calls(own: Protocol, message: Any, turn: Turn, tally: Tally) -> None:
    held = Held(message)
    for call in turn.calls:
        lacking = _lacking(own, call, held)
        if lacking is not None:
            tally.wrong.append(f"{own.name}: {call} has {lacking}, which is not in {message!r}")
        if call.name not in TOOLS:
            tally.wrong.append(f"{own.name}: {call} is of no tool")
        json.dumps(call.arguments, allow_nan=False).encode()


def _lacking(own: Protocol, call: Call, held: Held) -> Any:
    if own.name in ("search_r1", "code_block"):  # tool and argument are settings of theirs
        return next((found for each in call.arguments.values() if (found := held.lacks(each)) is not None), None)
    if own.name == "react" and set(call.arguments) in ({"code"}, {"command"}):  # the one text argument of a tool
        return held.lacks([call.name, *call.arguments.values()])
    return held.lacks({call.name: call.arguments})


def fuzz(inputs: int, seed: int) -> Tally:
    """So many messages, each read by one protocol."""
    tally, made = Tally(), Inputs(seed)
    while tally.inputs < inputs and len(tally.wrong) < 20:
        own, message = made.next()
        try:
            check(own, message, tally)
        except Exception as error:  # the finding that this is for
            tally.wrong.append(f"{own.name}: {error!r} for {message!r}")
        tally.inputs += 1
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    began = time.monotonic()
    tally = fuzz(arguments.inputs, arguments.seed)
    print(json.dumps({"seconds": round(time.monotonic() - began, 1), **vars(tally)}))  # noqa: T201  # a program
    raise SystemExit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
