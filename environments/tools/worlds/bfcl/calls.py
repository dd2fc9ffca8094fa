"""Calls that the data write as Python text, such as `mv(source='a', destination='b')`: parsed as data, never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from environments.environment import JsonObject


class CallTextError(ValueError):
    """The text is no call of literals that its tool can take."""


def parse_call(text: str, parameters: Mapping[str, Sequence[str]]) -> JsonObject:
    """As `{"tool", "arguments"}`; `parameters` are the names of each tool's parameters, in order.

    Tuples become lists, since that is what an argument can be that came as JSON. Raises: CallTextError.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise CallTextError(f"{text}: {error}") from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise CallTextError(f"{text}: no plain call")
    tool = call.func.id
    if tool not in parameters:
        raise CallTextError(f"{text}: there is no tool {tool!r}")
    if len(call.args) > len(parameters[tool]):
        raise CallTextError(f"{text}: {tool} takes {len(parameters[tool])} arguments")
    arguments = {name: _literal(text, value) for name, value in zip(parameters[tool], call.args, strict=False)}
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise CallTextError(f"{text}: an argument has no name of its own")
        arguments[keyword.arg] = _literal(text, keyword.value)
    return {"tool": tool, "arguments": arguments}


def _literal(text: str, node: ast.expr) -> Any:
    try:
        return _as_json(ast.literal_eval(node))
    except ValueError as error:
        raise CallTextError(f"{text}: {error}") from None


def _as_json(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{value!r} is nothing that JSON can hold")
