"""What is noted of pages, and how it is put back: once, and for the origin that it belongs to."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from environments.browser.guest.remembered import MAX_ORIGINS, Left, Remembered
from environments.browser.guest.tabs import Tab

ITEMS = [{"name": "kept", "value": "one </script> ' \" \u2028"}]


class ScriptedScript:
    def __init__(self, source: str) -> None:
        self.source = source
        self.closed = asyncio.Event()

    async def close(self) -> None:
        self.closed.set()


class ScriptedFrame:
    def __init__(self, url: str, parent: ScriptedFrame | None = None) -> None:
        self.url, self.parent_frame = url, parent


class ScriptedPage:
    def __init__(self) -> None:
        self.scripts: list[ScriptedScript] = []
        self._listening: list[Any] = []

    async def add_init_script(self, source: str) -> ScriptedScript:
        self.scripts.append(ScriptedScript(source))
        return self.scripts[-1]

    def on(self, event: str, listener: Any) -> None:
        assert event == "framenavigated"
        self._listening.append(listener)

    def remove_listener(self, _: str, listener: Any) -> None:
        self._listening.remove(listener)

    def navigate(self, frame: ScriptedFrame) -> None:
        for listener in list(self._listening):
            listener(frame)


def noted(origin: str, session: Any = (), local: Any = ()) -> dict[str, Any]:
    return {"origin": origin, "session": session, "local": local}


@pytest.fixture
def tab() -> Tab:
    return Tab(ScriptedPage())  # type: ignore[arg-type]  # as much of one as is used


async def test_a_tab_gets_the_storage_of_each_origin_once(tab: Tab) -> None:
    remembered, page = Remembered(), ScriptedPage()
    remembered.note_page(tab, noted("http://a.test", ITEMS))
    remembered.note_page(tab, noted("http://b.test", [{"name": "other", "value": "two"}]))
    remembered.note_page(tab, noted("http://empty.test", []))
    await remembered.put_back_tab(page, tab.session)  # type: ignore[arg-type]
    first, second = page.scripts
    assert json.dumps(["http://a.test", ITEMS]) in first.source
    assert "http://b.test" in second.source

    page.navigate(ScriptedFrame("http://a.test/inner", ScriptedFrame("http://b.test.other/")))
    page.navigate(ScriptedFrame("http://a.test.other/"))
    await asyncio.sleep(0)
    assert not first.closed.is_set(), "no page of the tab's own has had that origin"
    page.navigate(ScriptedFrame("http://a.test/"))
    await first.closed.wait()
    assert not second.closed.is_set()
    page.navigate(ScriptedFrame("http://b.test/"))
    await second.closed.wait()


def test_what_was_too_much_is_told_by_origin(tab: Tab) -> None:
    remembered = Remembered()
    remembered.note_page(tab, noted("http://a.test", ITEMS, None))
    remembered.note_page(tab, noted("http://b.test", None))
    remembered.tabs = [Left("http://b.test/", tab.session), Left("http://b.test/2", tab.session)]
    assert remembered.too_large == ["http://b.test"]
    remembered.note_page(tab, noted("http://b.test", ITEMS))
    assert remembered.too_large == []


def test_only_pages_with_an_origin_and_the_latest_of_them_are_noted(tab: Tab) -> None:
    remembered = Remembered()
    remembered.note_page(tab, noted("null", ITEMS))
    assert tab.session == {}
    for number in range(MAX_ORIGINS):
        remembered.note_page(tab, noted(f"http://{number}.test", ITEMS))
    remembered.note_page(tab, noted("http://0.test", ITEMS))
    remembered.note_page(tab, noted("http://last.test", ITEMS))
    assert len(tab.session) == MAX_ORIGINS
    assert "http://0.test" in tab.session
    assert "http://1.test" not in tab.session
