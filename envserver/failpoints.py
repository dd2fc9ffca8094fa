"""Places at which a chaos program has a process of ours die, stop or fail: where a kill leaves half-done work.

    ENVSERVER_FAILPOINTS="launcher.checkpoint.dumped=kill@2"

kills the process when it comes to that point for the second time; `stop` sends it SIGSTOP, `raise` raises OSError.
Several are parted by commas. ENVSERVER_FAILPOINTS_FILE names a file of the same form that is read at each hit, so that
a process can be told while it runs. What is named there fires once: the first process to get there makes
`<file>.fired`, which holds the point's name, and nothing of the file fires until that is removed. Counting begins
with the process, and anew when the file's text changes.

Both are read when this module is imported. Without them a hit costs one look at a global.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

FAILPOINTS: frozenset[str] = frozenset(
    {
        "launcher.create.range_taken",
        "launcher.create.layer_made",
        "launcher.create.started",
        "launcher.create.recorded",
        "launcher.create.answering",
        "launcher.claim.recorded",
        "launcher.adopt.recorded",
        "launcher.pause.recorded",
        "launcher.pause.frozen",
        "launcher.resume.recorded",
        "launcher.destroy.begun",
        "launcher.destroy.container_removed",
        "launcher.destroy.layer_left",
        "launcher.checkpoint.begun",
        "launcher.checkpoint.dumped",
        "launcher.checkpoint.snapshotted",
        "launcher.checkpoint.synced",
        "launcher.checkpoint.recorded",
        "launcher.delete_checkpoint.record_removed",
        "launcher.restore.images_linked",
        "launcher.restore.restored",
        "launcher.hibernate.dumped",
        "launcher.hibernate.recorded",
        "launcher.hibernate.killed",
        "launcher.wake.recorded",
        "launcher.wake.forgotten",
        "server.begin.world_made",
        "server.begin.written",
        "server.replace.written",
        "server.step.intended",
        "server.step.ran",
        "server.step.written",
        "server.grade.judged",
        "server.grade.written",
        "server.close.written",
        "server.rest.asleep",
        "server.wake.adopted",
        "server.checkpoint.stored",
        "server.checkpoint.written",
        "server.checkpoint.forgotten",
        "server.fork.admitted",
        "server.group.begun",
        "server.call.begun",
        "server.call.written",
        "server.recovery.adopted",
        "server.recovery.regrouped",
        "journal.batch_begun",
        "journal.payload_written",
        "journal.committed_before_answer",
        "journal.checkpointed",
        "journal.sweep_slice",
    }
)
"""Every name that is hit somewhere."""

_Armed = dict[str, tuple[str, int]]


class _State:
    def __init__(self, spec: str, file: str) -> None:
        self.always = _parse(spec)
        self.file = Path(file) if file else None
        self.text = ""
        self.counts: Counter[str] = Counter()
        self.file_counts: Counter[str] = Counter()


def _parse(text: str) -> _Armed:
    """`name=action@nth`, by commas or lines; the first time where no number is said. Raises: ValueError."""
    armed: _Armed = {}
    for entry in text.replace("\n", ",").split(","):
        if not (entry := entry.strip()):
            continue
        name, _, action = entry.partition("=")
        action, _, nth = action.partition("@")
        if name not in FAILPOINTS or action not in ("kill", "stop", "raise"):
            raise ValueError(f"{entry!r}: no failpoint of that name, or another action than kill, stop or raise")
        armed[name] = action, int(nth or 1)
    return armed


_spec, _file = os.environ.get("ENVSERVER_FAILPOINTS", ""), os.environ.get("ENVSERVER_FAILPOINTS_FILE", "")
_state = _State(_spec, _file) if _spec or _file else None


def hit(name: str) -> None:
    """Say that `name` is reached. Raises: OSError where it is told to."""
    if _state is not None:
        _hit(_state, name)


def _hit(state: _State, name: str) -> None:
    state.counts[name] += 1
    action, nth = state.always.get(name, ("", 0))
    if nth == state.counts[name]:
        _act(action, name)
    if state.file is None:
        return
    try:
        text = state.file.read_text()
    except OSError:
        return
    if text != state.text:
        state.text, state.file_counts = text, Counter()
    state.file_counts[name] += 1
    action, nth = _parse(text).get(name, ("", 0))
    if nth == state.file_counts[name] and _fires_first(state.file, name):
        _act(action, name)


def _fires_first(file: Path, name: str) -> bool:
    try:
        with file.with_name(f"{file.name}.fired").open("x") as fired:
            fired.write(name)
    except FileExistsError:
        return False
    return True


def _act(action: str, name: str) -> None:
    if action == "raise":
        raise OSError(f"failpoint {name}")
    os.kill(os.getpid(), signal.SIGKILL if action == "kill" else signal.SIGSTOP)
