"""Task sets as folders: an instruction, files, hidden tests, limits. docs/tasks.md describes the format.

Reading a set reads and checks everything of it and reports every fault at once, each with file, line and reason: a set
is loaded as a whole or not at all. `places.py` holds faults and where they are, `settings.py` reads YAML that
knows its lines, `walk.py` reads files as data (no links, no surprises), `task.py` one task, `worker.py` how its
tests become the `worker` grader's, and `taskset.py` the set.
"""

from environments.folders.places import Fault, TaskFolderError
from environments.folders.taskset import FolderTaskSet, load_task_set, load_task_sets

__all__ = ["Fault", "FolderTaskSet", "TaskFolderError", "load_task_set", "load_task_sets"]
