"""Writes task sets for tests: a sound one, to be changed in one place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SOUND = {
    "taskset.yaml": 'name: greetings\nversion: "1.0"\ndescription: Two of them\n'
    "splits:\n  train: [hello]\n  test: [bye]\n",
    "hello/task.yaml": "isolation:\n  kind: worker\n  entry_point: hello\n",
    "hello/instruction.md": "Write hello(name) in /workspace/solution.py.\n",
    "hello/files/names.txt": "Ada\n",
    "hello/tests/test_hello.py": "def test_ada(candidate):\n    assert candidate('Ada') == 'Hello, Ada'\n",
    "hello/solution/solution.py": "def hello(name):\n    return f'Hello, {name}'\n",
    "bye/task.yaml": "isolation:\n  kind: worker\n  entry_point: bye\n",
    "bye/instruction.md": "Write bye() in /workspace/solution.py.\n",
    "bye/tests/test_bye.py": "def test_bye(candidate):\n    assert candidate() == 'Bye'\n",
    "bye/solution/solution.py": "def bye():\n    return 'Bye'\n",
}


def write_set(folder: Path, changes: Mapping[str, str | bytes | None] | None = None) -> Path:
    """The sound set with some files replaced, added, or (None) left out."""
    for name, text in {**SOUND, **(changes or {})}.items():
        if text is None:
            continue
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder
