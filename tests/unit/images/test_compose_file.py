"""docker-compose.yml gives each service what docs/operations.md says, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def test_nobody_is_privileged_or_shares_the_host_s_processes(services: dict[str, Any]) -> None:
    for service in services.values():
        assert {"privileged", "pid", "ipc", "userns_mode"} & set(service) == set()
        assert service["cap_drop"] == ["ALL"]


def test_each_capability_of_the_launcher_is_explained_and_no_other(services: dict[str, Any]) -> None:
    rows = re.findall(r"^\| ([A-Z_, ]+) \| ", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    explained = [name for row in rows for name in row.split(", ")]
    assert sorted(services["launcher"]["cap_add"]) == sorted(explained)


def test_the_launcher_reaches_no_network_and_the_server_holds_nothing(services: dict[str, Any]) -> None:
    assert services["launcher"]["network_mode"] == "none"
    server = services["server"]
    assert "cap_add" not in server
    assert server["read_only"] is True
    assert server["user"] == "990:990"
    assert server["security_opt"] == ["no-new-privileges"]


def test_the_server_binds_loopback_unless_told_otherwise(services: dict[str, Any]) -> None:
    assert services["server"]["environment"]["ENVSERVER_HOST"] == "${ENVSERVER_HOST:-127.0.0.1}"
    assert services["server"]["environment"]["ENVSERVER_API_KEY"] is None, "passed on, never written down"


def test_no_service_mounts_a_place_of_the_host_but_its_control_groups(services: dict[str, Any]) -> None:
    mounts = {volume.partition(":")[0] for service in services.values() for volume in service["volumes"]}
    assert {source for source in mounts if source.startswith((".", "/", "~"))} == {"/sys/fs/cgroup"}


def test_every_service_is_watched_bounded_in_its_logs_and_given_time_to_end(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["healthcheck"]["test"][:2] == ["CMD", "envserver"]
        assert {"max-size", "max-file"} <= set(service["logging"]["options"])
        assert service["stop_grace_period"]
