"""What a page says of itself is made to be what an observation holds, and what is left out of it is told by name."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from playwright.async_api import Error

from environments.browser import seen
from environments.browser.guest import looking
from environments.browser.guest.acting import ActError
from environments.browser.guest.looking import MAX_PICTURE, MAX_SEEN, MAX_STORED, Looks, fitting, read_state, together
from environments.browser.guest.remembered import Remembered
from environments.browser.guest.tabs import Tab
from environments.programs import MAX_ANSWER_BYTES

OUTLINE = "\n".join(f'- button "Number {number}" [ref=e{number}]' for number in range(100))
NOTHING = {"x": 0, "y": 0, "width": 0, "height": 0}
HOSTILE = [
    None, 5, "", "no JSON", "[]", "5", "9" * 5000, "[" * 100_000, "{}",
    '{"title": 5, "scroll": {"x": NaN, "y": 1e999, "width": "1", "height": {}}, "focus": "body", "origin": 7}',
    '{"title": null, "scroll": 5, "focus": {"tag": 5, "name": []}, "local": 5, "session": [5, {"name": 1}]}',
    '{"scroll": {"x": true, "y": 1e300, "width": -1e300}, "session": [{"name": "a", "value": 7}], "focus": {}}',
    json.dumps({"title": "x" * 1000, "focus": {"tag": "x" * 100_000, "name": "y" * 1000}, "origin": "z" * 10_000}),
]  # fmt: skip


@pytest.mark.parametrize("said", HOSTILE, ids=lambda said: str(said)[:40])
def test_whatever_a_page_says_of_itself_is_what_the_server_takes(said: Any) -> None:
    state = read_state(said)
    told = {name: state[name] for name in ("title", "scroll", "focus")}
    assert seen.observation({"observation": told}, 1000) == told
    assert state["local"] in ([], None)
    assert state["session"] in ([], None)
    assert isinstance(state["origin"], str)


def test_what_a_page_says_of_itself_is_read() -> None:
    items = [{"name": "a", "value": "b"}]
    said = {
        "title": "Shop", "scroll": {"x": 0, "y": 12.6, "width": 800, "height": 600},
        "focus": {"tag": "input", "name": "n"}, "local": items, "session": None, "origin": "http://shop.test",
    }  # fmt: skip
    assert read_state(json.dumps(said)) == {**said, "scroll": {"x": 0, "y": 13, "width": 800, "height": 600}}
    assert read_state("{}")["scroll"] == NOTHING


def test_of_a_storage_only_so_much_is_remembered() -> None:
    items = [{"name": "a", "value": "b" * MAX_STORED}]
    assert read_state(json.dumps({"local": items}))["local"] is None
    mixed = [{"name": "a", "value": "b"}, {"name": "c", "value": 5}, "d"]
    assert read_state(json.dumps({"local": mixed}))["local"] == [{"name": "a", "value": "b"}]


def test_notes_and_pictures_of_several_views_are_all_kept() -> None:
    parts = ({"text": "a", "cut": "text: x"}, {"html": "b"}, {"read": "c", "cut": "read: y", "images": [1]})
    assert together(*parts, {"images": [2]}) == {
        "text": "a", "html": "b", "read": "c", "cut": "text: x\nread: y", "images": [1, 2],
    }  # fmt: skip


def picture(size: int) -> dict[str, str]:
    return {"format": "png", "data": "a" * size}


@pytest.mark.parametrize(
    ("sizes", "text", "kept"),
    [
        ([1000, 2000], "", [1000, 2000]),
        ([MAX_PICTURE + 1], "", []),
        ([MAX_PICTURE, MAX_PICTURE], "", [MAX_PICTURE]),
        ([MAX_PICTURE, 100], "", [MAX_PICTURE, 100]),
        ([MAX_PICTURE], "\u4e00" * 1_500_000, []),
    ],
)
def test_pictures_that_are_too_large_are_left_out_and_that_is_told(
    sizes: list[int], text: str, kept: list[int]
) -> None:
    shown = fitting({"text": text, "cut": "text: x", "images": [picture(size) for size in sizes]})
    assert [len(each["data"]) for each in shown.get("images", ())] == kept
    assert shown["text"] == text
    left_out = f"\nimages: {len(kept)} of {len(sizes)}, since the rest is too large: zoom shows a part"
    assert shown["cut"] == "text: x" + left_out * (kept != sizes)
    assert MAX_PICTURE <= seen.MAX_PICTURE
    assert MAX_SEEN < MAX_ANSWER_BYTES


def test_without_pictures_there_is_nothing_to_leave_out() -> None:
    assert fitting({"text": "a"}) == {"text": "a"}


class ScriptedLocator:
    def __init__(self, count: int) -> None:
        self._count = count

    async def count(self) -> int:
        return self._count


class ScriptedPage:
    """Whoever asks for what is in a body that there is not waits for ever."""

    url = "http://own.test/"
    frames: tuple[Any, ...] = ()
    html = "<p>line</p>\n" * 200

    def __init__(self, *, body: bool = True) -> None:
        self._body = body
        self.asked_for_its_body = 0

    def locator(self, _: str) -> ScriptedLocator:
        self.asked_for_its_body += 1
        return ScriptedLocator(int(self._body))

    async def evaluate(self, *_: Any) -> str:
        return "{}"

    async def content(self) -> str:
        return self.html

    async def inner_text(self, _: str) -> str:
        assert self._body
        return "words\n" * 200

    async def aria_snapshot(self, **_: Any) -> str:
        if not self._body:
            await asyncio.Event().wait()
        return OUTLINE


class ScriptedTabs:
    number = 1

    def __init__(self, page: ScriptedPage) -> None:
        self.current = Tab(page)  # type: ignore[arg-type]  # as much of one as is used
        self.all = [self.current]


def looks(*, body: bool = True, **options: Any) -> Looks:
    chosen = {"observe": ["text"], "max_chars": 400, "interactive": False, "changes": False, **options}
    tabs: Any = ScriptedTabs(ScriptedPage(body=body))
    return Looks(tabs, chosen, Remembered())


PARTS = ", or with a ref for one part, or find"


async def test_each_view_that_is_cut_says_how_to_see_its_own_rest() -> None:
    told = await looks(observe=["text", "html", "text_content"]).observation()
    text, html, words = told["cut"].splitlines()
    assert text.startswith("text: lines 1 to ")
    assert text.endswith(f"; for the rest: read_page with offset={len(told['text']) + 1}{PARTS}")
    assert html.startswith("html: lines 1 to ")
    assert html.endswith(f"; for the rest: read_page with what=html, offset={len(told['html']) + 1}")
    assert words.startswith("text_content: lines 1 to ")
    assert words.endswith(f"; for the rest: read_page with what=text, offset={len(told['text_content']) + 1}")


async def test_the_rest_of_what_can_be_acted_on_is_counted_in_that() -> None:
    told = await looks(interactive=True).observation()
    assert told["cut"].endswith(f"read_page with interactive=true, offset={len(told['text']) + 1}{PARTS}")


@pytest.mark.parametrize(
    ("request_", "again"),
    [
        ({}, ""),
        ({"what": "html"}, "what=html, "),
        ({"what": "text", "offset": 5}, "what=text, "),
        ({"depth": 3, "interactive": True}, "depth=3, interactive=true, "),
        ({"interactive": False}, ""),
    ],
)
async def test_the_rest_of_what_was_read_is_read_with_the_same_words(request_: dict[str, Any], again: str) -> None:
    told = await looks().look({"type": "read_page", **request_})
    following = request_.get("offset", 0) + len(told["read"]) + 1
    assert told["cut"].startswith("read: lines 1 to ")
    assert told["cut"].endswith(f"; for the rest: read_page with {again}offset={following}")
    rest = await looks().look({"type": "read_page", **request_, "offset": following})
    assert not rest["read"].startswith("\n")


async def test_the_last_part_of_what_was_read_has_no_rest() -> None:
    told = await looks().look({"type": "read_page", "offset": len(OUTLINE) - 50})
    assert told["cut"] == "read: lines 99 to 100 of 100, 50 of 3079 characters"
    with pytest.raises(ActError, match="nothing from character"):
        await looks().look({"type": "read_page", "offset": len(OUTLINE)})


async def test_what_was_found_and_what_has_changed_have_no_offsets() -> None:
    found = await looks().look({"type": "find", "text": "number"})
    assert found["cut"].startswith("found: lines 1 to ")
    assert found["cut"].endswith("; for the rest: find something more exact")
    looking_ = looks(changes=True)
    tab = looking_._tabs.current
    tab.shown = "\n".join(OUTLINE.splitlines()[:80])
    told = await looking_.observation()
    assert told["cut"].startswith("changes: lines 1 to ")
    assert told["cut"].endswith("; for the rest: read_page for all of it, or find")


async def test_a_page_without_a_body_has_no_words_and_is_not_waited_for() -> None:
    bare = looks(body=False, observe=["text", "text_content"])
    told = await bare.observation()
    assert (told["text"], told["text_content"]) == ("", "")
    assert (await bare.look({"type": "read_page", "what": "text"}))["read"] == ""
    assert (await bare.look({"type": "read_page"}))["read"] == ""
    assert (await bare.look({"type": "find", "text": "x"}))["found"] == "(nothing)"


async def test_only_a_page_whose_outline_does_not_come_is_asked_whether_it_has_a_body() -> None:
    for body in (True, False):
        looking_ = looks(body=body)
        await looking_.observation()
        page: Any = looking_._tabs.current.page
        assert page.asked_for_its_body == int(not body)


async def test_another_tab_that_has_no_title_is_shown_without(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nameless(ScriptedPage):
        async def title(self) -> Any:
            return {"not": "a text"}

    looking_ = looks()
    tabs: Any = looking_._tabs
    tabs.all.append(Tab(Nameless()))  # type: ignore[arg-type]  # as much of one as is used
    monkeypatch.setattr(looking, "TITLE_S", 30)
    assert (await looking_.place())["tabs"][1]["title"] == ""


async def test_a_page_with_a_refused_frame_may_take_its_time() -> None:
    class Slow(ScriptedPage):
        frames = (SimpleNamespace(url=""),)
        within_ms: ClassVar[list[float]] = []

        async def aria_snapshot(self, **options: Any) -> str:
            self.within_ms.append(options["timeout"])
            if len(self.within_ms) == 1:
                raise Error("Page.aria_snapshot: Timeout 300ms exceeded.")
            return OUTLINE

    tabs: Any = ScriptedTabs(Slow())
    options = {"observe": ["text"], "max_chars": 4000, "interactive": False, "changes": False}
    told = await Looks(tabs, options, Remembered()).observation()
    assert told["text"] == OUTLINE
    assert Slow.within_ms == [300.0, 5000.0]


async def test_changes_of_very_long_texts_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "MAX_COMPARED", 2 * len(OUTLINE))
    looking_ = looks(changes=True)
    looking_._tabs.current.shown = OUTLINE
    assert "changes" not in await looking_.observation()
