"""Dialogs and steps that are given up: neither is left for the next action to meet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Error

from environments.browser.guest import tabs as tabs_module
from environments.browser.guest.host import Host
from environments.browser.guest.tabs import Tabs


class ScriptedPage:
    """Says what has happened when it is told to."""

    def __init__(self, opened_by: ScriptedPage | None = None) -> None:
        self.heard: dict[str, Any] = {}
        self.opened_by = opened_by
        self.closed = False

    def on(self, event: str, listener: Any) -> None:
        self.heard[event] = listener

    async def opener(self) -> object:
        return self.opened_by

    async def close(self, *, run_before_unload: bool) -> None:
        self.closed = True
        if "close" in self.heard:
            self.heard["close"](self)


class ScriptedDialog:
    type, message, default_value = "confirm", "Sure?", ""

    def __init__(self, page: ScriptedPage) -> None:
        self.page = page


class ScriptedSession:
    """Of DevTools, with a page."""

    def __init__(self) -> None:
        self.heard: dict[str, Any] = {}

    def on(self, event: str, listener: Any) -> None:
        self.heard[event] = listener

    async def send(self, _: str) -> None:
        pass


class ScriptedContext(ScriptedPage):
    """Tells of each page before it is given, as Playwright does."""

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[ScriptedPage] = []
        self.sessions: dict[Any, ScriptedSession] = {}

    async def new_cdp_session(self, page: Any) -> ScriptedSession:
        self.sessions[page] = ScriptedSession()
        return self.sessions[page]

    async def new_page(self) -> ScriptedPage:
        page = ScriptedPage()
        self.appear(page)
        await asyncio.sleep(0)
        return page

    def appear(self, page: ScriptedPage) -> None:
        self.pages.append(page)
        if "page" in self.heard:
            self.heard["page"](page)


async def entered(tabs: Tabs, context: ScriptedContext | None = None) -> ScriptedContext:
    """A context with one tab."""
    made = context or ScriptedContext()
    await tabs.enter(made)  # type: ignore[arg-type]  # as much of one as is used
    return made


@pytest.fixture
def host() -> Host:
    made = Host(None)  # type: ignore[arg-type]  # no browser is started
    made.tabs = Tabs("ask")
    return made


async def test_a_dialog_goes_with_its_page(host: Host) -> None:
    await entered(host.tabs)
    other: Any = host.tabs.current.page
    page: Any = (await host.tabs.open()).page
    page.heard["dialog"](ScriptedDialog(page))
    other.heard["close"](other)
    assert host.tabs.dialog is not None, "it is another page's"
    page.heard["close"](page)
    assert host.tabs.dialog is None
    assert not host.tabs.dialog_opened.is_set()


async def test_a_dialog_goes_with_its_browser_and_holds_up_no_later_action(host: Host) -> None:
    await entered(host.tabs)
    page: Any = host.tabs.current.page
    page.heard["dialog"](ScriptedDialog(page))
    await entered(host.tabs)
    done: list[int] = []

    async def act() -> None:
        await asyncio.sleep(0.01)
        done.append(1)

    assert await host._race(act(), 1.0) is None
    assert done == [1]


@pytest.mark.parametrize("race", ["_race", "_race_dialog"])
async def test_what_a_step_that_is_given_up_was_doing_does_not_go_on(host: Host, race: str) -> None:
    await entered(host.tabs)
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


async def at_rest(host: Host) -> None:
    await asyncio.gather(*host.tabs._works)


@pytest.mark.parametrize("before", [0, 1, 3])
async def test_tabs_that_nobody_asked_for_are_closed_and_are_none(host: Host, before: int) -> None:
    context = ScriptedContext()
    strays = [ScriptedPage() for _ in range(before + 1)]
    for stray in strays[:-1]:  # the one that a browser begins with among them
        context.appear(stray)
    await entered(host.tabs, context)
    context.appear(strays[-1])
    assert [tab.page.closed for tab in host.tabs.all] == [False]  # type: ignore[attr-defined]
    await at_rest(host)
    assert all(stray.closed for stray in strays)
    assert [tab.page.closed for tab in host.tabs.all] == [False]  # type: ignore[attr-defined]


async def test_a_tab_that_was_asked_for_is_no_stray_though_it_is_told_of_before_it_is_given(host: Host) -> None:
    await entered(host.tabs)
    tab = await host.tabs.open()
    await at_rest(host)
    assert not tab.page.closed  # type: ignore[attr-defined]
    assert host.tabs.current is tab
    assert host.tabs.number == 2


async def test_a_window_that_a_page_opens_is_the_current_tab_at_once(host: Host) -> None:
    context = await entered(host.tabs)
    page: Any = host.tabs.current.page
    popup = ScriptedPage(opened_by=page)
    context.appear(popup)
    page.heard["popup"](popup)
    assert host.tabs.current.page is popup  # type: ignore[comparison-overlap]
    await at_rest(host)
    assert not popup.closed


async def test_a_window_that_is_being_opened_is_waited_for_and_not_for_ever(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = await entered(host.tabs)
    page: Any = host.tabs.current.page
    opening = context.sessions[page].heard["Page.windowOpen"]
    await host.tabs.windows()
    opening({})
    waiting = asyncio.ensure_future(host.tabs.windows())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    popup = ScriptedPage(opened_by=page)
    page.heard["popup"](popup)
    await waiting
    assert host.tabs.current.page == popup  # type: ignore[comparison-overlap]
    monkeypatch.setattr(tabs_module, "WINDOW_S", 0.01)
    opening({})
    await host.tabs.windows()
    monkeypatch.setattr(tabs_module, "WINDOW_S", 30)
    await host.tabs.windows()


async def test_windows_past_the_most_tabs_are_closed_and_told_of(host: Host) -> None:
    context = await entered(host.tabs)
    page: Any = host.tabs.current.page
    popups = [ScriptedPage(opened_by=page) for _ in range(11)]
    for popup in popups:
        context.appear(popup)
        page.heard["popup"](popup)
    await at_rest(host)
    assert [popup.closed for popup in popups] == [False] * 9 + [True] * 2
    assert host.tabs.take_events() == {"notices": ["a popup was closed: there may be 10 tabs"] * 2}


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
