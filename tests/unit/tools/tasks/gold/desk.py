"""Where a scripted policy works: it has the prompt and the tools, and sees nothing but what they say."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from environments.environment import JsonObject

Call = Callable[[str, JsonObject], Awaitable[JsonObject]]
"""Tool and arguments, for the observation."""
Policy = Callable[["Desk"], Awaitable[str]]
"""Works at a desk until it has an answer."""


class Desk:
    """One episode's. Takes down which observations the answer will rest on."""

    def __init__(self, prompt: str, call: Call) -> None:
        self.prompt = prompt
        self._call = call
        self._found: dict[str, str] = {}
        self._read: dict[str, str] = {}
        self.cited: list[int] = []

    async def use(self, tool: str, **arguments: Any) -> JsonObject:
        observation = await self._call(tool, arguments)
        assert not observation.get("error"), (tool, arguments, observation)
        return observation

    async def say(self, tool: str, **arguments: Any) -> str:
        """What a tool says."""
        return str((await self.use(tool, **arguments))["content"])

    def asked(self, pattern: str) -> tuple[str, ...]:
        """The groups of a pattern in the prompt."""
        found = re.search(pattern, self.prompt)
        assert found, (pattern, self.prompt)
        return tuple(found.groups())

    async def page(self, title: str, *queries: str) -> str:
        """A page by its title: searched for unless a search has shown it, opened unless it has been."""
        for query in queries or (title,):
            if title not in self._found:
                await self._search(query)
        assert title in self._found, (title, queries, self._found)
        if title not in self._read:
            observation = await self.use("open_page", page_id=self._found[title])
            self.cited.append(observation["number"])
            self._read[title] = observation["content"]
        return self._read[title]

    async def _search(self, query: str) -> None:
        said = await self.say("search_web", query=query)
        for page_id, shown in re.findall(r"^\d+\. \[(\S+)\] (.+)$", said, re.MULTILINE):
            self._found.setdefault(shown, page_id)

    async def compute(self, expression: str) -> float:
        """By the calculator."""
        return float((await self.say("calculator", expression=expression)).split()[0])

    def conclude(self, answer: object) -> str:
        """The answer, with what it rests on."""
        cited = ", ".join(f"observation[{number}]" for number in self.cited)
        return f"It rests on {cited or 'what I did'}.\n{answer}"


def fact(label: str, page: str) -> str:
    """What a page says behind a label."""
    found = re.search(rf"^{re.escape(label)}: (.+)$", page, re.MULTILINE)
    assert found, (label, page)
    return found[1]


def amount(label: str, page: str) -> float:
    """The number that a page says behind a label."""
    return float(fact(label, page).split()[0].replace(",", ""))


def joined(names: Iterable[str]) -> str:
    return ", ".join(names)
