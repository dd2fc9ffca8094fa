"""Plays an errand while servers and browsers are killed under it, by what any policy sees.

A solution's steps are spread over as many steps as are wanted; in between, other pages are visited in a tab of their
own. When a browser died under a form, what had been typed into it is typed again, as its notice tells a policy to.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from environments.browser.world.gold.acting import Acting
from environments.browser.world.gold.page import Page
from environments.browser.world.gold.solutions import SOLUTIONS
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Select, Step, Steps
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks import World
from envserver_sdk import Client, Episode
from envserver_sdk.models import Outcome, StepResult
from tests.conftest import Node

OPTIONS = {"observe": ["text", "html"], "max_chars": 400_000}
"""Solutions read whole pages."""
PLACES = (
    "http://shop.test/", "http://wiki.test/", "http://forum.test/", "http://mail.test/", "http://desk.test/tickets",
)  # fmt: skip
DIED = "the browser died"
TYPED = (Fill, Select)
VISIT = 5

KILL = """
import os, select, sys
from pathlib import Path
killed = []
for process in Path("/proc").glob("[0-9]*"):
    try:
        said = (process / "cmdline").read_bytes().decode("latin-1").replace("\\0", " ")
        # Chromium's main process has no type; those of the types have, and the programs around them do not begin so.
        kind = said.partition("--type=")[2].partition(" ")[0]
        if said.partition(" ")[0].endswith(sys.argv[1]) and kind == sys.argv[2]:
            killed.append(os.pidfd_open(int(process.name)))
            os.kill(int(process.name), 9)
    except OSError:
        pass
assert killed, "there was none"
for each in killed:
    select.select([each], [], [])  # until it has ended
"""

Action = dict[str, Any]
Disturb = Callable[[int, bool], None]
"""Called before each step with its number and whether a form is half filled in: may kill whatever it likes."""


def kill_driver(node: Node) -> None:
    """Playwright's processes on the node, which speak with the browsers."""
    node.docker("exec", node.container, "python3", "-c", KILL, "/playwright/driver/node", "")


def kill(node: Node, kind: str = "") -> None:
    """Chromium's processes of this kind on the node; the main one has none."""
    node.docker("exec", node.container, "python3", "-c", KILL, "/chromium/chromium", kind)


def action_of(step: Step, seen: Mapping[str, Any]) -> Action:
    """One step of a solution, as the environment takes it. Raises: LookupError."""

    def alone() -> Steps:
        yield step

    return Acting(alone()).begin(seen)


class Survivor:
    """One episode on its way."""

    def __init__(self, client: Client, task_id: str, seed: int, disturb: Disturb) -> None:
        told = WorldPlay(World().get(task_id), seed).errand.told
        self._solution = SOLUTIONS[task_id.partition("/")[0]](told)
        self._disturb = disturb
        self.episode: Episode = client.create("browser", task_set="world", task=task_id, seed=seed, options=OPTIONS)
        self._seen: Mapping[str, Any] = self.episode.observation
        self._typed: list[Step] = []
        """Into the page that is open, and not sent."""
        self._form_gone = False
        self.deaths: list[int] = []
        """The steps that found their browser dead."""
        self.starts = 1
        """Of the browser, as the server tells."""
        self._visits = _visits()

    def play(self, steps: int, visits_between: int) -> StepResult:
        """The last of so many steps."""
        step = next(self._solution)
        while not isinstance(step, Answer | Infeasible):
            for _ in range(visits_between):
                self._visit()
            self._solve(step)
            step = self._solution.send(Page(self._seen["url"], self._seen["html"]))
        while self.episode.step_index < steps - 1 - VISIT:
            self._visit()
        while self.episode.step_index < steps - 1:
            self._step({"type": "wait", "time_s": 0})
        return self._step(action_of(step, self._seen))

    def _solve(self, step: Step) -> None:
        """One step of the solution, again where its page was taken away before it could be done."""
        self._carry_out(step)
        while "error" in self._seen:
            assert self._died, self._seen["error"]
            self._type_again()
            self._carry_out(step)
        if isinstance(step, TYPED) or (isinstance(step, Click) and step.role in ("radio", "checkbox")):
            self._typed.append(step)
        else:
            self._typed, self._form_gone = [], False

    def _type_again(self) -> None:
        self._form_gone = False
        for typed in self._typed:
            self._carry_out(typed)
            assert "error" not in self._seen, self._seen["error"]

    def _carry_out(self, step: Step) -> None:
        self._step(action_of(step, self._seen))

    @property
    def _died(self) -> bool:
        return any(DIED in notice for notice in self._seen.get("notices", ()))

    def _visit(self) -> None:
        """Somewhere else and back; what is typed into the page that waits stays, unless its browser dies."""
        for action in next(self._visits):
            self._step(action)
            if "error" in self._seen:  # its browser died under it: nobody knows how far it came
                assert self._died, self._seen["error"]
                while len(self._seen["tabs"]) > 1:
                    self._step({"type": "close_tab", "tab": 2})
                break
            if self._died and action["type"] != "close_tab":
                assert self._seen["tab"] == len(self._seen["tabs"]), "the tab that was current is current again"
        if self._form_gone:
            self._type_again()

    def _step(self, action: Action) -> StepResult:
        number = self.episode.step_index + 1
        self._disturb(number, bool(self._typed))
        result = self.episode.step(action)
        assert self.episode.step_index == number, "each step is taken once"
        assert result.outcome is Outcome.OK, result
        self._seen = result.observation or self._seen
        if self._died:
            self.deaths.append(number)
            self._form_gone = bool(self._typed)
            assert result.info.model_extra is not None
            self.starts = result.info.model_extra["browser_starts"]
        return result


def _visits() -> Iterator[list[Action]]:
    """Each of as many steps as `VISIT` says."""
    for place in itertools.cycle(PLACES):
        yield [
            {"type": "new_tab", "url": place},
            {"type": "scroll", "dx": 0, "dy": 300},
            {"type": "find", "text": "a"},
            {"type": "read_page", "what": "text"},
            {"type": "close_tab"},
        ]
