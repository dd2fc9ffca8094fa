"""Whether calls are right, by the data's possible answers: for each parameter the values that are.

The empty string among them means that the parameter may be left out. Text is compared without case, blanks and the
punctuation `,./-_*^`, as the benchmark does. Where the benchmark looks one level deep into lists and objects, this goes
all the way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from environments.tools.worlds.bfcl.literals import read
from environments.tools.worlds.record import Call

LEFT_OUT = ""
_IGNORED = re.compile(r"[ ,./\-_*^]")

TYPES: Mapping[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
}


def wrong(
    calls: Sequence[Call], answers: Sequence[Mapping[str, Any]], functions: Mapping[str, Any], language: str
) -> str:
    """What is wrong with the calls, in words that tell no answer; empty if they are right, in whatever order."""
    if len(calls) != len(answers):
        return f"{len(calls)} calls were made, which is not the right number"
    fitting = [
        [number for number, answer in enumerate(answers) if fits(call, answer, functions, language)] for call in calls
    ]
    matched = _match(fitting)
    if matched == len(calls):
        return ""
    return f"{len(calls) - matched} of {len(calls)} calls are not right"


def _match(fitting: Sequence[Sequence[int]]) -> int:
    """How many calls can have an answer of their own."""
    taken: dict[int, int] = {}

    def place(call: int, tried: set[int]) -> bool:
        for answer in fitting[call]:
            if answer not in tried:
                tried.add(answer)
                if answer not in taken or place(taken[answer], tried):
                    taken[answer] = call
                    return True
        return False

    return sum(place(call, set()) for call in range(len(fitting)))


def fits(call: Call, answer: Mapping[str, Any], functions: Mapping[str, Any], language: str) -> bool:
    """Whether it is the call that an answer, `{tool: {parameter: values}}`, describes."""
    (tool, values), described = next(iter(answer.items())), functions.get(call.tool)
    if call.tool != tool or described is None:
        return False
    missing = [name for name in described.get("required", ()) if name not in call.arguments]
    missing += [name for name, right in values.items() if name not in call.arguments and LEFT_OUT not in right]
    if missing:
        return False
    parameters = described["properties"]
    return all(
        name in values and name in parameters and _argument(value, values[name], parameters[name], language)
        for name, value in call.arguments.items()
    )


def _argument(value: Any, right: Sequence[Any], described: Mapping[str, Any], language: str) -> bool:
    kind, items = described["type"], described.get("items", {}).get("type")
    if language != "python":
        if not isinstance(value, str):
            return False
        return any(_equal(form, each) for form in (value, read(value, language, kind, items)) for each in right)
    if kind == "float" and type(value) is int:
        value = float(value)
    meant = next((type(each) for each in right if each != LEFT_OUT), None)
    if type(value) not in (TYPES.get(kind, str), meant):
        return False
    return any(_equal(value, each) for each in right) or (value == [] and LEFT_OUT in right)


def _equal(value: Any, right: Any) -> bool:
    """Whether a value is one that an answer gives; an object's members are given as lists of what is right."""
    if isinstance(value, str) and isinstance(right, str):
        return _standard(value) == _standard(right)
    if isinstance(value, list) and isinstance(right, list):
        return len(value) == len(right) and all(_equal(*pair) for pair in zip(value, right, strict=True))
    if isinstance(value, dict) and isinstance(right, dict):
        return value == right or _equal_members(value, right)
    if isinstance(value, bool) or isinstance(right, bool):
        return value is right
    return bool(value == right)


def _equal_members(value: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    if value.keys() - right.keys():
        return False
    for name, given in right.items():
        allowed = given if isinstance(given, list) else [given]
        if name not in value and LEFT_OUT not in allowed:
            return False
        if name in value and not (any(_equal(value[name], each) for each in allowed) or _equal(value[name], given)):
            return False
    return True


def _standard(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')
