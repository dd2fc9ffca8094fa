"""Dialogs and steps that are given up: neither is left for the next action to meet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Error

from environments.browser.guest.host import Host
from environments.browser.guest.tabs import Tabs


class ScriptedPage:
    """Says what has happened when it is told to."""

    def __init__(self) -> None:
        self.heard: dict[str, Any] = {}

    def on(self, event: str, listener: Any) -> None:
        self.heard[event] = listener


class ScriptedDialog:
    type, message, default_value = "confirm", "Sure?", ""

    def __init__(self, page: ScriptedPage) -> None:
        self.page = page


class ScriptedContext(ScriptedPage):
    pages = ()

    def open(self) -> ScriptedPage:
        page = ScriptedPage()
        self.heard["page"](page)
        return page


def watching(tabs: Tabs) -> ScriptedContext:
    context = ScriptedContext()
    tabs.watch(context)  # type: ignore[arg-type]  # as much of one as is used
    return context


@pytest.fixture
def host() -> Host:
    made = Host(None)  # type: ignore[arg-type]  # no browser is started
    made.tabs = Tabs("ask")
    return made


async def test_a_dialog_goes_with_its_page(host: Host) -> None:
    context = watching(host.tabs)
    other, page = context.open(), context.open()
    page.heard["dialog"](ScriptedDialog(page))
    other.heard["close"](other)
    assert host.tabs.dialog is not None, "it is another page's"
    page.heard["close"](page)
    assert host.tabs.dialog is None
    assert not host.tabs.dialog_opened.is_set()


async def test_a_dialog_goes_with_its_browser_and_holds_up_no_later_action(host: Host) -> None:
    page = watching(host.tabs).open()
    page.heard["dialog"](ScriptedDialog(page))
    watching(host.tabs)
    done: list[int] = []

    async def act() -> None:
        await asyncio.sleep(0.01)
        done.append(1)

    assert await host._race(act(), 1.0) is None
    assert done == [1]


@pytest.mark.parametrize("race", ["_race", "_race_dialog"])
async def test_what_a_step_that_is_given_up_was_doing_does_not_go_on(host: Host, race: str) -> None:
    watching(host.tabs)
    going, done = asyncio.Event(), list[int]()

    async def act() -> None:
        going.set()
        await asyncio.sleep(0.02)
        done.append(1)

    arguments = (act(), 1.0) if race == "_race" else (act(),)
    step = asyncio.ensure_future(getattr(host, race)(*arguments))
    await going.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    await asyncio.sleep(0.05)
    assert done == []


class ScriptedTab(ScriptedPage):
    def __init__(self, url: str, opener: object = None) -> None:
        super().__init__()
        self.url, self._opener = url, opener

    async def opener(self) -> object:
        return self._opener

    async def close(self, *, run_before_unload: bool) -> None:
        self.heard["close"](self)


@pytest.mark.parametrize("places", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
async def test_an_episode_begins_without_tabs_that_no_page_has_opened(host: Host, places: tuple[int, ...]) -> None:
    page = ScriptedTab("http://a.test/")
    pages = [page, ScriptedTab("chrome://newtab/"), ScriptedTab("about:blank")]
    context = watching(host.tabs)
    for place in places:
        context.heard["page"](pages[place])
    await host._close_strays(host.tabs.tab_of(page))  # type: ignore[arg-type]
    kept: list[Any] = [tab.page for tab in host.tabs.all]
    assert kept == [page]
    assert host.tabs.current.page is page  # type: ignore[comparison-overlap]


async def test_a_window_that_the_first_page_opens_stays(host: Host) -> None:
    page = ScriptedTab("http://a.test/")
    popups = [ScriptedTab("about:blank", page), ScriptedTab("http://a.test/other")]
    context = watching(host.tabs)
    for each in (page, *popups):
        context.heard["page"](each)
    await host._close_strays(host.tabs.tab_of(page))  # type: ignore[arg-type]
    kept: list[Any] = [tab.page for tab in host.tabs.all]
    assert kept == [page, *popups]
    assert host.tabs.current.page is popups[-1]  # type: ignore[comparison-overlap]


class ForgetfulContext(ScriptedContext):
    async def clear_cookies(self) -> None:
        raise Error("it takes none")


class ScriptedChromium:
    """Its browser is dead; the first one that is to be started instead takes too long."""

    alive = True

    def __init__(self) -> None:
        self.starts = 1
        self.slow = asyncio.Event()

    async def start_again(self, _: Any) -> tuple[ScriptedContext, bool]:
        self.starts += 1
        if self.starts == 2:
            self.slow.set()
            await asyncio.Event().wait()
        return ForgetfulContext(), False


async def test_a_browser_that_was_to_be_replaced_when_a_step_was_given_up_is_replaced_by_the_next(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    chromium, done = ScriptedChromium(), list[str]()

    async def enter(_: Any) -> None:
        done.append("entered")

    async def refill() -> None:
        done.append("refilled")

    async def observe(*_: Any, **__: Any) -> dict[str, Any]:
        return host.tabs.take_events()

    host._chromium = chromium  # type: ignore[assignment]
    host._options = {"action_timeout_s": 1.0}
    monkeypatch.setattr(host, "_enter", enter)
    monkeypatch.setattr(host, "_refill", refill)
    monkeypatch.setattr(host, "_observe", observe)
    monkeypatch.setattr(host, "_lives", lambda: asyncio.sleep(0, chromium.starts > 1))
    monkeypatch.setattr(host, "_try", lambda *_: asyncio.sleep(0))
    step = asyncio.ensure_future(host.act({"type": "back"}, 20.0))
    await chromium.slow.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    told = (await host.act({"type": "back"}, 20.0))["notices"]
    assert done == ["entered", "refilled"]
    assert "could not be put back" in told[0]
    assert "started again" in told[1]
    assert "is gone" in told[2], "its profile could not be used"
    assert await host.act({"type": "back"}, 20.0) == {}
    assert chromium.starts == 3, "one that is there is not started again"


@pytest.mark.parametrize(
    ("timeout_s", "action", "limit_s"),
    [
        (60.0, {"type": "back"}, 5.0),
        (10.0, {"type": "back"}, 5.0),
        (4.0, {"type": "back"}, 2.0),
        (60.0, {"type": "wait", "time_s": 30}, 31.0),
        (4.0, {"type": "wait", "time_s": 30}, 2.0),
    ],
)
async def test_an_action_has_its_share_of_a_step_however_short(
    host: Host, monkeypatch: pytest.MonkeyPatch, timeout_s: float, action: dict[str, Any], limit_s: float
) -> None:
    limits: list[float] = []

    async def attempt(_: Any, limit: float) -> None:
        limits.append(limit)

    async def observe(*_: Any, **__: Any) -> dict[str, Any]:
        return {}

    host._options = {"action_timeout_s": 5.0}
    monkeypatch.setattr(host, "_try", attempt)
    monkeypatch.setattr(host, "_observe", observe)
    monkeypatch.setattr(host, "_lives", lambda: asyncio.sleep(0, result=True))
    await host.act(action, timeout_s)
    assert limits == [limit_s]
