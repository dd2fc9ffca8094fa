"""docs/configuration.md against the code: every variable with its real default, and no other."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from environments.code import CodeEnvironment
from environments.tools.users import UserModelSettings
from envserver.cli import app
from envserver.config import ServerConfig
from envserver.images import compose
from envserver.launcher import idmap
from tests.conftest import ROOT
from tests.docs.blocks import documents, find_blocks

PAGE = ROOT / "docs" / "configuration.md"
_ROW = re.compile(r"\| `(ENVSERVER_\w+)` \| (.+?) \|")
_IN_COMPOSE = re.compile(r"\$\{(ENVSERVER_\w+):-([^}]*)\}")


def _documented(section: str) -> dict[str, str]:
    """Name and default of every row below a heading of the second level."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = _ROW.findall(text)
    assert len(rows) == len(dict(rows)), "a variable stands twice in a section"
    return dict(rows)


def _shown(name: str, value: Any) -> str:
    """A default as the page writes it."""
    if value is None or value == "":
        return "none"
    if name.endswith("_BYTES"):
        mib, rest = divmod(value, 1 << 20)
        assert rest == 0
        return f"{mib} MiB"
    return f"{value:g} s" if name.endswith("_S") else f"{value:g}" if isinstance(value, float) else str(value)


def _options() -> Iterator[tuple[str, str, Any]]:
    """(command, variable, default) of every option that a variable may set."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, str, Any]]:
        if isinstance(command, TyperGroup):
            for word, inner in command.commands.items():
                yield from walk(inner, f"{name} {word}".strip())
            return
        for option in command.params:
            if option.envvar:
                assert isinstance(option.envvar, str)
                yield name, option.envvar, option.default

    yield from walk(get_command(app), "")


def _of_compose(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    passed_on = {
        f"ENVSERVER_{word}": "" for word in re.findall(r"^ +ENVSERVER_(\w+):(?= *(?:#.*)?$)", text, re.MULTILINE)
    }
    return {key: value or "none" for key, value in {**passed_on, **dict(_IN_COMPOSE.findall(text))}.items()}


def test_the_server_s_variables_are_those_of_its_configuration() -> None:
    fields = {f"ENVSERVER_{name.upper()}": field.default for name, field in ServerConfig.model_fields.items()}
    assert _documented("Server") == {name: _shown(name, default) for name, default in fields.items()}


def test_the_variables_of_simulated_users_are_those_of_their_settings() -> None:
    fields = UserModelSettings.model_fields.items()
    variables = {f"ENVSERVER_USER_{name.upper()}": field.default for name, field in fields}
    assert _documented("Simulated users") == {name: _shown(name, default) for name, default in variables.items()}


def test_the_launcher_s_variables_are_those_of_its_options() -> None:
    options = {variable: default for command, variable, default in _options() if command == "launcher"}
    assert _documented("Launcher") == {name: _shown(name, default) for name, default in options.items()}


def test_compose_s_variables_are_those_that_its_files_name() -> None:
    files = {**_of_compose("docker-compose.docker.yml"), **_of_compose("docker-compose.yml")}
    assert _documented("Compose and make") == files


def test_the_clients_variables_are_those_of_the_other_commands() -> None:
    others = {variable: default for command, variable, default in _options() if command not in ("launcher", "doctor")}
    found = {name: _shown(name, default) for name, default in others.items() if name != "ENVSERVER_RUN"}
    assert _documented("Clients") == found


def test_no_variable_has_another_default_in_another_place() -> None:
    documented = {**_documented("Server"), **_documented("Clients"), **_documented("Launcher")}
    for command, variable, default in _options():
        if (command, variable) != ("doctor", "ENVSERVER_URL"):  # made from host and port, as the page says
            assert documented[variable] == _shown(variable, default), command


def test_the_page_names_nothing_that_is_not_there() -> None:
    sections = ("Server", "Launcher", "Compose and make", "Simulated users", "Clients")
    there = {name for section in sections for name in _documented(section)}
    assert set(re.findall(r"ENVSERVER_\w+", PAGE.read_text())) <= there


def test_no_document_names_a_variable_that_is_not_there() -> None:
    there = set(re.findall(r"ENVSERVER_\w+", PAGE.read_text())) | {"ENVSERVER_TEST_NODE"}
    named = {name for path in documents() for name in re.findall(r"ENVSERVER_[A-Z_]*[A-Z]", path.read_text())}
    assert named - there == set()


def test_the_bounds_of_a_node_are_what_its_defaults_come_to() -> None:
    text = (ROOT / "docs" / "operations.md").read_text().partition("\n## Sizing\n")[2].partition("\n## ")[0]
    shown = [int(number) for number in re.findall(r"^\| .+ \| (?:(\d+)(?: for each .*)?) \|$", text, re.MULTILINE)]
    limits = CodeEnvironment.spec.limits
    one = ServerConfig(capacity_memory_bytes=(1 << 30) * 4 // 5, capacity_cpus=1)
    by_memory, by_cpus = one.memory_capacity_bytes // limits.memory_bytes, int(one.cpu_capacity / limits.cpus)
    assert shown == [by_memory, by_cpus, one.max_episodes, idmap.RANGE_COUNT]


def test_compose_takes_the_settings_of_the_example(tmp_path: Path) -> None:
    example = next(block for block in find_blocks(PAGE) if block.language == "yaml")
    (tmp_path / "settings.yml").write_text(example.text)
    command = compose.command()
    if command is None:
        pytest.skip("Compose is missing")
    files = ("-f", "docker-compose.yml", "-f", str(tmp_path / "settings.yml"))
    said = subprocess.run([*command, *files, "config"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    server = yaml.safe_load(said)["services"]["server"]
    wanted = yaml.safe_load(example.text)["services"]["server"]["environment"]
    assert wanted.items() <= server["environment"].items()
    assert {"/access", "/run/envserver"} <= {_target(volume) for volume in server["volumes"]}


def _target(volume: str | dict[str, str]) -> str:
    """Compose v1 shows what it was given, v2 a mapping."""
    return volume.split(":")[1] if isinstance(volume, str) else volume["target"]
