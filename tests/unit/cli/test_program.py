"""The program as a whole: statuses, speed, JSON everywhere, nothing that steers a terminal."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envserver.cli import app, problems
from envserver.cli.output import clean, one_line, size
from envserver.config import MIB
from envserver.server import RunningServer
from envserver_sdk import AsyncClient
from envserver_sdk.errors import PROBLEMS, ConnectionFailed
from tests.conftest import ROOT
from tests.unit.cli.conftest import Ask, Run

WITHOUT_JSON = {"serve", "launcher"}
"""They run until they are stopped, and log."""


def commands() -> dict[str, object]:
    found: dict[str, object] = {}
    for group in app.registered_groups:
        assert group.typer_instance is not None
        for command in group.typer_instance.registered_commands:
            assert command.callback is not None
            name = command.name or command.callback.__name__
            found[f"{group.name} {name}" if isinstance(group.name, str) else name] = command.callback
    return found


def test_the_commands_that_documents_promise_are_there_and_each_has_json() -> None:
    found = commands()
    promised = "serve launcher health demo doctor bench top"
    groups = "episodes list, episodes show, episodes close, episodes grade, episodes steps, images ls, tasks list"
    assert {*promised.split(), *groups.split(", "), "tasks show"} <= set(found)
    lacking = {name for name, callback in found.items() if "as_json" not in callback.__annotations__}
    assert lacking == WITHOUT_JSON


def test_help_imports_neither_server_nor_sdk() -> None:
    code = "import sys, envserver.cli; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    slow = {"fastapi", "uvicorn", "pydantic", "httpx", "docker", "asyncio", "yaml", "envserver_sdk", "rich.console"}
    assert slow & set(said.split()) == set()


def test_the_supervisor_can_start_it_as_a_module() -> None:
    command = [sys.executable, "-m", "envserver.cli", "--help"]
    assert "launcher" in subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


@pytest.mark.parametrize("arguments", [("fly",), ("episodes", "show"), ("top", "--interval-s", "never")])
def test_a_mistake_in_the_command_is_a_usage_error(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).status == 2


def test_every_problem_of_the_server_has_a_status_and_none_is_success() -> None:
    statuses = {}
    for code, cls in PROBLEMS.items():
        explained = problems.explain(cls("why"))
        assert explained is not None
        assert "why" in str(explained)
        statuses[code] = explained.status
    assert problems.Exit.OK not in statuses.values()
    assert statuses["not_found"] is problems.Exit.NOT_FOUND
    assert statuses["overloaded"] is problems.Exit.UNREACHABLE
    assert statuses["episode_lost"] is problems.Exit.REFUSED
    assert statuses["infra_error"] is problems.Exit.FAILED
    unreachable = problems.explain(ConnectionFailed("gone"))
    assert unreachable is not None
    assert unreachable.status is problems.Exit.UNREACHABLE


def test_every_status_is_documented_and_no_other() -> None:
    rows = re.findall(r"^\| (\d+) \| ", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)
    assert [int(status) for status in rows] == [*problems.Exit, 130]


def test_every_command_is_documented() -> None:
    rows = re.findall(r"^\| (`.+?) \| ", (ROOT / "docs" / "cli.md").read_text(), re.MULTILINE)
    told = {word for row in rows for name in re.findall(r"`([\w ]+)`", row) for word in name.split()}
    assert {word for name in commands() for word in name.split()} - told == set()


def test_a_defect_is_not_explained_away() -> None:
    assert problems.explain(ZeroDivisionError()) is None


@given(st.text())
def test_cleaned_text_steers_no_terminal(text: str) -> None:
    shown = clean(text)
    assert all(char in "\n\t" or (char >= " " and not "\x7f" <= char < "\xa0") for char in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    shown.encode()
    assert "\n" not in one_line(text)
    assert len(one_line(text, 20)) <= 20


def test_sizes_are_written_for_people() -> None:
    assert [size(count) for count in (0, 1023, 1536, 5 * MIB)] == ["0 B", "1023 B", "1.5 KiB", "5.0 MiB"]


@pytest.mark.parametrize(
    "command", [("images", "ls", "--run", "/gone\x07"), ("health", "--url", "http://127.0.0.1:1/gone\x07")]
)
def test_an_error_steers_no_terminal_either(run: Run, command: tuple[str, ...]) -> None:
    said = run(*command)
    assert said.status == 3
    assert "\x07" not in said.err
    assert "gone" in said.err


async def test_health_is_a_line_or_json(server: RunningServer, ask: Ask) -> None:
    said = await ask("health", "--url", server.url)
    assert said.status == 0
    assert "status ok" in said.out
    assert (await ask("health", "--url", server.url, "--json")).document["status"] == "ok"


def test_a_node_that_does_not_answer_is_not_ready(run: Run) -> None:
    said = run("health", "--url", "http://127.0.0.1:1")
    assert said.status == 3
    assert "127.0.0.1:1" in said.err
    assert run("health", "--launcher", "--run", "/nowhere").status == 3
    assert run("images", "ls", "--run", "/nowhere").status == 3


def test_a_server_that_would_be_open_to_others_is_a_usage_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVSERVER_HOST", "0.0.0.0")
    said = run("serve", "--run", "/nowhere")
    assert said.status == 2
    assert "ENVSERVER_API_KEY" in said.err
    assert said.err.count("\n") == 1


async def test_an_interrupted_command_ends_quietly_with_a_status_of_its_own(server: RunningServer) -> None:
    arguments = ("-m", "envserver.cli", "top", "--json", "--interval-s", "0.05", "--url", server.url)
    command = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, stderr=PIPE, cwd=ROOT)
    assert command.stdout is not None
    assert json.loads(await command.stdout.readline())["health"]["status"] == "ok"
    command.send_signal(signal.SIGINT)
    _, said = await command.communicate()
    assert (command.returncode, said) == (130, b"")


async def test_a_running_server_is_summed_up_at_a_glance(server: RunningServer, ask: Ask) -> None:
    async with AsyncClient(server.url) as client, client.create("scripted", task="a") as episode:
        for _ in range(3):
            await episode.step({"type": "echo", "value": 1})
        await episode.step({"type": "fly"})
        said = await ask("top", "--once", "--interval-s", "0.05", "--url", server.url, "--json")
        table = await ask("top", "--once", "--interval-s", "0.05", "--url", server.url)
    view = said.document
    assert view["health"]["status"] == "ok"
    assert view["episodes"]["live"] == 1
    assert view["steps"]["total"] == 4
    assert view["steps"]["outcomes"] == {"ok": 3, "format_error": 1}
    assert 0 < view["steps"]["since_start"]["p50_ms"] <= view["steps"]["since_start"]["p99_ms"] < 1000
    assert view["steps"]["per_s"] == 0
    assert view["steps"]["p50_ms"] is None
    assert "format_error" in table.out
