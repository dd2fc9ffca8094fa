"""What a model reads of an observation: all that says something, nothing twice, nothing that only programs need."""

from __future__ import annotations

from typing import Any

import pytest

from environments.environment import tools_of
from environments.protocols import Picture
from environments.showing import as_text, pictures_of


@pytest.mark.parametrize(
    ("observation", "text"),
    [
        ({"content": "3.7", "number": 2, "tool": "calculator"}, "3.7"),
        ({"content": "Error: no such page.", "number": 2, "tool": "open_page", "error": True}, "Error: no such page."),
        ({"error": "there is no tool 'x'"}, "error: there is no tool 'x'"),
        ({"stdout": "a\nb\n", "stderr": "", "exit_code": 0, "truncated": False, "session": "live"}, "a\nb"),
        ({"stdout": "", "stderr": "x: not found\n", "exit_code": 1}, "stderr: x: not found\nexit_code: 1"),
        ({"result": "45", "stdout": ""}, "result: 45"),
        (
            {"error": "ZeroDivisionError", "traceback": "File\n  1/0"},
            "error: ZeroDivisionError\ntraceback:\nFile\n  1/0",
        ),
        ({"stdout": "", "session": "restarted"}, "session: restarted"),
        ({"stdout": "", "session": "lost", "note": "it has ended"}, "note: it has ended"),
        ({"exit_code": None, "signal": 9}, "signal: 9"),
        ({"position": [0.5, 1], "content": ""}, '{"position": [0.5, 1]}'),
        ({"content": "x", "page": 1, "pages": 3, "images": [{"format": "png", "data": "AAAA"}]}, "x"),
        ({}, "(no output)"),
        ({"stdout": ""}, "(no output)"),
    ],
)
def test_what_is_said(observation: dict[str, Any], text: str) -> None:
    assert as_text(observation) == text


def test_a_browser_says_where_it_is_before_it_shows_a_page() -> None:
    place = {
        "url": "http://a.test/",
        "tabs": [{"tab": 1}],
        "focus": None,
        "console_errors": [],
        "error": "it did not work",
    }
    about = 'url: http://a.test/\ntabs: [{"tab": 1}]\nerror: it did not work'
    assert as_text({"text": "- button", "images": [], **place}) == f"{about}\n\n- button"
    assert as_text({"text": "- button", "read": "all", **place}) == f"{about}\n\ntext:\n- button\n\nread:\nall"
    assert as_text(place) == about


def test_pictures_are_beside_the_text() -> None:
    assert pictures_of({"images": [{"format": "webp", "data": "AAAA"}]}) == (Picture("webp", "AAAA"),)
    assert pictures_of({"content": "x"}) == ()


def test_each_kind_of_action_is_a_tool() -> None:
    schema = {
        "oneOf": [
            {
                "type": "object",
                "description": "Say it.",
                "properties": {"type": {"const": "say"}, "text": {"type": "string"}},
                "required": ["type", "text"],
            },
            {"type": "object", "properties": {"type": {"const": "end"}}, "required": ["type"]},
        ]
    }
    assert tools_of(schema) == [
        {
            "name": "say",
            "description": "Say it.",
            "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        },
        {"name": "end", "description": "", "parameters": {"type": "object", "properties": {}, "required": []}},
    ]
    assert tools_of({"type": "object"}) == []
