"""The package's data files: entries, their answers, and what is said of each tool."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from environments.environment import JsonObject

VERSION = "4"
PACKAGE = "bfcl_eval"

TOOL_FILES: Mapping[str, str] = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}

TYPES: Mapping[str, str] = {
    **dict.fromkeys(("dict", "object", "HashMap", "Hashtable"), "object"),
    **dict.fromkeys(("array", "list", "tuple", "Array", "ArrayList", "Set", "Queue", "Stack"), "array"),
    **dict.fromkeys(("float", "number", "double"), "number"),
    **dict.fromkeys(("integer", "byte", "short", "long", "Bigint"), "integer"),
    **dict.fromkeys(("boolean", "bool", "Boolean"), "boolean"),
    **dict.fromkeys(("string", "String", "char"), "string"),
}
"""The data's names of types in JSON Schema's words; others (`any`) allow everything."""

KEPT = ("description", "enum", "required", "default", "minItems", "maxItems", "maximum", "format")


def folder() -> Path:
    """Found without running any code of the package. Raises: ModuleNotFoundError."""
    package = find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the package bfcl-eval, which holds the BFCL task sets, is not installed")
    return Path(package.submodule_search_locations[0]) / "data"


def read(path: str) -> list[JsonObject]:
    """The records of one file, one a line."""
    with (folder() / path).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


@cache
def entries(category: str) -> Mapping[str, JsonObject]:
    """By id, in the file's order."""
    return {record["id"]: record for record in read(f"BFCL_v4_{category}.json")}


@cache
def answers(category: str) -> Mapping[str, list[Any]]:
    """What is right, by the id of the entry."""
    return {record["id"]: record["ground_truth"] for record in read(f"possible_answer/BFCL_v4_{category}.json")}


@cache
def class_tools(name: str) -> Sequence[JsonObject]:
    """The tools of a simulated API."""
    return [tool(record) for record in read(f"multi_turn_func_doc/{TOOL_FILES[name]}.json")]


def tool(record: Mapping[str, Any]) -> JsonObject:
    """A tool as an environment shows it."""
    parameters = schema(record["parameters"])
    return {"name": record["name"], "description": record["description"], "parameters": parameters}


def schema(described: Mapping[str, Any]) -> JsonObject:
    """The data's description of a value as JSON Schema."""
    made: JsonObject = {}
    if kind := TYPES.get(described.get("type", "")):
        made["type"] = kind
    made |= {name: described[name] for name in KEPT if name in described}
    if isinstance(described.get("properties"), Mapping):
        made["properties"] = {name: schema(each) for name, each in described["properties"].items()}
    if isinstance(described.get("items"), Mapping):
        made["items"] = schema(described["items"])
    return made
