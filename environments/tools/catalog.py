"""Which kits of tools and which task sets there are: ours, and those that other packages offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from environments.environment import JsonObject, Needs
from environments.tasks import Task, TaskSet
from environments.tools.kit import Kit
from environments.tools.kits import KITS
from environments.tools.mcp.kit import mcp_kits
from envserver.runtimes.base import Limits
from envserver_sdk.models import KitInfo

ENTRY_POINT_GROUP = "envserver.tools"


@cache
def kit_classes() -> Mapping[str, type[Kit]]:
    """Every kit that an installed package offers, by name; ours cannot be replaced."""
    return {entry.name: entry.load() for entry in entry_points(group=ENTRY_POINT_GROUP)} | dict(KITS)


def chosen_kits(task: Task, options: Mapping[str, Any]) -> list[type[Kit]]:
    """That the caller asks for, or else the task. Raises: ValueError for one that there is not, or that is missing."""
    names = _names(options.get("tools", task.public.get("tools", ())))
    classes = kit_classes()
    if unknown := [name for name in names if name not in classes]:
        raise ValueError(f"there is no kit {unknown[0][:64]!r}; there are {', '.join(sorted(classes))}")
    if missing := [name for name in task.hidden.get("kits", ()) if name not in names]:
        raise ValueError(f"the task {task.task_id!r} cannot do without the kit {missing[0]!r}")
    return [classes[name] for name in dict.fromkeys(names)]


def needs_of(task: Task, usual: Needs, options: Mapping[str, Any]) -> Needs:
    """Of an episode with these kits: where one of them needs another sandbox, that, with the larger limits.

    Raises: ValueError.
    """
    needs = usual
    for kit in chosen_kits(task, options):
        if kit.needs is None:
            continue
        if needs.image not in (usual.image, kit.needs.image) or task.image not in (None, kit.needs.image):
            raise ValueError(f"the kit {kit.name!r} needs a sandbox of {kit.needs.image}, not of {needs.image}")
        limits = {name: max(value, getattr(needs.limits, name)) for name, value in asdict(kit.needs.limits).items()}
        needs = Needs(kit.needs.image, Limits(**limits), needs.checkpoints & kit.needs.checkpoints)
    return needs


def make_kits(task: Task, options: JsonObject) -> list[Kit]:
    """The kits of one episode. Raises: ValueError for one that there is not, or that may not be beside another."""
    kits = [kit() for kit in chosen_kits(task, options)]
    kits += mcp_kits(options.get("mcp", task.public.get("mcp", ())))
    checked = [kit.name for kit in kits if kit.checks_state]
    running = [kit.name for kit in kits if kit.runs_code]
    if checked and running:
        raise ValueError(
            f"{checked[0]!r} has a state that is checked, so {running[0]!r}, which runs the policy's code in the same "
            "sandbox, cannot be beside it"
        )
    for kit in kits:
        kit.beside_code = bool(running)
    return kits


def kit_infos() -> list[KitInfo]:
    """Every kit that `options["tools"]` may name, with what is known of its tools before an episode."""
    return [
        KitInfo(
            name=name,
            tools=kit.infos(),
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
