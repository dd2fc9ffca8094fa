"""The API classes of the Berkeley Function-Calling Leaderboard as one world.

`spec` is `{"classes": [names], "config": {class: scenario}, "long_context": bool}`. A part of the state is a public
attribute of an instance, called `Class.attribute`. Results become text as that benchmark makes them, so that they can
be compared with those of its reference calls.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

PACKAGE = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
MODULES = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}
STATELESS = ("MathAPI",)


class World:
    """One instance of each class. Where two have a method of one name, the later class has it."""

    skipped = frozenset({"parent"})
    """A directory is equal to another by its name and content alone."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.instances: dict[str, Any] = {}
        self.methods: dict[str, Any] = {}
        for name in spec["classes"]:
            instance = getattr(importlib.import_module(f"{PACKAGE}.{MODULES[name]}"), name)()
            if name not in STATELESS:
                scenario = copy.deepcopy(spec["config"].get(name, {}))
                instance._load_scenario(scenario, long_context=spec["long_context"])
            self.instances[name] = instance
            self.methods.update(inspect.getmembers(instance, predicate=inspect.ismethod))

    def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        method = None if tool.startswith("_") else self.methods.get(tool)
        if method is None:
            return f"Error during execution: name '{tool}' is not defined", True
        try:
            result = method(**arguments)
        except Exception as error:  # whatever a simulator raises is its answer
            return f"Error during execution: {error}", True
        return shown(result), isinstance(result, dict) and "error" in result

    def parts(self) -> Mapping[str, object]:
        return {
            f"{name}.{attribute}": value
            for name, instance in self.instances.items()
            for attribute, value in vars(instance).items()
            if not attribute.startswith("_")
        }


def shown(result: object) -> str:
    if isinstance(result, str):
        return result
    if isinstance(result, dict):
        try:
            return json.dumps(result)
        except (TypeError, ValueError):
            pass
    return str(result)
