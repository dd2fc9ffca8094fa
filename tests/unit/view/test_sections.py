"""What is shown of a value: texts, pictures, and everything else as JSON; nothing is left out without being counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envserver.view import room as rooms
from envserver.view.room import Room
from envserver.view.sections import MAX_SECTIONS, one_line, sections_of, written
from tests.unit.view.records import png

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


def shown(value: Any, room: Room | None = None) -> list[tuple[str, str, str]]:
    sections = sections_of(value, room or Room())
    return [(each["title"], each["kind"], each["data" if each["kind"] == "picture" else "text"]) for each in sections]


def test_a_cell_of_code_and_its_output() -> None:
    assert shown({"type": "python", "code": "6 * 7"}) == [
        ("code", "text", "6 * 7"),
        ("more", "json", '{"type": "python"}'),
    ]
    observation = {"stdout": "a\n", "stderr": "b", "result": "42", "exit_code": 0, "truncated": False}
    assert shown(observation) == [
        ("stdout", "text", "a\n"),
        ("stderr", "error", "b"),
        ("result", "text", "42"),
        ("more", "json", '{"exit_code": 0, "truncated": false}'),
    ]


def test_long_texts_under_any_name_are_texts() -> None:
    action = {"type": "call", "name": "python", "arguments": {"program": "a = 1\nb = 2", "n": 3}}
    assert shown(action) == [
        ("arguments: program", "text", "a = 1\nb = 2"),
        ("arguments", "json", '{"n": 3}'),
        ("more", "json", '{"type": "call", "name": "python"}'),
    ]
    assert shown({"page": "x" * 200}) == [("page", "text", "x" * 200)]


def test_messages_in_every_protocol_s_shape() -> None:
    url = {"url": f"data:image/png;base64,{png()}"}
    openai = [
        {"role": "tool", "tool_call_id": "a", "content": "found"},
        {"role": "user", "content": [{"type": "text", "text": "Pictures:"}, {"type": "image_url", "image_url": url}]},
    ]
    assert shown({"messages": openai}) == [
        ("picture 1, 2 x 1", "picture", png()),
        ("tool", "text", "found"),
        ("tool", "json", '{"tool_call_id": "a"}'),
        ("user", "text", "Pictures:"),
        ("user", "json", '{"type": "image_url", "image_url": {"url": "[picture 1]"}}'),
    ]
    source = {"type": "base64", "media_type": "image/png", "data": png()}
    content = [{"type": "text", "text": "found"}, {"type": "image", "source": source}]
    anthropic = {"role": "user", "content": [{"type": "tool_result", "content": content}]}
    found = shown({"messages": [anthropic]})
    assert ("picture 1, 2 x 1", "picture", png()) in found
    assert ("user", "text", "found") in found
    assert shown({"type": "message", "message": "<think>…</think>"})[0] == ("message", "text", "<think>…</think>")
    said = {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}
    assert shown({"message": said}) == [("assistant", "json", '{"content": null, "tool_calls": [{"id": "a"}]}')]


def test_schemas_are_folded() -> None:
    assert shown({"tools": [{"name": "search"}]}) == [("tools", "folded", '[{"name": "search"}]')]


@pytest.mark.parametrize("value", ["text", 3, True, ["a", {"b": None}], 2**70, -0.5])
def test_an_action_may_be_any_json(value: Any) -> None:
    ((title, kind, text),) = shown(value)
    assert (title, kind) == ("", "text" if value == "text" else "json")
    assert text == value if kind == "text" else json.loads(text) == value


@given(JSON)
@settings(deadline=None, max_examples=50)
def test_every_text_and_number_is_shown_somewhere(value: Any) -> None:
    found = "".join(text for _, _, text in shown({"value": value}))

    def leaves(part: Any) -> list[Any]:
        if isinstance(part, dict | list):
            return [leaf for each in (part.values() if isinstance(part, dict) else part) for leaf in leaves(each)]
        return [part]

    for leaf in leaves(value):
        text = leaf if isinstance(leaf, str) else json.dumps(leaf)
        assert rooms.visible(text) in found or rooms.visible(json.dumps(text, ensure_ascii=False)) in found


@given(JSON)
@settings(deadline=None, max_examples=50)
def test_json_for_people_is_json(value: Any) -> None:
    assert json.loads(written(value)) == value


def test_json_is_broken_where_it_is_long() -> None:
    value = {"numbers": list(range(60)), "words": {"first": "a" * 60, "second": "b" * 60}}
    assert written(value).splitlines() == [
        "{",
        f'  "numbers": {list(range(60))},',
        '  "words": {',
        f'    "first": "{"a" * 60}",',
        f'    "second": "{"b" * 60}"',
        "  }",
        "}",
    ]
    assert "\n" not in written({"long": ["x" * 90] * 5000})


def test_control_characters_and_turned_text_are_seen() -> None:
    hostile = "a\x1b]0;title\x07\x00\r\x85b\u202ec\u2066d\te\n"
    assert shown(hostile) == [("", "text", "a\\x1b]0;title\\x07\\x00\\x0d\\x85b\\u202ec\\u2066d\te\n")]
    assert shown({hostile: "x\n"})[0][0] == "a\\x1b]0;title\\x07\\x00\\x0d\\x85b\\u202ec\\u2066d\te\n"
    assert one_line({"type": hostile}) == "a\\x1b]0;title\\x07\\x00\\x0d\\x85b\\u202ec\\u2066d e"


def test_what_is_no_picture_is_told_and_counted() -> None:
    room = Room()
    images = [{"format": "png", "data": png()}, {"format": "png", "data": "aaaa"}, {"format": "png", "data": "aaaa"}]
    assert shown({"images": images}, room)[1:] == [
        (
            "",
            "json",
            '{"images": ["[picture 1]", "[picture 2: one that is no png]", "[picture 3: one that is no png]"]}',
        )
    ]
    assert room.cuts.told() == ["pictures that cannot be shown: 2"]


def test_a_long_text_keeps_its_head_and_tail() -> None:
    room = Room()
    text = "a" * 60_000 + "b" * 60_000
    ((_, _, cut),) = shown(text, room)
    assert cut == "a" * 50_000 + "\n[… 20,000 characters are left out …]\n" + "b" * 50_000
    assert room.cuts.told() == ["texts, whole or in part: 1", "characters of those: 20,000"]


def test_where_there_is_no_room_left_texts_are_left_out_and_counted() -> None:
    room = Room(max_bytes=1000)
    assert len(shown("x" * 990, room)) == 1
    assert len(shown("<" * 100, room)) == 1
    assert shown("y" * 50, room) == []
    assert shown({"a": 1}, room) == []
    assert (room.cuts.texts, room.cuts.characters) == (2, 58)


def test_pictures_leave_room_for_texts() -> None:
    room = Room(max_bytes=4000)
    large = [{"format": "png", "data": png(padding=bytes(900))}] * 4
    found = shown({"images": large, "text": "seen"}, room)
    assert [kind for _, kind, _ in found] == ["picture", "picture", "text", "json"]
    assert "bytes that do not fit into the page" in found[-1][2]
    assert room.cuts.told() == ["pictures that do not fit: 2"]


def test_one_value_makes_no_more_than_so_many_sections() -> None:
    room = Room()
    many = {f"text {number}": "a\nb" for number in range(1000)}
    found = shown(
        {"messages": [{"role": "user", **many}] * 3, **many, "images": [{"format": "png", "data": png()}] * 99}, room
    )
    assert len([each for each in found if each[1] != "picture"]) == MAX_SECTIONS
    assert len([each for each in found if each[1] == "picture"]) == 50
    assert room.cuts.pictures == 49
    assert room.cuts.texts


def test_what_is_nested_too_deeply_is_left_out() -> None:
    value: Any = "end"
    for _ in range(5000):
        value = {"a": value}
    ((_, _, text),) = shown(value)
    assert "nested too deeply" in text


@pytest.mark.parametrize(
    ("action", "line"),
    [
        ({"code": "6 *\n 7", "type": "python"}, "python 6 * 7"),
        ({"type": "call", "name": "search", "arguments": {"query": "rain"}}, 'call search {"query": "rain"}'),
        ("text", "text"),
        (None, "null"),
        ({"type": "bash", "command": "x" * 500}, "bash " + "x" * 115 + "…"),
    ],
)
def test_an_action_in_a_line(action: Any, line: str) -> None:
    assert one_line(action) == line
