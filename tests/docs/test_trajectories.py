"""The record's page names every member, filter and column that there is, and no other."""

from __future__ import annotations

import re

from envserver.export.columns import COLUMNS
from envserver_sdk.models import ListTrajectories, Trajectory, TrajectoryStep
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "trajectories.md").read_text()


def names(heading: str) -> list[str]:
    """What the first column of the table below a line names."""
    table = PAGE.partition(heading)[2].partition("|---|")[2].partition("\n\n")[0]
    return [name for row in table.splitlines()[1:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]


def test_every_member_is_explained() -> None:
    assert sorted(names("## The record")) == sorted(Trajectory.model_fields)
    assert sorted(names("And of each step:")) == sorted(TrajectoryStep.model_fields)


def test_every_filter_is_explained() -> None:
    assert sorted(names("## Exports")) == sorted(ListTrajectories.model_fields)


def test_every_column_is_shown_with_its_type_and_meaning() -> None:
    rows = [f"| `{column.name}` | {column.type} | {column.meaning} |" for column in COLUMNS]
    assert "\n".join(rows) in PAGE
    assert names("**Parquet**") == [column.name for column in COLUMNS]
