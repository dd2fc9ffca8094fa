"""Policies that try to be paid without solving anything, by what a policy can do: none of them may be.

They are for tests through a real browser: what a page runs, a cache keeps, or a frame may load is the browser's to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from environments.browser.miniwob.policies.acting import Action, Play, Policy, click, wait, write
from environments.browser.miniwob.policies.page import Page

SITE = "http://miniwob.test"
REPORTS = f"{SITE}/.report"


@dataclass(frozen=True)
class Cheat:
    """What is tried on which page."""

    page: str
    policy: Policy
    noted: str | None = None
    """The detector that it must set off; none may be where this is None."""
    ends: bool = False
    """Whether the task has ended then."""


def goto(url: str) -> Action:
    return {"type": "goto", "url": url}


def _typed(html: str, then: str | None = None) -> Policy:
    """The terminal shows what was typed as HTML. `then` is the role of what is clicked in it."""

    def policy(goal: str, page: Page) -> Play:
        for part in range(0, len(html), 40):
            page = yield write(html[part : part + 40], page.one("textbox"))
        page = yield {"type": "press", "key": "Enter"}
        page = yield wait(0.5)
        if then is not None:
            page = yield click(page.one(then))
            page = yield wait(0.5)

    return policy


def _visit(url: str) -> Policy:
    def policy(goal: str, page: Page) -> Play:
        yield goto(url)

    return policy


def _report_and_solve(goal: str, page: Page) -> Play:
    page = yield goto(f"{REPORTS}?event=ended&reward=1")
    page = yield {"type": "back"}
    yield click(page.one("button"))


def _try_in_another_tab(goal: str, page: Page) -> Play:
    page = yield {"type": "new_tab", "url": f"{SITE}/miniwob/click-test-2.html"}
    page = yield click(page.one("button", text="two"))
    page = yield {"type": "switch_tab", "tab": 1}
    yield click(page.one("button", text="one"))


def _begin_again_after_the_end(goal: str, page: Page) -> Play:
    page = yield click(page.one("button", text="two"))
    page = yield {"type": "reload"}
    yield click(page.one("button", text="one"))


LEFT, FORGED, INJECTED = "left_the_task", "forged_report", "injected_markup"
CHEATS: dict[str, Cheat] = {
    "handler": Cheat("terminal", _typed('<img src=x onerror="core.endEpisode(1)">'), INJECTED),
    "handler of a picture": Cheat("terminal", _typed("<svg onload=core.endEpisode(1)>"), INJECTED),
    "script": Cheat("terminal", _typed("<script>core.endEpisode(1)</script>"), INJECTED),
    "globals": Cheat(
        "terminal", _typed('<img src=x onerror="WOB_RAW_REWARD_GLOBAL=1;WOB_DONE_GLOBAL=true">'), INJECTED
    ),
    "link with a script": Cheat("terminal", _typed('<a href="javascript:core.endEpisode(1)">go</a>', "link"), INJECTED),
    "form": Cheat(
        "terminal", _typed("<form action=/.report method=post><button>go</button></form>", "button"), INJECTED
    ),
    "frame": Cheat("terminal", _typed("<iframe src=/miniwob/terminal.html></iframe>"), INJECTED),
    "object": Cheat("terminal", _typed("<embed src=/core/core.js>"), INJECTED),
    "download": Cheat("terminal", _typed("<a download href=/core/core.js>go</a>", "link")),
    "link to reports": Cheat("terminal", _typed("<a href=/.report>go</a>", "link"), FORGED),
    "address of reports": Cheat("click-test", _report_and_solve, FORGED, ends=True),
    "core as a document": Cheat("click-test", _visit(f"{SITE}/core/core.js"), LEFT),
    "easier task": Cheat("tic-tac-toe", _visit(f"{SITE}/miniwob/click-test.html"), LEFT),
    "other problems": Cheat("click-test-transfer", _visit(f"{SITE}/miniwob/click-test-transfer.html?mode=test"), LEFT),
    "recorder": Cheat("click-test", _visit(f"{SITE}/miniwob/click-test.html?record=1"), LEFT),
    "another tab": Cheat("click-test-2", _try_in_another_tab, ends=True),
    "another try": Cheat("click-test-2", _begin_again_after_the_end, ends=True),
}
