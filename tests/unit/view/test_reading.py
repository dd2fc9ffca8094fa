"""A record is taken apart as it comes, wherever its pieces are cut, and only a whole one is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envserver.view import reading
from envserver.view.exports import find, pieces_of
from envserver.view.reading import UnreadableError, parse, read_trajectory, split
from envserver_sdk.models import TrajectoryStep
from tests.unit.view.records import JsonObject, encoded, in_pieces, record, step

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(st.text(), VALUES, max_size=5)


def read(data: bytes, size: int = 7) -> tuple[Any, list[TrajectoryStep]]:
    steps: list[TrajectoryStep] = []
    return read_trajectory(in_pieces(data, size), steps.append), steps


@given(DOCUMENTS, st.lists(VALUES, max_size=4), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans())
@settings(deadline=None, max_examples=50)
def test_members_come_as_they_stand_wherever_the_text_is_cut(
    document: JsonObject, steps: list[Any], size: int, indent: int | None, ascii_only: bool
) -> None:
    whole = {**document, "steps": steps}
    data = json.dumps(whole, indent=indent, ensure_ascii=ascii_only).encode()
    found = [(name, json.loads(value)) for name, value in split(in_pieces(data, size))]
    assert [value for name, value in found if name == "steps"] == steps
    assert {name: value for name, value in found if name != "steps"} == {
        name: value for name, value in whole.items() if name != "steps"
    }


@given(DOCUMENTS, st.lists(VALUES, max_size=3), st.data())
@settings(deadline=None, max_examples=50)
def test_what_breaks_off_is_never_taken_for_the_whole(document: JsonObject, steps: list[Any], data: Any) -> None:
    text = json.dumps({**document, "steps": steps}).encode()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(UnreadableError):
        list(split(in_pieces(cut, 5)))


def test_steps_are_handed_over_before_the_rest_has_come() -> None:
    taken: list[int] = []

    whole = {"steps": [step(1), step(2)], **{name: value for name, value in record().items() if name != "steps"}}
    text = json.dumps(whole).encode()
    cut = text.index(b'"step_index": 2')

    def halves() -> Any:
        yield text[:cut]
        assert taken == [1]
        yield text[cut:]

    found = read_trajectory(halves(), lambda each: taken.append(each.step_index))
    assert (taken, found.episode_id, found.steps) == ([1, 2], "ep_1", [])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "breaks off"),
        (b"[1]", "where { belongs"),
        (b"<html>", "where { belongs"),
        (b'{"a":1 "b":2}', "where , or } belongs"),
        (b'{"a" 1}', "where : belongs"),
        (b"{1:2}", "name of a member"),
        (b'{"a":}', "no JSON"),
        (b'{"a":NaN}', "no JSON"),
        (b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "no JSON"),
        (b'{"a":"\xff"}', "no JSON"),
        (b'{"steps":3}', r"where \[ belongs"),
        (b'{"steps":[{}]}', "a step is none of a trajectory: episode_id"),
        (b'{"steps":[]}', "the record is none of a trajectory"),
        (b'{"a":1}x', "behind its end"),
        (b"{}", "the record is none of a trajectory"),
        (b'{"episode_id":"a","cursor":"1.1","problem":{"detail":"bit 3 of page 7"}}', "bit 3 of page 7"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        read(data)


def test_a_value_without_an_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_VALUE_BYTES", 10_000)
    endless = (b'{"steps":["' if place == 0 else b"x" * 1000 for place in range(10**9))
    with pytest.raises(UnreadableError, match="one of its values"):
        list(split(endless))


def test_a_text_of_nothing_but_escapes_takes_no_time() -> None:
    """With each escape told apart by hand it would be a minute; by a pattern that backtracks, memory."""
    text = json.dumps({"a": '\\"\n' * 1_000_000}).encode()
    assert parse(dict(split(in_pieces(text, 1000)))["a"]) == '\\"\n' * 1_000_000


# Exports


def export(path: Path, *documents: JsonObject) -> Path:
    path.write_bytes(b"".join(map(encoded, documents)))
    return path


def chosen(path: Path, *wanted: Any) -> tuple[str, int, int]:
    with path.open("rb") as file:
        line = find(file, *wanted)
        steps: list[TrajectoryStep] = []
        found = read_trajectory(pieces_of(file, line), steps.append)
        assert (found.episode_id, found.generation) == (line.episode_id, line.generation)
        return found.episode_id, found.generation, len(steps)


def test_the_only_episode_of_a_file_needs_no_name(tmp_path: Path) -> None:
    assert chosen(export(tmp_path / "a", record(step())), None, None) == ("ep_1", 1, 1)


def test_an_episode_is_found_by_its_name_and_generation(tmp_path: Path) -> None:
    hostile = step(action={"code": '\n{"episode_id":"ep_2","generation":9}\n'}, observation={"text": "x" * 600_000})
    path = export(
        tmp_path / "a",
        record(hostile),
        record(step(), step(2), generation=2),
        record(episode_id="ep_2", generation=5),
        {"episode_id": "ep_3", "cursor": "7.4", "problem": {"detail": "a bit"}},
    )
    assert chosen(path, "ep_1", None) == ("ep_1", 2, 2)
    assert chosen(path, "ep_1", 1) == ("ep_1", 1, 1)
    assert chosen(path, "ep_2", None) == ("ep_2", 5, 0)
    for wanted, why in (
        (("ep_9", None), "no ep_9; it has ep_1, ep_2, ep_3"),
        (("ep_1", 3), "no ep_1 generation 3"),
        ((None, None), "several episodes"),
        (("ep_3", 4), "a bit"),
    ):
        with pytest.raises(UnreadableError, match=why):
            chosen(path, *wanted)


def test_a_file_of_something_else_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for text, why in (
        ("", "no trajectory"),
        ("\n\n", "no trajectory"),
        ("id,reward\n", "line 1"),
        ("\n{}\n", "line 2"),
    ):
        path.write_text(text)
        with pytest.raises(UnreadableError, match=why):
            chosen(path, None, None)
