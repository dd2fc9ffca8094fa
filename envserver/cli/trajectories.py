"""Commands about what was recorded of episodes: show one, export many, play one again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from envserver.cli.options import DEFAULT_URL, ApiKey, AsJson, Url
from envserver.cli.problems import CommandError, Exit

if TYPE_CHECKING:
    from rich.console import Group

    from envserver.rerun import Divergence, Rerun
    from envserver_sdk.models import Trajectory

app = typer.Typer(no_args_is_help=True, help="Show and export what was recorded of episodes.")
replaying = typer.Typer()
"""`envserver replay`, a command of its own."""

EpisodeId = Annotated[str, typer.Argument(help="Open or closed, as long as the server remembers it.")]
Generation = Annotated[int | None, typer.Option(min=1, help="An earlier world than the current one.")]
FORMATS = ("jsonl", "parquet")
EXCERPT = 60


@app.command("show")
def show_trajectory(
    episode_id: EpisodeId,
    generation: Generation = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show an episode's record: what was played, each step, the grade."""
    from envserver.cli.output import show
    from envserver.cli.remote import connect

    with connect(url, api_key) as client:
        found = client.trajectory(episode_id, generation=generation)
    show(found.model_dump(mode="json"), as_json, lambda: _view(found))


def _view(found: Trajectory) -> Group:
    from rich.console import Group

    from envserver.cli.output import ago, fields, one_line, table

    grade = found.grade
    readable = {
        "episode": found.episode_id, "generation": f"{found.generation}, by {found.origin}",
        "played": f"{found.environment}, {found.task_set}, {found.task}, seed {found.seed}",
        "state": " ".join(filter(None, (found.state, found.reason))), "begun": ago(found.begun_at),
        "steps": len(found.steps), "complete": found.complete, "reward": f"{found.reward:g}",
        "over": "terminated" if found.terminated else "truncated" if found.truncated else "no",
        "grade": one_line(json.dumps({"reward": grade.reward, **grade.components})) if grade else "",
        "trainable": found.trainable, "group": found.group_id,
        "goes on from": "; ".join(f"{e.episode_id} step {e.step_index}" for e in found.lineage),
    }  # fmt: skip
    rows = [
        (
            step.step_index, one_line(json.dumps(step.action, ensure_ascii=False), EXCERPT), step.outcome,
            f"{step.info['duration_ms']:.1f}", f"{step.reward:g}",
            one_line(json.dumps(step.observation, ensure_ascii=False), EXCERPT),
        )
        for step in found.steps
    ]  # fmt: skip
    return Group(fields(readable), table((">step", "action", "outcome", ">ms", ">reward", "observation"), rows))


@app.command("export")
def export_trajectories(
    file: Annotated[Path, typer.Argument(help="Appears once it is whole.")],
    format: Annotated[str | None, typer.Option(help="jsonl or parquet; default: by the file's name.")] = None,  # noqa: A002
    environment: Annotated[str | None, typer.Option()] = None,
    task_set: Annotated[str | None, typer.Option()] = None,
    task: Annotated[str | None, typer.Option()] = None,
    state: Annotated[str | None, typer.Option(help="Of the episode: live, ended, closed, ...")] = None,
    group: Annotated[str | None, typer.Option(help="Members of this group.")] = None,
    created_after: Annotated[float | None, typer.Option(help="Unix time, inclusive.")] = None,
    created_before: Annotated[float | None, typer.Option(help="Unix time, exclusive.")] = None,
    min_reward: Annotated[float | None, typer.Option(help="Least sum over the steps.")] = None,
    graded: Annotated[bool | None, typer.Option("--graded/--not-graded")] = None,
    trainable: Annotated[bool | None, typer.Option("--trainable/--not-trainable")] = None,
    all_generations: Annotated[bool, typer.Option(help="Those too that a reset or restore replaced.")] = False,
    cursor: Annotated[str | None, typer.Option(help="Go on behind the trajectory with this cursor.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="At most so many.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Write trajectories to a file; what is left out does not filter."""
    from envserver.cli.output import clean, show, size
    from envserver.cli.remote import connect

    chosen = _format(file, format)
    with connect(url, api_key) as client:
        written = client.export(
            file, format=chosen, environment=environment, task_set=task_set, task=task, state=state, group_id=group,
            created_after=created_after, created_before=created_before, min_reward=min_reward, graded=graded,
            trainable=trainable, generations="all" if all_generations else None, cursor=cursor, limit=limit,
        )  # fmt: skip
    document = {"file": str(file), "format": chosen, "bytes": written}
    show(document, as_json, lambda: clean(f"{file}: {size(written)} of {chosen}"))


def _format(file: Path, asked: str | None) -> str:
    if asked is None:
        return "parquet" if file.suffix == ".parquet" else "jsonl"
    if asked not in FORMATS:
        raise typer.BadParameter(f"{asked!r} is none of {', '.join(FORMATS)}", param_hint="--format")
    return asked


@replaying.command("replay")
def replay(
    episode_id: EpisodeId,
    generation: Generation = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Play a recorded episode once more and compare; exit status 6 when it differs."""
    from envserver.cli.output import count_progress, show
    from envserver.cli.remote import connect
    from envserver.rerun import rerun

    with connect(url, api_key) as client:
        recorded = client.trajectory(episode_id, generation=generation)
        if not recorded.complete:
            raise CommandError(f"the record of {episode_id} has lost its first steps: it cannot be replayed")
        with count_progress("replaying", len(recorded.steps)) as told:
            found = rerun(client, recorded, told)
    show(_document(recorded, found), as_json, lambda: _verdict(recorded, found))
    raise typer.Exit(Exit.OK if found.divergence is None else Exit.DIVERGED)


def _document(recorded: Trajectory, found: Rerun) -> dict[str, Any]:
    from dataclasses import asdict

    first = found.divergence
    return {
        "episode_id": recorded.episode_id, "generation": recorded.generation, "replay_id": found.replay_id,
        "steps": found.steps, "taken": found.taken, "agreed": found.agreed,
        "divergence": {"step": first.step, **asdict(first.difference)} if first else None,
    }  # fmt: skip


def _verdict(recorded: Trajectory, found: Rerun) -> str:
    from envserver.cli.output import clean

    counted = f"{recorded.episode_id}: {found.agreed} of {found.steps} steps agree"
    over = f"; the replay was over after {found.taken}" if found.taken < found.steps else ""
    return clean("\n".join([counted + over, *_differs(found.divergence)]))


def _differs(divergence: Divergence | None) -> list[str]:
    if divergence is None:
        return []
    difference = divergence.difference
    where = f"step {divergence.step}" if isinstance(divergence.step, int) else f"the {divergence.step}"
    values = {"recorded": difference.recorded, "replayed": difference.replayed}
    shown = _excerpts(*(json.dumps(value, ensure_ascii=False) for value in values.values()))
    sides = [
        f"  {name}: {'nothing' if difference.missing == name else text}"
        for name, text in zip(values, shown, strict=True)
    ]
    return [f"first difference: {where}, {difference.path}", *sides]


def _excerpts(recorded: str, replayed: str) -> tuple[str, str]:
    """Both around the place where they begin to differ."""
    pairs = enumerate(zip(recorded, replayed, strict=False))
    place = next((place for place, (one, two) in pairs if one != two), min(len(recorded), len(replayed)))
    start = max(0, place - EXCERPT // 2)
    cut = [("…" if start else "") + text[start:] for text in (recorded, replayed)]
    shown = [text if len(text) <= 2 * EXCERPT else text[: 2 * EXCERPT] + "…" for text in cut]
    return shown[0], shown[1]
