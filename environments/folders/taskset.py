"""A task set's folder: taskset.yaml and a folder a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from environments.folders.places import Fault, TaskFolderError, nearest
from environments.folders.settings import Settings
from environments.folders.task import ID, ID_WORDS, MAX_SETTINGS_BYTES, FolderTask, read_task
from environments.folders.walk import entries, read_text
from environments.tasks import Task, TaskSet

SETTINGS = "taskset.yaml"
ALL = "all"


class FolderTaskSet(TaskSet):
    """A set that was read as a whole; nothing of it is read again."""

    def __init__(
        self,
        path: Path,
        name: str,
        version: str,
        description: str,
        splits: Mapping[str, Sequence[str]],
        tasks: Mapping[str, FolderTask],
    ) -> None:
        self.path = path
        self.name = name
        self.version = version
        self.description = description
        self.tasks = tasks
        """By id, in the order of their folders' names."""
        self._splits = {ALL: tuple(tasks), **{split: tuple(ids) for split, ids in splits.items()}}

    def task_ids(self, split: str = ALL) -> Sequence[str]:
        return self._splits[split]

    def splits(self) -> Sequence[str]:
        return tuple(self._splits)

    def get(self, task_id: str) -> Task:
        return self.tasks[task_id].task


def load_task_set(folder: Path) -> FolderTaskSet:
    """Read a task set's folder. Raises: TaskFolderError with every fault of it."""
    faults: list[Fault] = []
    root = folder.resolve()  # the set's own place may be a link; nothing in it may
    if not root.is_dir():
        raise TaskFolderError([Fault(folder, 0, "is no folder")])
    path = root / SETTINGS
    text = read_text(path, MAX_SETTINGS_BYTES, faults)
    settings = Settings.load(path, text or "", faults)
    read = [read_task(path, faults) for path in entries(root, faults) if path.is_dir()]
    if not read:
        faults.append(Fault(root, 0, "has no task: one folder a task is needed"))
    tasks = _by_id(read, faults)
    loaded = FolderTaskSet(
        root,
        settings.text("name", ID_WORDS, pattern=ID, required=text is not None) or root.name,
        settings.text("version", 'a text: version: "1.0"', required=text is not None) or "",
        settings.text("description", "a text") or "",
        _splits(settings, tasks, path, faults),
        tasks,
    )
    settings.refuse_unknown()
    if faults:
        raise TaskFolderError(faults)
    return loaded


def _by_id(read: list[FolderTask], faults: list[Fault]) -> dict[str, FolderTask]:
    tasks: dict[str, FolderTask] = {}
    for task in read:
        task_id = task.task.task_id
        if task_id in tasks:
            reason = f"id is {task_id!r}, as in {tasks[task_id].settings}; give each task its own"
            faults.append(Fault(task.settings, task.id_line, reason))
        else:
            tasks[task_id] = task
    return tasks


def _splits(
    settings: Settings, tasks: Mapping[str, FolderTask], path: Path, faults: list[Fault]
) -> dict[str, list[str]]:
    given = settings.mapping("splits")
    splits: dict[str, list[str]] = {}
    for split in given.names():
        listed = given.texts(split) or []
        if split == ALL:
            given.fault(split, "is every task already; call the split something else")
        splits[split] = []
        for task_id, line in listed:
            if task_id not in tasks:
                faults.append(Fault(path, line, f"split {split} names {task_id!r}, no task{nearest(task_id, tasks)}"))
            elif task_id in splits[split]:
                faults.append(Fault(path, line, f"split {split} names {task_id!r} twice"))
            splits[split].append(task_id)
    return splits


def load_task_sets(
    paths: Iterable[Path], taken: Iterable[str] = (), *, allow_empty: bool = False
) -> dict[str, FolderTaskSet]:
    """Read every set of the paths, by name; a path is a set's folder or a folder of sets.

    `taken` are names that other sets have; `allow_empty` lets a folder with nothing in it pass. Raises:
    TaskFolderError with every fault of all of them.
    """
    faults: list[Fault] = []
    sets: dict[str, FolderTaskSet] = {}
    names = dict.fromkeys(taken, "the environment's own")
    for folder in _set_folders(paths, faults, allow_empty=allow_empty):
        try:
            loaded = load_task_set(folder)
        except TaskFolderError as error:
            faults += error.faults
            continue
        if loaded.name in names:
            line = Settings.load(folder / SETTINGS, (folder / SETTINGS).read_text(), []).line("name")
            reason = f"name is {loaded.name!r}, which is taken: {names[loaded.name]}"
            faults.append(Fault(folder / SETTINGS, line, reason))
        names[loaded.name] = str(folder)
        sets[loaded.name] = loaded
    if faults:
        raise TaskFolderError(faults)
    return sets


def _set_folders(paths: Iterable[Path], faults: list[Fault], *, allow_empty: bool) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if (path / SETTINGS).exists():
            found.append(path)
            continue
        within = entries(path, faults)
        below = [entry for entry in within if (entry / SETTINGS).exists()]
        if not below and path.is_dir() and (within or not allow_empty):
            faults.append(Fault(path, 0, f"has no {SETTINGS}, neither itself nor a folder in it"))
        found += below
    return found
