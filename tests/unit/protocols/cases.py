"""Tools, and tables of messages with what has to be read from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from environments.protocols import Protocol, ToolSchema, Turn

SEARCH = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "What to look for"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 50},
        "site": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["query"],
    "additionalProperties": False,
}
WRITE = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "content": {"type": "string"},
        "lines": {"type": "array", "items": {"type": "integer"}},
        "options": {"type": "object"},
        "append": {"type": "boolean"},
        "scale": {"type": "number"},
        "mode": {"enum": ["text", "binary"]},
    },
    "required": ["path"],
}


def one_text(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


TOOLS: Mapping[str, ToolSchema] = {
    tool.name: tool
    for tool in (
        ToolSchema("search_web", "Search the web.", SEARCH),
        ToolSchema("write_file", "Write a file.", WRITE),
        ToolSchema("finish", "End the work.", {"type": "object", "properties": {}}),
        ToolSchema("python", "Run Python.", one_text("code")),
        ToolSchema("bash", "Run a shell command.", one_text("command")),
        ToolSchema("lookup", "Look a word up.", one_text("word")),
    )
}

SPECIAL: Mapping[str, Any] = {
    "name": "special_tokens",
    "call_begin": "<|call|>",
    "call_end": "<|/call|>",
    "result_begin": "<|result|>",
    "result_end": "<|/result|>",
    "body": "name_then_json",
    "separator": "<|sep|>",
    "ignored": ["<|calls|>", "<|/calls|>"],
    "answer_begin": "[ANSWER]",
    "answer_end": "[/ANSWER]",
    "think_begin": "[THINK]",
    "think_end": "[/THINK]",
}

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A message, and what has to come of it."""

    what: str
    message: Any
    calls: tuple[tuple[str, Arguments], ...] = ()
    answer: str | None = None
    thought: str | None = None
    text: str | None = None
    problems: tuple[str, ...] = field(default=())
    """Codes; with `~` before those that are not fatal."""


def ids(case: Case) -> str:
    return case.what.replace(" ", "_")


def codes(turn: Turn) -> tuple[str, ...]:
    return tuple(f"{'' if problem.fatal else '~'}{problem.code}" for problem in turn.problems)


def check(protocol: Protocol, case: Case) -> Turn:
    turn = protocol.parse(case.message, TOOLS)
    assert tuple((call.name, call.arguments) for call in turn.calls) == case.calls, turn.problems
    assert turn.answer == case.answer
    assert codes(turn) == case.problems, turn.problems
    assert turn.thought == case.thought
    assert turn.text == case.text
    return turn
