"""Runs in the harness's sandbox: the pristine prompt and the tests, with a stand-in for the candidate.

Frames in: {"start": {"prompt", "test", "entry_point"}}, then the answer to each call: {"value", "changed"} or
{"raised", "text"}. Frames out: {"call": name, "args": [...], "kwargs": {...}}, and at the end {"verdict": "passed"} or
{"verdict": "failed", "error": exception name}; {"broken": reason} when the tests cannot be run with any candidate.

No code of a candidate ever runs here, and its values arrive as plain builtins, so the verdict can be believed.
"""

from __future__ import annotations

from typing import Any

from envserver.grading.guest.channel import Channel, make_error
from envserver.grading.guest.codec import Refused, decode, dump, encode, load


class BrokenTests(Exception):
    """The tests ask for what cannot be asked of any candidate."""


class Candidate:
    """Calls of the tests, relayed. Arguments that the candidate changed are changed here too."""

    def __init__(self, channel: Channel, name: str) -> None:
        self._channel = channel
        self.__name__ = name
        self.calls = 0
        self.broken = ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        values = [*args, *kwargs.values()]
        try:
            trees = [encode(value) for value in args], {name: encode(value) for name, value in kwargs.items()}
            request = dump({"call": self.__name__, "args": trees[0], "kwargs": trees[1]})
        except Refused as error:
            self.broken = str(error)
            raise BrokenTests(self.broken) from None
        self.calls += 1
        self._channel.write(request)
        answer = load(self._channel.read())
        if "raised" in answer:
            raise make_error(answer["raised"], answer["text"])
        for position, tree in answer["changed"].items():
            apply_change(values[int(position)], decode(tree))
        return decode(answer["value"])


def apply_change(old: Any, new: Any) -> bool:
    """Make `old` equal to `new` in place, keeping inner objects where they match; False where it cannot be."""
    if type(old) is not type(new):
        return False
    if type(old) is list:
        merged = [
            before if i < len(old) and apply_change(before := old[i], after) else after for i, after in enumerate(new)
        ]
        old[:] = merged
    elif type(old) is dict:
        merged_pairs = {key: old[key] if key in old and apply_change(old[key], new[key]) else new[key] for key in new}
        old.clear()
        old.update(merged_pairs)
    elif type(old) is set:
        old.clear()
        old.update(new)
    elif type(old) is bytearray:
        old[:] = new
    else:
        return False
    return True


def run(channel: Channel, task: dict[str, str]) -> dict[str, Any]:
    candidate = Candidate(channel, task["entry_point"])
    try:
        run_tests(task, candidate)
    except BaseException as error:
        name = type(error).__name__[:100]
        if candidate.calls == 0 and not candidate.broken:
            return {"broken": f"{name} before the candidate was called"}
        verdict = {"verdict": "failed", "error": name}
    else:
        verdict = {"verdict": "passed"}
    return {"broken": candidate.broken} if candidate.broken else verdict


def run_tests(task: dict[str, str], candidate: Candidate) -> None:
    namespace: dict[str, Any] = {"__name__": "tests"}
    exec(compile(task["prompt"], "<prompt>", "exec"), namespace)
    namespace[task["entry_point"]] = candidate
    exec(compile(task["test"], "<test>", "exec"), namespace)
    namespace["check"](candidate)


def main() -> None:
    channel = Channel()
    channel.write(dump(run(channel, load(channel.read())["start"])))


if __name__ == "__main__":
    main()
