"""Commands about task sets: those that a running server offers, and folders of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envserver.cli.options import DEFAULT_PAGE, DEFAULT_URL, AllPages, ApiKey, AsJson, Cursor, PageSize, Url
from envserver.cli.problems import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envserver_sdk import Client
    from envserver_sdk.models import TaskInfo, TaskList

app = typer.Typer(no_args_is_help=True, help="Look at task sets, and check those of your own.")

Folders = Annotated[list[Path], typer.Argument(help="Task sets, or folders of task sets.")]
Environment = Annotated[str, typer.Option(help="The environment that plays them.")]
DEFAULT_ENVIRONMENT = "code"


@app.command("list")
def list_tasks(
    task_set: Annotated[str | None, typer.Argument(help="Its tasks; the task sets when none is named.")] = None,
    environment: Environment = DEFAULT_ENVIRONMENT,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    split: Annotated[str, typer.Option(help="Only the tasks of this split.")] = "all",
    cursor: Cursor = None,
    limit: PageSize = DEFAULT_PAGE,
    all_pages: AllPages = False,
    as_json: AsJson = False,
) -> None:
    """List an environment's task sets, or the tasks of one."""
    from envserver.cli.output import one_line, show, table
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        if task_set is None:
            sets = [entry.model_dump(mode="json") for entry in client.environment(environment).task_sets]
            rows = [(s["name"], s["version"], s["task_count"], ", ".join(s["splits"])) for s in sets]
            show(sets, as_json, lambda: table(("task set", "version", ">tasks", "splits"), rows))
            return
        found: list[TaskInfo] = []
        for page in _pages(client, environment, task_set, split=split, cursor=cursor, limit=limit):
            found += page.tasks
            cursor = page.next_cursor
            if not all_pages:
                break
    document = {"tasks": [task.model_dump(mode="json") for task in found], "next_cursor": cursor}
    title = f"more: --cursor {cursor}" if cursor else None
    show(document, as_json, lambda: table(("task", "prompt"), [(t.task_id, one_line(t.prompt)) for t in found], title))


def _pages(
    client: Client, environment: str, task_set: str, split: str = "all", cursor: str | None = None, limit: int = 1000
) -> Iterator[TaskList]:
    while True:
        page = client.tasks(environment, task_set=task_set, split=split, cursor=cursor, limit=limit)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


@app.command("show")
def show_task(
    task_set: Annotated[str, typer.Argument(help="As `envserver tasks list` shows it.")],
    task: Annotated[str, typer.Argument(help="As `envserver tasks list SET` shows it.")],
    environment: Environment = DEFAULT_ENVIRONMENT,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show what a policy is told of a task. How it is graded never leaves the server."""
    from envserver.cli.output import clean, show
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        every = (entry for page in _pages(client, environment, task_set) for entry in page.tasks)
        found = next((entry for entry in every if entry.task_id == task), None)
    if found is None:
        raise CommandError(f"task set {task_set!r} has no task {task!r}", Exit.NOT_FOUND)
    shown = f"{found.prompt.rstrip()}\n\n{json.dumps(found.public, indent=2)}"
    show(found.model_dump(mode="json"), as_json, lambda: clean(shown))


@app.command("validate")
def validate(folders: Folders, as_json: AsJson = False) -> None:
    """Check folders of task sets, without a node; every fault is a line with file, line and reason."""
    from environments.code import CodeEnvironment
    from environments.folders import TaskFolderError, load_task_sets
    from envserver.cli.output import clean, show, table

    try:
        sets = load_task_sets(folders, taken=CodeEnvironment.task_sets())
    except TaskFolderError as error:
        if as_json:
            faults = [{"path": str(f.path), "line": f.line, "reason": f.reason} for f in error.faults]
            typer.echo(json.dumps({"ok": False, "sets": [], "faults": faults}))
        else:
            for fault in error.faults:
                typer.echo(clean(fault), err=True)
        raise typer.Exit(Exit.FAILED) from None
    rows = [(s.name, s.version, len(s.task_ids()), ", ".join(s.splits()), s.description) for s in sets.values()]
    document = [{"name": s.name, "version": s.version, "tasks": list(s.task_ids())} for s in sets.values()]
    headings = ("task set", "version", ">tasks", "splits", "description")
    show({"ok": True, "sets": document, "faults": []}, as_json, lambda: table(headings, rows))


@app.command("check")
def check(
    folders: Folders,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Tasks at a time.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Play each task of folders on a node that has loaded them: nothing must score 0, the solution 1."""
    from dataclasses import asdict

    from environments.folders import load_task_sets
    from envserver.cli.output import count_progress, show, table
    from envserver.cli.remote import connect
    from envserver.gate import check_sets

    sets = list(load_task_sets(folders).values())
    with (
        connect(url, api_key) as client,
        count_progress("checking", sum(len(s.tasks) for s in sets)) as told,
    ):
        checked = check_sets(client, sets, parallel, told)
    rows = [(c.task_set, c.task, c.nothing, c.stub, c.solution, "ok" if c.ok else c.reason) for c in checked]
    headings = ("task set", "task", ">nothing", ">stub", ">solution", "verdict")
    show([{**asdict(c), "ok": c.ok} for c in checked], as_json, lambda: table(headings, rows))
    raise typer.Exit(Exit.OK if all(c.ok for c in checked) else Exit.FAILED)
