"""The page: nothing that an episode holds becomes markup or script, and it is bounded and says what it lacks."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tracemalloc
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envserver.view import page as pages
from envserver.view.encoding import encode
from envserver.view.page import HERE, save_page, template, write_page
from envserver.view.reading import UnreadableError
from tests.unit.view.records import (
    HOSTILE,
    JsonObject,
    data_of,
    encoded,
    frames_of,
    in_pieces,
    page_of,
    png,
    poisoned,
    record,
    sections_in,
    step,
)

TEMPLATE = template()


class Outline(HTMLParser):
    """The elements of a page with their attributes, and what scripts it has."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, attrs))

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    found.close()
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_an_episode_holds_becomes_markup_or_script(text: str) -> None:
    page, _ = page_of(poisoned(text))
    head, tail = TEMPLATE
    assert page.startswith(head)
    assert page.endswith(tail)
    data = page[len(head) : len(page) - len(tail)]
    assert data.isascii()
    assert not set("<>&\u2028\u2029\n\r") & set(data)
    found, empty = outline(page), outline(head + "{}" + tail)
    assert (found.elements, found.comments) == (empty.elements, [])
    assert data_of(page) == json.loads(data)


@given(st.text())
@settings(deadline=None)
def test_no_text_can_leave_the_block_of_data(text: str) -> None:
    shown = encode({text: [text]})
    assert shown.isascii()
    assert not set("<>&") & set(shown)
    assert json.loads(shown) == {text: [text]}


def test_what_was_hostile_is_there_to_be_read() -> None:
    text = "</script><script>alert(1)</script>"
    data = data_of(page_of(poisoned(text))[0])
    first = data["steps"][0]
    assert {"title": "stdout", "kind": "text", "text": text} in sections_in(first, "observation")
    assert first["badge"] == text
    assert data["title"] == f"{text}, {text}"
    assert ["task", text] in data["overview"]
    assert data["marks"] == {"1": [f"{text}: process checkpoint, {text}"], "2": [data["marks"]["2"][0]]}


