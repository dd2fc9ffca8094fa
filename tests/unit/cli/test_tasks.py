"""`envserver tasks`: a server's task sets page by page, and folders checked without any server."""

from __future__ import annotations

from pathlib import Path

from envserver.server import RunningServer
from tests.unit.cli.conftest import Ask, Run
from tests.unit.environments.task_folders import SOUND, write_set


async def tasks(ask: Ask, server: RunningServer, *arguments: str) -> list[str]:
    said = await ask("tasks", "list", *arguments, "--environment", "scripted", "--url", server.url, "--json")
    return [task["task_id"] for task in said.document["tasks"]]


async def test_sets_and_their_tasks_are_listed_page_by_page(server: RunningServer, ask: Ask) -> None:
    sets = (await ask("tasks", "list", "--environment", "scripted", "--url", server.url, "--json")).document
    (name,) = [entry["name"] for entry in sets]
    every = await tasks(ask, server, name)
    assert len(every) == sets[0]["task_count"] > 1
    assert await tasks(ask, server, name, "--limit", "1") == every[:1]
    assert await tasks(ask, server, name, "--limit", "1", "--all") == every
    assert await tasks(ask, server, name, "--cursor", "1") == every[1:]
    table = await ask("tasks", "list", name, "--limit", "1", "--environment", "scripted", "--url", server.url)
    assert "--cursor 1" in table.out


async def test_a_task_is_shown_as_a_policy_sees_it(server: RunningServer, ask: Ask) -> None:
    here = ("--environment", "scripted", "--url", server.url)
    (entry,) = (await ask("tasks", "list", *here, "--json")).document
    task = (await tasks(ask, server, entry["name"]))[0]
    shown = await ask("tasks", "show", entry["name"], task, *here, "--json")
    assert shown.document["prompt"]
    assert shown.document["prompt"] in (await ask("tasks", "show", entry["name"], task, *here)).out
    for missing in (("gone", task), (entry["name"], "gone")):
        said = await ask("tasks", "show", *missing, *here)
        assert said.status == 4
        assert "gone" in said.err


def test_a_sound_folder_is_summed_up(run: Run, tmp_path: Path) -> None:
    write_set(tmp_path)
    assert "greetings" in run("tasks", "validate", str(tmp_path)).out
    said = run("tasks", "validate", str(tmp_path), "--json")
    assert said.status == 0
    assert said.document["sets"] == [{"name": "greetings", "version": "1.0", "tasks": ["bye", "hello"]}]


def test_every_fault_is_a_line_and_the_status_says_so(run: Run, tmp_path: Path) -> None:
    write_set(tmp_path, {"hello/instruction.md": "", "bye/task.yaml": SOUND["bye/task.yaml"] + "x: 1\n"})
    said = run("tasks", "validate", str(tmp_path))
    assert (said.status, said.out) == (1, "")
    lines = said.err.splitlines()
    assert f"{tmp_path}/bye/task.yaml:4: x is not known; known: artifacts, id, image, isolation, limits" in lines
    assert f"{tmp_path}/hello/instruction.md: is empty: it is all that a policy is told" in lines
    document = run("tasks", "validate", str(tmp_path), "--json").document
    assert document["ok"] is False
    assert {Path(fault["path"]).name for fault in document["faults"]} == {"instruction.md", "task.yaml"}


def test_a_name_that_the_environment_has_is_refused(run: Run, tmp_path: Path) -> None:
    write_set(tmp_path, {"taskset.yaml": SOUND["taskset.yaml"].replace("greetings", "humaneval")})
    assert "taskset.yaml:1: name is 'humaneval', which is taken" in run("tasks", "validate", str(tmp_path)).err


def test_a_folder_that_is_not_there_is_a_fault(run: Run, tmp_path: Path) -> None:
    said = run("tasks", "validate", str(tmp_path / "gone"))
    assert said.status == 1
    assert "gone" in said.err
    checked = run("tasks", "check", str(tmp_path / "gone"))
    assert checked.status == 1
    assert "gone" in checked.err
