"""Commands that look at a running server's episodes, save them, put them to rest, and end them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envserver.cli.options import DEFAULT_PAGE, DEFAULT_URL, AllPages, ApiKey, AsJson, Cursor, PageSize, Url

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from envserver_sdk import Client, Episode
    from envserver_sdk.models import EpisodeInfo, EpisodeState

app = typer.Typer(no_args_is_help=True, help="Look at the episodes of a running server, save, rest and end them.")

EpisodeId = Annotated[str, typer.Argument(help="As `envserver episodes list` shows it.")]
EpisodeIds = Annotated[list[str], typer.Argument(help="Which.")]


def _state(name: str | None) -> EpisodeState | None:
    from envserver_sdk.models import EpisodeState

    if name is None:
        return None
    try:
        return EpisodeState(name)
    except ValueError:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(EpisodeState)}") from None


@app.command("list")
def list_episodes(
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    state: Annotated[str | None, typer.Option(help="Only these: live, ended, closed, ...")] = None,
    environment: Annotated[str | None, typer.Option(help="Only those of this environment.")] = None,
    cursor: Cursor = None,
    limit: PageSize = DEFAULT_PAGE,
    all_pages: AllPages = False,
    as_json: AsJson = False,
) -> None:
    """List episodes in the order of their making; closed ones only with --state closed."""
    from envserver.cli.output import show
    from envserver.cli.remote import connect

    wanted = _state(state)
    found: list[EpisodeInfo] = []
    with connect(url, api_key) as client:
        while True:
            page = client.list(state=wanted, environment=environment, cursor=cursor, limit=limit)
            found += page.episodes
            cursor = page.next_cursor
            if cursor is None or not all_pages:
                break
    document = {"episodes": [info.model_dump(mode="json") for info in found], "next_cursor": cursor}
    show(document, as_json, lambda: _table(found, cursor))


def _table(found: list[EpisodeInfo], cursor: str | None) -> RenderableType:
    from envserver.cli.output import ago, table

    headings = (
        "episode",
        "state",
        "environment",
        "task",
        ">generation",
        ">steps",
        ">reward",
        "made",
        "expires",
        "reason",
    )
    rows = [
        (
            info.episode_id, info.state, info.environment, info.task, info.generation, info.step_index,
            f"{info.reward:g}", ago(info.created_at), ago(info.expires_at), info.reason,
        )
        for info in found
    ]  # fmt: skip
    return table(headings, rows, title=f"more: --cursor {cursor}" if cursor else None)


@app.command("show")
def show_episode(
    episode_id: EpisodeId, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Show an episode: state, usage, expiry, grade."""
    from envserver.cli.output import ago, fields, show
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        info = client.get(episode_id)
    document = info.model_dump(mode="json")
    readable = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in document.items()}
    readable |= {"created_at": ago(info.created_at), "expires_at": ago(info.expires_at)}
    show(document, as_json, lambda: fields(readable))


