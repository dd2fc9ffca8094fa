"""Scripted policies: they know the task and see what a model would see, the messages of the episode's protocol."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from environments.protocols import Call, ToolSchema, Turn, protocol
from envserver_sdk import AsyncEpisode
from envserver_sdk.models import StepResult

Say = Callable[["Dialogue"], Turn]
SPECIAL = {
    "name": "special_tokens", "call_begin": "<|call|>", "call_end": "<|/call|>", "result_begin": "<|result|>",
    "result_end": "<|/result|>",
}  # fmt: skip
"""Settings of a protocol that a user defines."""


class Dialogue:
    """One episode, spoken to by turns of an assistant rendered in the episode's protocol."""

    def __init__(self, episode: AsyncEpisode, settings: Any) -> None:
        self.episode = episode
        self._protocol = protocol(settings)
        self.last: StepResult | None = None

    async def call(self, tool: str, thought: str | None = "Let me look it up.", **arguments: Any) -> str:
        """One call; what the model reads of its result."""
        return await self._say(Turn(thought, (Call(tool, arguments),)))

    async def answer(self, text: str) -> StepResult:
        await self._say(Turn("That is all I need.", answer=text))
        assert self.last is not None
        return self.last

    async def _say(self, turn: Turn) -> str:
        before = len(self.episode.messages)
        message = self._protocol.render_turn(turn)
        if message.keys() == {"role", "content"} and isinstance(message["content"], str):
            self.last = await self.episode.step_text(message["content"])
        else:
            self.last = await self.episode.step_message(message)
        return text_of(self.episode.messages[before + 1 :])


def text_of(messages: Sequence[Any]) -> str:
    """All that is said in messages of any shape."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            for member in ("content", "text"):
                walk(value.get(member))
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(list(messages))
    return "\n".join(found)


def number_behind(label: str, text: str) -> float:
    """The number that follows a label: `Population: 68,000,000`."""
    found = re.search(rf"{label}: ([\d,]*\d(?:\.\d+)?)", text)
    assert found, f"no {label} in {text[:500]!r}"
    return float(found[1].replace(",", ""))


__all__ = ["SPECIAL", "Call", "Dialogue", "ToolSchema", "number_behind", "text_of"]
