"""What a task brings to its episode: the sites, where it begins, and how it is judged; all on the server's side."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Any, ClassVar

from environments.browser.web.web import Web


@dataclass(frozen=True)
class Check:
    """One condition of success, judged by what the server holds."""

    name: str
    passed: bool
    weight: float = 1.0
    """Its share of partial credit."""
    required: bool = True
    """Without it the task is not solved. A milestone is not required: it only says how far the policy came."""
    forbidden: bool = False
    """`passed` is then that something harmful was not done; where it was, nothing is paid."""


class Play(ABC):
    """Belongs to one generation of an episode; made from its task and seed, and from nothing else."""

    page_side: ClassVar[bool] = False
    """Whether a page's own script says what is paid: nothing else may then run beside the browser."""
    start_url: str
    prompt: str
    """The task in words, as the policy reads it."""
    web: Web

    @property
    def goal(self) -> str | None:
        """What the first page itself says is to be done, where the prompt cannot know it; read once it has loaded."""
        return None

    @property
    def finished(self) -> bool:
        """The task itself has come to an end, without any answer: the episode is graded."""
        return False

    def checks(self, answer: str | None, *, infeasible: bool) -> list[Check]:
        """The verdict, of the state that there is now; `answer` is what the policy said at last.

        `infeasible`: it said that the task cannot be done, and `answer` is its reason.
        """
        raise NotImplementedError

    def reward(self) -> float | None:
        """Where the task has a measure of its own, from 0 to 1; None where the checks are all there is."""
        return None

    def notes(self) -> list[dict[str, Any]]:
        """What monitors should know: `{"detector": name, "evidence": text}`, such as a forged reward."""
        return []

    def snapshot(self) -> Any:
        """JSON, small."""
        return self.web.snapshot()

    def restore(self, state: Any) -> None:
        """Of a play that is as it began."""
        self.web.restore(state)
