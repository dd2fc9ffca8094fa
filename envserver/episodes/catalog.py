"""The environments of this server, and their tasks.

Environments are classes found through the entry-point group `envserver.environments`; beside the task sets that
they ship with, `code` plays those of the folders that ENVSERVER_TASKS names. A task set may read
files when its first task is asked for, so first touches run in a thread; after that its tasks are in memory
and are taken directly.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from environments.environment import Environment
from environments.folders import load_task_sets
from environments.protocols.registry import PROTOCOLS
from environments.tasks import Task, TaskSet
from envserver.errors import EnvserverError
from envserver_sdk.errors import NotFound
from envserver_sdk.models import EnvironmentInfo, EnvironmentList, EnvironmentOffer, TaskInfo, TaskList, TaskSetInfo

T = TypeVar("T")

ENTRY_POINT_GROUP = "envserver.environments"
FOLDERS_PLAYER = "code"
DEFAULT_PAGE = 100


def installed_environments() -> dict[str, type[Environment]]:
    """Every environment that an installed package offers. Raises: EnvserverError for one that cannot be loaded."""
    found: dict[str, type[Environment]] = {}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        try:
            cls = entry.load()
        except Exception as error:
            raise EnvserverError(f"environment {entry.name!r} ({entry.value}) cannot be loaded: {error}") from error
        found[entry.name] = cls
    return found


def folder_task_sets(
    environments: Mapping[str, type[Environment]], paths: Sequence[Path]
) -> dict[str, Mapping[str, TaskSet]]:
    """The task sets of folders, for the environment that plays them: `code`. A folder may be empty, as a volume is.

    Raises: TaskFolderError.
    """
    if not paths:
        return {}
    if FOLDERS_PLAYER not in environments:
        raise EnvserverError(f"ENVSERVER_TASKS is set, but no environment {FOLDERS_PLAYER!r} is installed")
    return {FOLDERS_PLAYER: load_task_sets(paths, environments[FOLDERS_PLAYER].task_sets(), allow_empty=True)}


@dataclass(frozen=True)
class Choice:
    """What an episode will play."""

    environment: type[Environment]
    task_set: str
    task: Task
    seed: int


class Catalog:
    """Environments by name."""

    def __init__(
        self,
        environments: Mapping[str, type[Environment]],
        task_sets: Mapping[str, Mapping[str, TaskSet]] | None = None,
    ) -> None:
        self._environments = dict(environments)
        self._added = dict(task_sets or {})
        """By environment, beside those that ship with it."""
        self._warm: set[tuple[str, str]] = set()
        self._offers: dict[str, EnvironmentOffer] = {}

    def names(self) -> list[str]:
        return list(self._environments)

    def environment(self, name: str) -> type[Environment]:
        """Raises: NotFound."""
        try:
            return self._environments[name]
        except KeyError:
            known = ", ".join(sorted(self._environments)) or "none"
            raise NotFound(f"no environment is named {name[:128]!r}; there are: {known}") from None

    async def choose(
        self,
        name: str,
        task_set: str | None,
        task_id: str | None,
        seed: int | None,
        options: Mapping[str, Any] | None = None,
    ) -> Choice:
        """Settle what is played; what is left out, and not meant by the options either, is drawn. Raises: NotFound."""
        environment = self.environment(name)
        if task_id is None and options:
            task_id = environment.task_of(options)
        drawn = secrets.randbits(31) if seed is None else seed
        set_name, tasks = await self._task_set(name, task_set)

        def pick() -> Task:
            chosen = task_id
            if chosen is None:
                ids = tasks.task_ids()
                chosen = ids[random.Random(drawn).randrange(len(ids))]
            return tasks.get(chosen)

        try:
            task = await self._touch(name, set_name, pick)
        except KeyError:
            raise NotFound(f"task set {set_name!r} has no task {task_id!r}") from None
        return Choice(environment, set_name, task, drawn)

    async def overview(self) -> EnvironmentList:
        """Every environment with what it offers."""
        return EnvironmentList(environments=self.names(), offers=[await self._offer(name) for name in self.names()])

    async def _offer(self, name: str) -> EnvironmentOffer:
        """Made once: other packages' kits are looked for on the disk."""
        if name not in self._offers:
            environment = self.environment(name)
            offer = await asyncio.to_thread(environment.offer)
            self._offers[name] = EnvironmentOffer(
                name=name,
                description=environment.spec.description,
                tools=list(offer.tools),
                kits=list(offer.kits),
                protocols=list(PROTOCOLS),
            )
        return self._offers[name]

    async def describe(self, name: str) -> EnvironmentInfo:
        """The public spec of an environment. Raises: NotFound."""
        environment = self.environment(name)
        spec = environment.spec
        sets = []
        for set_name, tasks in (await asyncio.to_thread(self._task_sets, name)).items():
            ids = await self._touch(name, set_name, tasks.task_ids)
            sets.append(
                TaskSetInfo(name=set_name, version=tasks.version, splits=list(tasks.splits()), task_count=len(ids))
            )
        offer = await self._offer(name)
        return EnvironmentInfo(
            name=name,
            description=spec.description,
            tools=offer.tools,
            kits=offer.kits,
            protocols=offer.protocols,
            image=spec.image,
            action_schema=spec.action_schema,
            observation_schema=spec.observation_schema,
            limits=asdict(spec.limits),
            step_timeout_s=spec.step_timeout_s,
            max_step_timeout_s=spec.max_step_timeout_s,
            episode_timeout_s=spec.episode_timeout_s,
            max_steps=spec.max_steps,
            task_sets=sets,
        )

    async def tasks(self, name: str, task_set: str | None, split: str, cursor: str | None, limit: int) -> TaskList:
        """One page of tasks with what may be shown of them. Raises: NotFound."""
        set_name, tasks = await self._task_set(name, task_set)
        start = int(cursor) if cursor and cursor.isdecimal() and len(cursor) < 12 else 0

        def page() -> TaskList:
            ids = tasks.task_ids(split)
            shown = [tasks.get(task_id) for task_id in ids[start : start + limit]]
            return TaskList(
                task_set=set_name,
                split=split,
                tasks=[TaskInfo(task_id=t.task_id, prompt=t.prompt, public=dict(t.public)) for t in shown],
                next_cursor=str(start + limit) if start + limit < len(ids) else None,
            )

        try:
            return await self._touch(name, set_name, page)
        except KeyError:
            raise NotFound(f"task set {set_name!r} has no split {split!r}") from None

    def _task_sets(self, name: str) -> Mapping[str, TaskSet]:
        return {**self.environment(name).task_sets(), **self._added.get(name, {})}

    async def _task_set(self, name: str, task_set: str | None) -> tuple[str, TaskSet]:
        sets = self._task_sets(name)
        if not sets:
            raise NotFound(f"environment {name!r} has no task set")
        chosen = task_set or next(iter(sets))
        if chosen not in sets:
            raise NotFound(f"environment {name!r} has no task set {chosen!r}; it has: {', '.join(sets)}")
        return chosen, sets[chosen]

    async def _touch(self, name: str, task_set: str, read: Callable[[], T]) -> T:
        if (name, task_set) in self._warm:
            return read()
        result = await asyncio.to_thread(read)
        self._warm.add((name, task_set))
        return result