def test_the_page_s_policy_lets_its_own_script_run_and_nothing_else() -> None:
    head, tail = TEMPLATE
    metas = [dict(attributes) for tag, attributes in outline(head).elements if tag == "meta"]
    (policy,) = [each["content"] for each in metas if each.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    scripts = re.findall(r"<script>(.*?)</script>", tail, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'",
        "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
    ]  # fmt: skip
    assert metas[0] == {"charset": "utf-8"}
    assert head.index("Content-Security-Policy") < head.index("<style>")


def test_the_page_names_no_other_resource_and_makes_no_markup() -> None:
    head, tail = TEMPLATE
    attributes = {name for _, pairs in outline(head + tail).elements for name, _ in pairs}
    assert not {name for name in attributes if name in ("src", "href", "style", "action") or name.startswith("on")}
    style = (HERE / "page.css").read_text()
    assert not re.search(r"url\(|@import|</style", style)
    script = (HERE / "page.js").read_text()
    forbidden = (
        "innerHTML outerHTML insertAdjacentHTML document.write DOMParser eval( Function( fetch("
        " XMLHttpRequest WebSocket import( import.meta innerText http: https: localStorage"
        " postMessage window.open location.href srcdoc </script <!--"
    )
    assert [word for word in forbidden.split() if word in script] == []
    assert re.findall(r"\.src = (.*);", script) == ['"data:image/" + section.format + ";base64," + section.data']


# What is shown


def test_a_step_with_all_that_belongs_to_it() -> None:
    (frame,) = frames_of(record(step(1, reward=0.25, terminated=True, metadata={"policy": 3}, info={"note": "n"})))
    assert (frame["name"], frame["badge"], frame["failed"], frame["reward"]) == ("1", "ok", False, 0.25)
    assert (frame["summary"], frame["cut"]) == ("python 6 * 7", False)
    facts = dict(map(tuple, frame["facts"]))
    assert facts == {
        "reward": "0.25", "sum": "0.25", "outcome": "ok", "ends": "terminated", "duration": "12.5 ms", "CPU": "1 ms",
        "memory at most": "1 MiB", "time limit": "30 s", "begun": "1970-01-01 00:16:40.000+00:00",
        "world": "ep_1 generation 1",
    }  # fmt: skip
    assert [heading for heading, _ in frame["groups"]] == ["action", "observation", "info", "metadata"]
    assert sections_in(frame, "metadata") == [{"title": "", "kind": "json", "text": '{"policy": 3}'}]


def test_rewards_are_summed_up() -> None:
    frames = frames_of(record(step(1, reward=0.5), step(2), step(3, reward=-2.0)))
    assert [(frame["reward"], frame["total"]) for frame in frames] == [(0.5, 0.5), (0.0, 0.5), (-2.0, -1.5)]


@pytest.mark.parametrize(
    ("members", "failed"),
    [
        ({}, False),
        ({"info": {"outcome": "policy_timeout"}}, True),
        ({"info": {"outcome": "infra_error", "trainable": False}}, True),
        ({"observation": {"stdout": "", "exit_code": 1}}, True),
        ({"observation": {"stdout": "", "exit_code": 0}}, False),
        ({"observation": {"error": True, "content": "Error: no"}}, True),
        ({"observation": {"traceback": "Traceback"}}, True),
        ({"observation": {"stderr": "a warning"}}, False),
        ({"observation": {"observations": [{"text": "a"}, {"error": "b"}]}}, True),
        ({"observation": {"observations": 3}}, False),
    ],
)
def test_steps_with_errors_are_told_apart(members: JsonObject, failed: bool) -> None:
    (frame,) = frames_of(record({**step(), **members, "info": {**step()["info"], **members.get("info", {})}}))
    assert frame["failed"] is failed


def test_an_episode_without_steps() -> None:
    page, written = page_of(
        record(grade={"reward": None, "components": {}, "trainable": False, "report": {"why": "x"}})
    )
    data = data_of(page)
    assert (written.steps, data["steps"], data["cuts"], data["complete"]) == (0, [], [], True)
    assert sections_in(data["begin"], "observation") == [{"title": "prompt", "kind": "text", "text": "Do it."}]
    assert (data["grade"]["badge"], data["grade"]["failed"], data["grade"]["reward"]) == ("no verdict", True, None)
    assert data_of(page_of(record())[0])["grade"] is None


def test_a_picture_is_shown_where_it_was_seen() -> None:
    seen = {"text": "A page", "images": [{"format": "png", "data": png(3, 2)}]}
    (frame,) = frames_of(record(step(observation=seen)))
    picture, text, rest = sections_in(frame, "observation")
    assert picture == {
        "title": "picture 1, 3 x 2", "kind": "picture", "format": "png", "data": png(3, 2), "width": 3, "height": 2,
        "size_bytes": len(base64.b64decode(png(3, 2))),
    }  # fmt: skip
    assert (text["text"], rest["text"]) == ("A page", '{"images": ["[picture 1]"]}')


def test_what_was_played_and_how_it_went() -> None:
    saved = {
        "checkpoint_id": "cp_1", "kind": "replay", "episode_id": "ep_1", "generation": 2, "step_index": 2,
        "label": None, "created_at": 1.0, "bytes": 1, "pause_ms": 1.0,
    }  # fmt: skip
    origin = {"checkpoint_id": "cp_0", "episode_id": "ep_0", "generation": 1, "step_index": 0}
    grade = {"reward": 0.75, "components": {"tests": 0.5, "style": 1.0}, "trainable": True, "report": {"n": 4}}
    made = record(
        step(1, episode_id="ep_0"), step(2), generation=2, origin="fork", lineage=[origin], checkpoints=[saved],
        grade=grade, complete=False, options={"protocol": "hermes"}, reward=0.75,
    )  # fmt: skip
    data = data_of(page_of(made)[0])
    facts = dict(map(tuple, data["overview"]))
    assert facts["seed"] == "9223372036854775807"  # as it is, though no number of a page's script holds it
    assert (facts["generation"], facts["reward"], facts["grade"]) == ("2, by fork", "0.75", "0.75")
    assert (facts["state"], facts["end"], facts["steps"]) == ("closed deleted", "truncated", "2")
    assert [name for name, _ in data["settings"]] == ["options", "limits"]
    assert data["marks"] == {
        "begin": ["goes on from ep_0 generation 1 by cp_0"],
        "2": ["cp_1: replay checkpoint"],
    }
    assert ["world", "ep_0 generation 1"] in data["steps"][0]["facts"]
    assert data["grade"]["facts"] == [["reward", "0.75"], ["tests", "0.5"], ["style", "1"], ["trainable", "yes"]]
    assert data["complete"] is False


@pytest.mark.parametrize("value", ["1e999", "-1e999", "9" * 400, "1" + "0" * 4000, "1e308"])
def test_numbers_beyond_what_numbers_are_do_no_harm(value: str) -> None:
    made = step(action={"n": "@"}, info={"duration_ms": "@", "cpu_ms": "@", "peak_memory_bytes": "@", "x": "@"})
    text = encoded(record(made, step(2, reward=1e308), step(3, reward=1e308))).replace(b'"@"', value.encode())
    file = io.BytesIO()
    write_page(file, in_pieces(text), 1 << 20)
    steps = data_of(file.getvalue().decode())["steps"]
    assert len(steps) == 3
    text = encoded(record(step(begun_at="@", reward="@", timeout_s="@"), begun_at="@")).replace(b'"@"', value.encode())
    try:
        write_page(file, in_pieces(text), 1 << 20)
    except UnreadableError as error:
        assert "none of a trajectory" in str(error)


# What the page lacks


def test_a_full_page_has_every_step_and_says_what_it_lacks() -> None:
    picture = {"format": "png", "data": png(padding=bytes(20_000))}
    steps = [step(n, observation={"text": "seen " * 400, "images": [picture]}, reward=1.0) for n in range(1, 301)]
    grade = {"reward": 1.0, "components": {}, "trainable": True, "report": {"n": 1}}
    page, written = page_of(record(*steps, grade=grade), 1 << 20)
    data = data_of(page)
    assert len(data["steps"]) == 300
    assert data["steps"][-1]["total"] == 300.0
    assert (1 << 20) - 40_000 < written.bytes - sum(map(len, TEMPLATE)) < (1 << 20) + 300 * 700
    with_picture = [
        frame for frame in data["steps"] if any("data" in each for each in sections_in(frame, "observation"))
    ]
    assert len(with_picture) == 300 - written.cuts.pictures == (1 << 20) * 3 // 4 // len(picture["data"])
    assert data["cuts"] == written.cuts.told()
    assert data["cuts"][0] == f"pictures that do not fit: {written.cuts.pictures}"
    assert data["cuts"][1].startswith("texts, whole or in part: ")
    assert [frame["cut"] for frame in data["steps"]] == [False] * len(with_picture) + [True] * written.cuts.pictures
    assert sections_in(data["begin"], "observation")
    assert sections_in(data["grade"], "report")


def test_more_steps_than_a_page_takes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_STEPS", 3)
    page, written = page_of(record(*(step(n, reward=1.0) for n in range(1, 8))))
    data = data_of(page)
    assert [frame["name"] for frame in data["steps"]] == ["1", "2", "3"]
    assert (written.steps, data["cuts"]) == (7, ["steps at the end: 4"])
    assert ["steps", "7"] in data["overview"]


class Sink(io.BytesIO):
    def write(self, data: Any) -> int:
        return len(data)


def test_a_large_episode_needs_the_memory_of_a_step() -> None:
    picture = {"format": "png", "data": png(1280, 720, bytes(100_000))}
    one = encoded(record(step(observation={"text": "seen", "images": [picture]}))).rstrip()
    start = one.index(b'"steps":[') + len(b'"steps":[')
    head, body, tail = one[:start], one[start:-2], one[-2:]

    def pieces() -> Iterator[bytes]:
        yield head
        for number in range(200):
            yield (b"," if number else b"") + body
        yield tail

    write_page(Sink(), in_pieces(one), 192 << 20)  # what is imported and compiled once
    tracemalloc.start()
    try:
        written = write_page(Sink(), pieces(), 192 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (written.steps, written.cuts.told()) == (200, [])
    assert written.bytes > 200 * len(picture["data"]) > 26_000_000
    assert peak < 3_000_000


# Files


def test_a_page_appears_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("an older one")
    data = encoded(record(step()))
    with pytest.raises(UnreadableError):
        save_page(path, in_pieces(data[:-10]), 1 << 20)
    assert path.read_text() == "an older one"
    assert list(tmp_path.iterdir()) == [path]
    written = save_page(path, in_pieces(data), 1 << 20)
    assert path.stat().st_size == written.bytes
    assert list(tmp_path.iterdir()) == [path]
    assert data_of(path.read_text())["title"] == "ep_1, code"
