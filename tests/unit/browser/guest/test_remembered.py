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
    url = "about:blank"

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


def note(
    remembered: Remembered, tab: Tab, origin: str, session: Any = (), local: Any = (), url: str | None = None
) -> None:
    """What a page of this origin says of itself; at another address, where one is given."""
    tab.page.url = f"{origin}/" if url is None else url  # type: ignore[misc]
    remembered.note_page(tab, {"origin": origin, "session": session, "local": local})


@pytest.fixture
def tab() -> Tab:
    return Tab(ScriptedPage())  # type: ignore[arg-type]  # as much of one as is used


async def test_a_tab_gets_the_storage_of_each_origin_once(tab: Tab) -> None:
    remembered, page = Remembered(), ScriptedPage()
    note(remembered, tab, "http://a.test", ITEMS)
    note(remembered, tab, "http://b.test", [{"name": "other", "value": "two"}])
    note(remembered, tab, "http://empty.test", [])
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
    note(remembered, tab, "http://a.test", ITEMS, None)
    note(remembered, tab, "http://b.test", None)
    remembered.tabs = [Left("http://b.test/", tab.session), Left("http://b.test/2", tab.session)]
    assert remembered.too_large == ["http://b.test"]
    note(remembered, tab, "http://b.test", ITEMS)
    assert remembered.too_large == []


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://a.test/", "http://a.test"),
        ("http://a.test:8080/b?c=http://d.test#/e", "http://a.test:8080"),
        ("http://a.test:80/", "http://a.test"),
        ("https://a.test:443/", "https://a.test"),
        ("https://a.test:80/", "https://a.test:80"),
        ("HTTP://A.Test/", "http://a.test"),
        ("http://user:pass@a.test/@http://b.test", "http://a.test"),
        ("http://b.test:80@a.test/", "http://a.test"),
        ("http://[::1]/", "http://[::1]"),
        ("http://[::80]:80/", "http://[::80]"),
        ("http://a.test?b", "http://a.test"),
        ("blob:http://a.test/0f2c", "http://a.test"),
    ],
)
def test_a_page_is_believed_whose_address_has_its_origin(tab: Tab, url: str, origin: str) -> None:
    remembered = Remembered()
    note(remembered, tab, origin, ITEMS, ITEMS, url)
    assert (tab.session, remembered._local) == ({origin: ITEMS}, {origin: ITEMS})


@pytest.mark.parametrize("origin", ["http://shop.test", "http://shop.test:80", "https://evil.test", "null", "", "http"])
@pytest.mark.parametrize(
    "url",
    ["http://evil.test/", "http://evil.test/http://shop.test/", "http://shop.test@evil.test/", "about:blank", "",
     "blob:null/0f2c", "data:text/html,http://shop.test/", "chrome-error://chromewebdata/", "file:///http://shop.test/",
     "data://["],
)  # fmt: skip
def test_no_page_plants_anything_for_another_or_for_none(tab: Tab, url: str, origin: str) -> None:
    remembered = Remembered()
    note(remembered, tab, origin, ITEMS, ITEMS, url)
    assert (tab.session, remembered._local) == ({}, {})


def test_only_pages_with_an_origin_and_the_latest_of_them_are_noted(tab: Tab) -> None:
    remembered = Remembered()
    note(remembered, tab, "null", ITEMS)
    assert tab.session == {}
    for number in range(MAX_ORIGINS):
        note(remembered, tab, f"http://{number}.test", ITEMS)
    note(remembered, tab, "http://0.test", ITEMS)
    note(remembered, tab, "http://last.test", ITEMS)
    assert len(tab.session) == MAX_ORIGINS
    assert "http://0.test" in tab.session
    assert "http://1.test" not in tab.session
