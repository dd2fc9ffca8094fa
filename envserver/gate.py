"""The gate that a task must pass before anyone trains on it, on a node that has loaded it.

Three episodes a task, graded as every other: one that hands in nothing, one that hands in a function that does nothing,
one that hands in the reference solution. The first two must score 0 and the last 1. A node plays what it has loaded,
not what lies in a folder, so the digests of both are compared first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from environments.folders.task import FolderTask
from environments.folders.taskset import FolderTaskSet
from envserver_sdk import Client
from envserver_sdk.errors import NotFound
from envserver_sdk.models import GradeResult

ENVIRONMENT = "code"
RELOAD = "start the server with ENVSERVER_TASKS naming this folder"


@dataclass(frozen=True)
class Checked:
    """What a task's three episodes scored; None where there was no verdict or no episode."""

    task_set: str
    task: str
    nothing: float | None = None
    stub: float | None = None
    solution: float | None = None
    reason: str = ""
    """Why the gate is shut; empty when it is passed."""

    @property
    def ok(self) -> bool:
        return not self.reason


def check_sets(client: Client, sets: Sequence[FolderTaskSet], parallel: int, told: Callable[[], None]) -> list[Checked]:
    """Every task of every set, in order. Raises: NotFound for a set that the server has not loaded."""
    work = []
    for task_set in sets:
        loaded = _loaded(client, task_set)
        work += [(task_set.name, task, loaded.get(task_id)) for task_id, task in task_set.tasks.items()]

    def check(entry: tuple[str, FolderTask, str | None]) -> Checked:
        checked = _check(client, *entry)
        told()
        return checked

    with ThreadPoolExecutor(parallel) as threads:
        return list(threads.map(check, work))


def _loaded(client: Client, task_set: FolderTaskSet) -> Mapping[str, str]:
    """The digests of the tasks that the server has of a set."""
    digests: dict[str, str] = {}
    cursor: str | None = None
    try:
        while True:
            page = client.tasks(ENVIRONMENT, task_set=task_set.name, cursor=cursor, limit=1000)
            digests |= {task.task_id: str(task.public.get("digest")) for task in page.tasks}
            cursor = page.next_cursor
            if cursor is None:
                return digests
    except NotFound:
        raise NotFound(f"the server has no task set {task_set.name!r}; {RELOAD}") from None


def _check(client: Client, task_set: str, folder: FolderTask, loaded: str | None) -> Checked:
    task = folder.task
    if loaded != task.public["digest"]:
        return Checked(task_set, task.task_id, reason=f"the server has another version of it; {RELOAD}")
    if not folder.solution:
        return Checked(task_set, task.task_id, reason="there is no solution/ to check it with")
    stub = f"def {task.public['entry_point']}(*args, **kwargs):\n    return None\n".encode()
    played = [
        _play(client, task_set, task.task_id, files)
        for files in ({}, dict.fromkeys(task.artifacts, stub), folder.solution)
    ]
    nothing, stubbed, solved = (grade.reward for grade in played)
    return Checked(task_set, task.task_id, nothing, stubbed, solved, _reason(*played))


def _play(client: Client, task_set: str, task: str, files: Mapping[str, bytes]) -> GradeResult:
    with client.create(ENVIRONMENT, task_set=task_set, task=task, metadata={"purpose": "gate"}) as episode:
        for path, data in files.items():
            episode.write_file(path, data)
        return episode.grade()


def _reason(nothing: GradeResult, stub: GradeResult, solution: GradeResult) -> str:
    if nothing.reward != 0.0:
        return f"handing in nothing scores {nothing.reward}"
    if stub.reward is None:
        return f"there is no verdict on a stub: {stub.report}"
    if stub.reward != 0.0:
        return f"a function that does nothing scores {stub.reward}"
    return "" if solution.reward == 1.0 else f"the solution scores {solution.reward}: {solution.report}"
