"""Which kits of tools and which task sets there are: ours, and those that other packages offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points

from environments.environment import JsonObject
from environments.tasks import Task, TaskSet
from environments.tools.kit import Kit
from environments.tools.kits import KITS
from environments.tools.mcp.kit import mcp_kits
from envserver_sdk.models import KitInfo, ToolInfo

ENTRY_POINT_GROUP = "envserver.tools"


@cache
def kit_classes() -> Mapping[str, type[Kit]]:
    """Every kit that an installed package offers, by name; ours cannot be replaced."""
    return {entry.name: entry.load() for entry in entry_points(group=ENTRY_POINT_GROUP)} | dict(KITS)


def make_kits(task: Task, options: JsonObject) -> list[Kit]:
    """The kits of one episode. Raises: ValueError for one that there is not, or that may not be beside another."""
    names = _names(options.get("tools", task.public.get("tools", ())))
    classes = kit_classes()
    if unknown := [name for name in names if name not in classes]:
        raise ValueError(f"there is no kit {unknown[0][:64]!r}; there are {', '.join(sorted(classes))}")
    kits = [classes[name]() for name in dict.fromkeys(names)]
    kits += mcp_kits(options.get("mcp", task.public.get("mcp", ())))
    checked = [kit.name for kit in kits if kit.checks_state]
    running = [kit.name for kit in kits if kit.runs_code]
    if checked and running:
        raise ValueError(
            f"{checked[0]!r} has a state that is checked, so {running[0]!r}, which runs the policy's code in the same "
            "sandbox, cannot be beside it"
        )
    return kits


def kit_infos() -> list[KitInfo]:
    """Every kit that `options["tools"]` may name, with what is known of its tools before an episode."""
    return [
        KitInfo(
            name=name,
            tools=[
                ToolInfo(name=each.name, description=each.description, parameters=each.parameters)
                for each in kit.marked()
            ],
            runs_code=kit.runs_code,
            checks_state=kit.checks_state,
        )
        for name, kit in sorted(kit_classes().items())
    ]


def _names(value: object) -> Sequence[str]:
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return value
    raise ValueError(f"tools is {str(value)[:80]!r}: a list of the names of kits")


def task_sets() -> Mapping[str, TaskSet]:
    """The task sets of the tools environment, the default first."""
    from environments.tools.tasks import TASK_SETS

    return TASK_SETS
