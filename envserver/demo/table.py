"""What a demo's episodes came to, and how it is shown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from envserver_sdk import Episode
from envserver_sdk.models import StepResult

WIDTH = 76


@dataclass
class Played:
    """One episode: seconds by phase, and its reward. `expected` is the least that it should earn, or exactly 0."""

    task: str
    expected: float
    create_s: float = 0.0
    steps: int = 0
    step_s: float = 0.0
    grade_s: float = 0.0
    close_s: float = 0.0
    reward: float = 0.0
    trainable: bool = False

    @property
    def as_expected(self) -> bool:
        return self.reward >= self.expected if self.expected else self.reward == 0

    def take(self, episode: Episode, action: dict[str, Any], console: Console, shown: str) -> StepResult:
        """One step, timed and printed; the one that ends the episode is its grading."""
        began = time.perf_counter()
        step = episode.step(action) if action.get("type") != "say" else episode.step_text(action["text"])
        elapsed = time.perf_counter() - began
        if step.done:
            self.grade_s = elapsed
        else:
            self.steps += 1
            self.step_s += elapsed
        self.reward += step.reward
        self.trainable = step.info.trainable
        console.print(f"  {elapsed * 1000:7.1f} ms  {shown}", markup=False, highlight=False)
        return step

    def close(self, episode: Episode, console: Console) -> None:
        began = time.perf_counter()
        episode.close()
        self.close_s = time.perf_counter() - began
        console.print(f"  reward {self.reward:g}", highlight=False)


def begin(episode: Episode, task: str, expected: float, began: float, console: Console) -> Played:
    """A new episode, announced; `began` is when it was asked for."""
    console.print(f"\n[bold]{task}[/bold]  episode {episode.episode_id}", highlight=False)
    return Played(task, expected, create_s=time.perf_counter() - began)


def one_line(text: object, width: int = WIDTH) -> str:
    """A text cut to a line."""
    return " ".join(str(text).split())[:width]


def table_of(results: list[Played]) -> Table:
    table = Table(title="milliseconds by phase")
    for heading in ("task", "create", "steps", "each step", "last step + grade", "close", "reward", "trainable"):
        table.add_column(heading, justify="left" if heading == "task" else "right")
    for played in results:
        table.add_row(
            played.task,
            f"{played.create_s * 1000:.0f}",
            str(played.steps),
            f"{played.step_s / max(1, played.steps) * 1000:.1f}",
            f"{played.grade_s * 1000:.0f}",
            f"{played.close_s * 1000:.0f}",
            f"{played.reward:g}",
            "yes" if played.trainable else "no",
        )
    return table
