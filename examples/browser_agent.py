"""A browser agent: it reads the page as text, and acts by the refs in it.

    python examples/browser_agent.py [--url URL] [--tasks login-user enter-text click-button] [--seed 1]

The node is at ENVSERVER_URL, or http://127.0.0.1:8000. Needs the SDK alone. The loop is BrowserGym's: an observation
with an outline of the page, whose elements have refs, goes to a policy, and its action goes to the browser. The
`ScriptedPolicy` stands where a model would be: it is given what a model would be given, and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from envserver_sdk import Client

MAX_STEPS = 10
ELEMENT = re.compile(r'^ *- (?P<role>\w+)(?: "(?P<name>[^"]*)")?.* ?\[ref=(?P<ref>\w+)\]', re.MULTILINE)
"""A line of the outline, such as `- button "Login" [ref=e9] [cursor=pointer]`."""

Action = dict[str, Any]
Observation = dict[str, Any]


class ScriptedPolicy:
    """Types what the goal quotes into the fields, in their order, and presses the button; or clicks what it names."""

    def __init__(self, goal: str) -> None:
        self._words = re.findall(r'"([^"]+)"', goal)
        self._enter = goal.startswith("Enter")
        self._filled = 0

    def act(self, observation: Observation) -> Action:
        page = observation.get("text")
        if page is None:  # a step that came to no end shows none
            return {"type": "wait", "time_s": 1}
        if not self._enter:
            return self._click(page, "button", self._words[0])
        if self._filled == len(self._words):
            return self._click(page, "button")
        field = list(elements(page, "textbox"))[self._filled]
        self._filled += 1
        return {"type": "fill", "ref": field["ref"], "text": self._words[self._filled - 1]}

    @staticmethod
    def _click(page: str, role: str, name: str | None = None) -> Action:
        found = next((each for each in elements(page, role) if name in (None, each["name"])), None)
        if found is None:
            return {"type": "infeasible", "reason": f"there is no {role} {name or ''}"}
        return {"type": "click", "ref": found["ref"]}


def elements(page: str, role: str) -> Iterator[dict[str, str]]:
    """Of this role, in the page's order: `ref` and `name`."""
    return (found.groupdict("") for found in ELEMENT.finditer(page) if found["role"] == role)


def play(client: Client, task: str, seed: int) -> dict[str, Any]:
    """One episode: what was done, and what it was worth."""
    with client.create("browser", task_set="miniwob", task=task, seed=seed) as episode:
        observation = episode.observation
        policy = ScriptedPolicy(observation["goal"])
        actions, reward = [], 0.0
        for _ in range(MAX_STEPS):
            actions.append(policy.act(observation))
            step = episode.step(actions[-1])
            observation, reward = step.observation, reward + step.reward
            if step.done:
                break
    return {"task": task, "seed": seed, "actions": actions, "reward": reward}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("ENVSERVER_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--tasks", nargs="+", default=["login-user", "enter-text", "click-button"])
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with Client(arguments.url) as client:
        for task in arguments.tasks:
            print(json.dumps(play(client, task, arguments.seed)))


if __name__ == "__main__":
    main()
