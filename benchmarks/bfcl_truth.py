"""Calls that are right by BFCL's possible answers, made from them; and values that are not right any more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from environments.tools.worlds.bfcl.answers import LEFT_OUT
from environments.tools.worlds.bfcl.literals import LISTS
from environments.tools.worlds.record import Call

NOWHERE = "no answer of the data says this"


def true_call(answer: Mapping[str, Any], functions: Mapping[str, Any], language: str) -> Call:
    """The call that takes the first of the right values of each parameter."""
    ((tool, values),) = answer.items()
    described, arguments = functions[tool], {}
    for name, right in values.items():
        value = next((each for each in right if each != LEFT_OUT), LEFT_OUT)
        required = name in described.get("required", ())
        if name in described["properties"] and (value != LEFT_OUT or required):
            arguments[name] = _argument(plain(value), described["properties"][name], language)
    return Call(tool, arguments)


def _argument(value: Any, described: Mapping[str, Any], language: str) -> Any:
    if language == "python":
        return value
    return literal(value, language, described["type"], described.get("items", {}).get("type"))


def plain(value: Any) -> Any:
    """A value of an answer, where the members of objects are lists of what is right."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    members = {name: given if isinstance(given, list) else [given] for name, given in value.items()}
    chosen = {name: [each for each in given if each != LEFT_OUT] for name, given in members.items()}
    return {name: plain(given[0]) for name, given in chosen.items() if given}


def literal(value: Any, language: str, kind: str | None = None, items: str | None = None) -> str:
    """The value as Java or JavaScript text. Text at the outside is text or an expression, and stays as it is."""
    if isinstance(value, str):
        return value if kind else json.dumps(value)
    if isinstance(value, list):
        inner = ", ".join(literal(each, language, None if isinstance(each, str) else items) for each in value)
        if language == "javascript":
            return f"[{inner}]"
        return f"new Object[]{{{inner}}}" if kind == LISTS[0] else f"new ArrayList<>(Arrays.asList({inner}))"
    if isinstance(value, dict):
        return _map(value, language)
    if isinstance(value, bool):
        return str(value).lower()
    suffixes = {"long": "L", "Bigint": "n", "float": "f" if language == "java" else ""}
    return f"{value}{suffixes.get(kind or '', '')}"


def _map(value: Mapping[str, Any], language: str) -> str:
    if language == "javascript":
        return "{" + ", ".join(f"{name}: {literal(each, language)}" for name, each in value.items()) + "}"
    puts = " ".join(f'put("{name}", {literal(each, language)});' for name, each in value.items())
    return f"new HashMap<String, Object>() {{{{ {puts} }}}}"


def break_value(value: Any) -> Any:
    """Another value of the same type, as a rule one that nobody means."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return [*value, NOWHERE]
    if isinstance(value, dict):
        return {**value, NOWHERE: NOWHERE}
    return NOWHERE
