"""The tools of a domain, described from the source of its toolkits: parsed, never run.

A tool is a method with the decorator `is_tool`; its docstring says what it is for and, under `Args:`, what its
arguments are, its annotations of which type.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from inspect import cleandoc

from environments.environment import JsonObject
from environments.tools.worlds.tau2.data import DOMAINS, folder

TYPES: dict[str, JsonObject] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "TaskStatus": {"type": "string", "enum": ["pending", "completed"]},
    "Union[NetworkModePreference, str]": {
        "type": "string",
        "description": "4g_5g_preferred, 4g_only, 3g_only or 2g_only",
    },
    "Union[APNSettings, dict]": {"type": "object"},
}
_ARGUMENT = re.compile(r"^\s*(\w+)(?: \([^)]*\))?: (.*)$")


@cache
def tools(domain: str) -> Sequence[JsonObject]:
    """Every tool of the agent's toolkit, then of the user's."""
    return [
        _described(method)
        for file in DOMAINS[domain]
        for method in _methods(ast.parse((folder() / f"domains/{domain}/{file}.py").read_text(encoding="utf-8")))
    ]


def _methods(module: ast.Module) -> Iterator[ast.FunctionDef]:
    for each in module.body:
        if isinstance(each, ast.ClassDef):
            for member in each.body:
                if isinstance(member, ast.FunctionDef) and any(map(_marks, member.decorator_list)):
                    yield member


def _marks(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "is_tool"


def _described(method: ast.FunctionDef) -> JsonObject:
    description, told = _read(ast.get_docstring(method, clean=False) or "")
    parameters = method.args.args[1:]
    optional = len(method.args.defaults)
    properties = {}
    for each in parameters:
        kind = ast.unparse(each.annotation) if each.annotation else ""
        properties[each.arg] = {**TYPES.get(kind, {}), **({"description": told[each.arg]} if each.arg in told else {})}
    required = [each.arg for each in parameters[: len(parameters) - optional]]
    schema = {"type": "object", "properties": properties, "required": required}
    return {"name": method.name, "description": description or method.name, "parameters": schema}


def _read(docstring: str) -> tuple[str, dict[str, str]]:
    """The description, and what is said of each argument."""
    description, _, rest = cleandoc(docstring).partition("\nArgs:\n")
    told: dict[str, str] = {}
    for line in rest.splitlines():
        if line and not line.startswith(" "):
            break
        if begun := _ARGUMENT.match(line):
            told[begun[1]] = begun[2].strip()
    return description.partition("\nReturns:")[0].strip(), told
