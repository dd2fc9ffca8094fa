"""Runs in the candidate's sandbox: loads the solution, answers typed calls, knows nothing to compare with.

Frames in: {"load": path}, {"call": name, "args": [...], "kwargs": {...}}. Frames out: {"loaded": true}; {"value": tree,
"changed": {position: tree}} with the arguments that the call has changed; {"raised": name, "text": str};
{"refused": reason} for a result that cannot travel; {"fatal": name} when the solution cannot be loaded.

Everything that this program says is in the solution's hands. Nobody believes more of it than a value.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from envserver.grading.guest.channel import Channel, name_of, text_of
from envserver.grading.guest.codec import Refused, decode, dump, encode, load


def load_solution(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("solution", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["solution"] = module
    spec.loader.exec_module(module)
    return module


def call(module: Any, frame: dict[str, Any]) -> dict[str, Any]:
    arguments = [decode(tree) for tree in frame["args"]]
    keywords = {name: decode(tree) for name, tree in frame["kwargs"].items()}
    try:
        value = getattr(module, frame["call"])(*arguments, **keywords)
    except BaseException as error:
        return {"raised": name_of(error), "text": text_of(error)}
    try:
        passed = [*frame["args"], *frame["kwargs"].values()]
        after = [encode(argument) for argument in (*arguments, *keywords.values())]
        changed = {str(i): tree for i, tree in enumerate(after) if dump(tree) != dump(passed[i])}
        return {"value": encode(value), "changed": changed}
    except Refused as error:
        return {"refused": str(error)}


def answer(module: Any, frame: dict[str, Any]) -> bytes:
    try:
        return dump(call(module, frame))
    except Refused as error:
        return dump({"refused": str(error)})


def main() -> None:
    channel = Channel()
    sys.path.insert(0, "/workspace")
    frame = load(channel.read())
    try:
        module = load_solution(frame["load"])
    except BaseException as error:
        channel.write(dump({"fatal": name_of(error)}))
        return
    channel.write(dump({"loaded": True}))
    while True:
        channel.write(answer(module, load(channel.read())))


if __name__ == "__main__":
    main()
