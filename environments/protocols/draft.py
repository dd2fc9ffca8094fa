"""A turn in the making: what every protocol's reader writes into.

It keeps the promises that are the same for all formats: ids by position, `max_calls`, tools that exist, arguments that
fit, and that a message with neither call nor answer says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from environments.protocols.hints import did_you_mean, quoted
from environments.protocols.protocol import Call, FormatProblem, ToolSchema, Turn
from environments.protocols.schema import check_arguments


class Draft:
    """Of one message."""

    def __init__(self, tools: Mapping[str, ToolSchema], max_calls: int | None, index: int) -> None:
        self.tools = tools
        self.thoughts: list[str] = []
        self.texts: list[str] = []
        self.answer: str | None = None
        self.max_calls = max_calls
        self.attempts = 0
        self._calls: list[Call] = []
        self._problems: dict[FormatProblem, None] = {}
        self._first = index

    def forget(self) -> None:
        """All that was read so far turned out to be thought."""
        self.thoughts, self.texts, self.answer = [], [], None
        self.attempts = 0
        self._calls.clear()
        self._problems.clear()

    def open_call(self, given_id: str = "") -> str | None:
        """Count one more call. Returns its id, or None where it is one too many, which is then reported."""
        self.attempts += 1
        call_id = given_id or f"call_{self._first + self.attempts - 1}"
        if self.max_calls is None or self.attempts <= self.max_calls:
            return call_id
        one = "one call" if self.max_calls == 1 else f"{self.max_calls} calls"
        self.refuse("too_many_calls", f"only {one} can be made in one message: those after did not run", call_id)
        return None

    def add_call(self, name: str, arguments: Mapping[str, Any], call_id: str) -> bool:
        """Take the call, if there is such a tool and the arguments fit."""
        tool = self.tools.get(name)
        if tool is None:
            self.refuse("unknown_tool", f"there is no tool {quoted(name)}; {did_you_mean(name, self.tools)}", call_id)
            return False
        if errors := check_arguments(arguments, tool.parameters):
            self.refuse("wrong_arguments", f"{name}: {'; '.join(errors)}", call_id)
            return False
        self._calls.append(Call(name, dict(arguments), call_id))
        return True

    def refuse(self, code: str, message: str, call_id: str | None = None) -> None:
        """Report what is not carried out; the same only once."""
        self._problems[FormatProblem(code, message, call_id)] = None

    def forgive(self, code: str, message: str, call_id: str | None = None) -> None:
        """Report a wrong form of what is carried out all the same."""
        self._problems[FormatProblem(code, message, call_id, fatal=False)] = None

    @property
    def refused(self) -> bool:
        """Something fatal was found."""
        return any(problem.fatal for problem in self._problems)

    def turn(self, no_action: str) -> Turn:
        """The finished turn; `no_action` tells the policy what the format would have it write."""
        if self._calls or self.refused:
            self.texts += [self.answer or ""] if not self._calls else []
            self.answer = None
        elif not self.answer:
            self.answer = None
            self.refuse("no_action", no_action)
        thought = "\n".join(filter(None, (each.strip() for each in self.thoughts)))
        text = "".join(self.texts).strip()
        return Turn(thought or None, tuple(self._calls), self.answer, text or None, tuple(self._problems))


def refused_turn(code: str, message: str) -> Turn:
    """Of a message that was not read at all."""
    return Turn(problems=(FormatProblem(code, message),))
