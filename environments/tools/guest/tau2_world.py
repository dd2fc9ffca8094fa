"""A domain of the tau2 benchmark in solo mode: whoever calls has the tools of the agent and of the user.

`spec` is `{"domain", "data": {"agent_data", "user_data"}, "actions": [calls that the task begins with]}`. The parts of
the state are the tables of both databases. A call named `agent.NAME` or `user.NAME` reaches any function of either
toolkit, as a grader's assertions need it; a kit offers no tool of such a name.

Of what the package asks for, pydantic is there; the rest it hardly uses, and gets stand-ins. Identifiers that it draws
by chance are counted instead, so that the same calls come to the same state.
"""

from __future__ import annotations

import importlib
import json
import sys
import tomllib
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SIDES = {"agent": "assistant", "user": "user"}


class Counted:
    """In place of the module `uuid`."""

    def __init__(self) -> None:
        self.drawn = 0

    def uuid4(self) -> Any:
        self.drawn += 1
        return types.SimpleNamespace(hex=f"{self.drawn:032x}"[::-1])


class Merged:
    """In place of `addict.Dict`, as the package uses it: an update goes down into dictionaries."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.value = value

    def update(self, other: Merged) -> None:
        self.value = merged(self.value, other.value)

    def to_dict(self) -> dict[str, Any]:
        return self.value


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    deeper = {
        name: merged(old[name], value)
        for name, value in new.items()
        if isinstance(value, dict) and isinstance(old.get(name), dict)
    }
    return {**old, **new, **deeper}


class Silent:
    """In place of a logger."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def unused(*_: object, **__: object) -> Any:
    raise NotImplementedError("this stands in for a package that the tools do not need")


STAND_INS: dict[str, dict[str, Any]] = {
    "addict": {"Dict": Merged},
    "deepdiff": {"DeepDiff": unused},
    "docstring_parser": {"parse": unused},
    "dotenv": {"load_dotenv": lambda: True},
    "loguru": {"logger": Silent()},
    "toml": {"load": lambda file: tomllib.loads(file.read()), "dump": unused},
    "yaml": {"load": unused, "dump": unused, "SafeLoader": None},
}


def load_domain(name: str) -> Any:
    for module, members in STAND_INS.items():
        if module not in sys.modules:
            sys.modules[module] = types.ModuleType(module)
            sys.modules[module].__dict__.update(members)
    tools: Any = importlib.import_module(f"tau2.domains.{name}.tools")
    if hasattr(tools, "uuid"):
        tools.uuid = Counted()
    environment = importlib.import_module(f"tau2.domains.{name}.environment").get_environment()
    environment.solo_mode = True  # its setter would first describe every tool
    return environment


class World:
    skipped: frozenset[str] = frozenset()

    def __init__(self, spec: dict[str, Any]) -> None:
        self.environment = load_domain(spec["domain"])
        tasks = importlib.import_module("tau2.data_model.tasks")
        data = tasks.InitializationData(**spec["data"]) if spec.get("data") else None
        actions = [tasks.EnvFunctionCall(**action) for action in spec.get("actions", [])]
        self.environment.set_state(data, actions, [])

    def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        try:
            side, _, function = tool.partition(".")
            if function:
                result = self.reach(side, function, arguments)
            else:
                result = self.environment.make_tool_call(tool, requestor="assistant", **arguments)
            self.environment.sync_tools()
            return self.environment.to_json_str(result), False
        except Exception as error:  # whatever a simulator raises is its answer
            return f"Error: {error}", True

    def reach(self, side: str, function: str, arguments: dict[str, Any]) -> str:
        toolkit = self.environment.tools if SIDES[side] == "assistant" else self.environment.user_tools
        return json.dumps(getattr(toolkit, function)(**arguments))

    def parts(self) -> Mapping[str, object]:
        sides = {"agent": self.environment.tools, "user": self.environment.user_tools}
        return {
            f"{side}.{table}": rows
            for side, toolkit in sides.items()
            if toolkit is not None and toolkit.db is not None
            for table, rows in vars(toolkit.db).items()
        }