@app.command("close")
def close_episodes(
    episode_ids: EpisodeIds, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Close episodes and free what they hold; closing a closed one is no error."""
    from envserver.cli.output import show, table
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        closed = [_close(client, episode_id) for episode_id in episode_ids]
    rows = [(info["episode_id"], info["state"], info["reason"]) for info in closed]
    show(closed, as_json, lambda: table(("episode", "state", "reason"), rows))


def _close(client: Client, episode_id: str) -> dict[str, Any]:
    client.attach(episode_id).close()
    return client.get(episode_id).model_dump(mode="json")


@app.command("grade")
def grade_episode(
    episode_id: EpisodeId, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """End an episode and grade it, or show the grade that it has."""
    from envserver.cli.output import fields, show
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        document = client.attach(episode_id).grade().model_dump(mode="json")
    show(document, as_json, lambda: fields({name: json.dumps(value) for name, value in document.items()}))


@app.command("checkpoint")
def checkpoint_episode(
    episode_id: EpisodeId,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    kind: Annotated[str, typer.Option(help="process, filesystem, replay; auto: the strongest that works.")] = "auto",
    label: Annotated[str | None, typer.Option(help="A text to find it by.")] = None,
    as_json: AsJson = False,
) -> None:
    """Save an episode as it stands; it goes on."""
    from envserver.cli.output import fields, show
    from envserver.cli.remote import connect

    if kind not in (kinds := ("auto", *_kinds())):
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(kinds)}")
    with connect(url, api_key) as client:
        document = client.attach(episode_id).checkpoint(kind, label).info.model_dump(mode="json")
    show(document, as_json, lambda: fields(document))


def _kinds() -> list[str]:
    from envserver_sdk.models import CheckpointKind

    return [kind.value for kind in CheckpointKind]


@app.command("restore")
def restore_episode(
    episode_id: EpisodeId,
    checkpoint_id: Annotated[str, typer.Argument(help="As `envserver checkpoints ls` shows it.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Roll an episode back to a checkpoint, as its next generation."""
    from envserver.cli.output import fields, show
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        document = client.attach(episode_id).restore(checkpoint_id).model_dump(mode="json")
    show(document, as_json, lambda: fields({name: json.dumps(value) for name, value in document.items()}))


@app.command("pause")
def pause_episodes(
    episode_ids: EpisodeIds, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Freeze episodes; their next step thaws them."""
    _change(url, api_key, episode_ids, as_json, lambda episode: episode.pause())


@app.command("hibernate")
def hibernate_episodes(
    episode_ids: EpisodeIds, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Put episodes on disk and free their memory; their next step wakes them."""
    _change(url, api_key, episode_ids, as_json, lambda episode: episode.hibernate())


@app.command("resume")
def resume_episodes(
    episode_ids: EpisodeIds, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """Wake episodes that are paused or hibernated."""
    _change(url, api_key, episode_ids, as_json, lambda episode: episode.resume())


def _change(
    url: str, api_key: str | None, episode_ids: list[str], as_json: bool, change: Callable[[Episode], EpisodeInfo]
) -> None:
    from envserver.cli.output import show, table
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        changed = [change(client.attach(episode_id)).model_dump(mode="json") for episode_id in episode_ids]
    rows = [(info["episode_id"], info["state"], info["generation"], info["step_index"]) for info in changed]
    show(changed, as_json, lambda: table(("episode", "state", ">generation", ">steps"), rows))


@app.command("steps")
def list_steps(
    episode_id: EpisodeId,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    first: Annotated[int, typer.Option("--from", min=1, help="The first step shown.")] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, help="The last step shown.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the records of an episode's steps, those of its current generation."""
    from envserver.cli.output import show, table
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        info = client.get(episode_id)
    indexes = range(first, min(last or info.step_index, info.step_index) + 1)
    records = [_record(url, api_key, info, index) for index in indexes]
    headings = (">step", "outcome", ">ms", ">reward", "done", "observation")
    show(records, as_json, lambda: table(headings, map(_row, records)))


def _record(url: str, api_key: str | None, info: EpisodeInfo, index: int) -> dict[str, Any]:
    from envserver.cli.remote import fetch
    from envserver_sdk.errors import NotFound

    path = f"/v1/episodes/{info.episode_id}/steps/{index}"
    try:
        document: dict[str, Any] = json.loads(fetch(url, api_key, path, {"generation": info.generation}))
    except NotFound as problem:  # before the checkpoint that this generation goes on from
        return {"step_index": index, "generation": info.generation, "missing": problem.detail}
    return document


def _row(record: dict[str, Any]) -> tuple[object, ...]:
    from envserver.cli.output import one_line

    if "observation" not in record:
        return record["step_index"], "", "", "", "", record.get("missing", record.get("status", ""))
    step = record["info"]
    done = "terminated" if record["terminated"] else "truncated" if record["truncated"] else ""
    seen = json.dumps(record["observation"], ensure_ascii=False)
    return record["step_index"], step["outcome"], f"{step['duration_ms']:.1f}", record["reward"], done, one_line(seen)
