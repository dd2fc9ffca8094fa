"""A MiniWoB++ task as it is played: its site, its goal once the page has said it, and what its end is worth."""

from __future__ import annotations

from typing import Any, ClassVar

from environments.browser.miniwob.site import MiniwobSite
from environments.browser.play import Check, Play
from environments.browser.web.web import Web
from environments.tasks import Task


class MiniwobPlay(Play):
    """Of one task and seed."""

    page_side: ClassVar[bool] = True

    def __init__(self, task: Task, seed: int) -> None:
        """Raises: ModuleNotFoundError without the wheel, KeyError for a page that it does not have."""
        self._site = MiniwobSite(task.hidden["page"], seed)
        self.web = Web([self._site])
        self.start_url = self._site.url
        self.prompt = task.prompt

    @property
    def goal(self) -> str | None:
        """What is to be done, in the page's words; None until it has started, as the page makes it up."""
        return self._site.goal

    @property
    def finished(self) -> bool:
        return self._site.ended

    def reward(self) -> float:
        """What the page's script gave, where that is positive: it goes from -1 to 1, and some tasks give a part.

        Time does not count: MiniWoB++ pays less the later a task ends, but a page's clock runs while a model thinks.
        """
        raw = self._site.raw_reward
        return 0.0 if raw is None or self._site.unpaid else min(max(raw, 0.0), 1.0)

    def checks(self, answer: str | None, *, infeasible: bool) -> list[Check]:
        """An answer, or that the task cannot be done, is worth nothing: only the page can end it."""
        reward = self.reward()
        return [
            Check("solved", reward >= 1.0),
            Check("partly_solved", reward > 0.0, required=False),
            Check("nothing_forged", not self._site.unpaid, forbidden=True),
        ]

    def notes(self) -> list[dict[str, Any]]:
        return self._site.notes

    def snapshot(self) -> dict[str, Any]:
        return self._site.snapshot()

    def restore(self, state: dict[str, Any]) -> None:
        self._site.restore(state)
