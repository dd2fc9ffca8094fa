"""The task set `miniwob`: a task a page; its seed says which problem the page makes up.

A page says itself what is to be done, in the yellow box at its top, and ends by itself, with the first answer that it
takes for one. Splits `train` and `test` part the pages by family (`catalog.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from environments.browser.miniwob import wheel
from environments.browser.miniwob.catalog import FLAWS, PAGES, REAL_TIME, split_of
from environments.browser.miniwob.site import ORIGIN
from environments.tasks import GraderSpec, Task, TaskSet

PROMPT = (
    "The browser shows a page of MiniWoB++, 160 pixels wide and 210 high. The box at its top, the first text on the "
    "page, says what to do. Do exactly that, on the page. It ends by itself, and at once, with what it takes for your "
    "answer: submit nothing besides what the page itself asks for; a wrong answer cannot be taken back."
)
MOVING = " The page goes on while you think."
MAX_STEPS = 100


class Miniwob(TaskSet):
    name = "miniwob"
    version = "1.1.0"
    """Of the wheel."""

    def task_ids(self, split: str = "all") -> Sequence[str]:
        """Raises: KeyError, ModuleNotFoundError without the wheel."""
        if split not in self.splits():
            raise KeyError(split)
        wheel.files()
        return [page for page in PAGES if split in ("all", split_of(page))]

    def splits(self) -> Sequence[str]:
        return ("all", "train", "test")

    def get(self, task_id: str) -> Task:
        """Raises: KeyError, ModuleNotFoundError without the wheel."""
        if task_id not in PAGES:
            raise KeyError(task_id)
        wheel.files()
        moving = task_id in REAL_TIME
        return Task(
            task_id,
            PROMPT + MOVING if moving else PROMPT,
            GraderSpec("checks"),
            public={
                "start_url": ORIGIN + wheel.page_path(task_id),
                "real_time": moving,
                **({"flaw": FLAWS[task_id]} if task_id in FLAWS else {}),
            },
            max_steps=MAX_STEPS,
            hidden={"play": "miniwob", "page": task_id},
        )
