"""Dialogs, downloads and steps that are given up: none is left for the next action to meet."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Error

from environments.browser.guest import tabs as tabs_module
from environments.browser.guest.acting import ActError
from environments.browser.guest.host import Host
from environments.browser.guest.tabs import Tabs


class ScriptedPage:
    """Says what has happened when it is told to."""

    def __init__(self, opened_by: ScriptedPage | None = None) -> None:
        self.heard: dict[str, Any] = {}
        self.opened_by = opened_by
        self.closed = False
        self.url = "about:blank"
        self.main_frame = self

    def on(self, event: str, listener: Any) -> None:
        self.heard[event] = listener

    async def opener(self) -> object:
        return self.opened_by

    async def close(self, *, run_before_unload: bool) -> None:
        self.closed = True
        if "close" in self.heard:
            self.heard["close"](self)

    async def evaluate(self, _: str) -> int:
        return 1


class AskingPage(ScriptedPage):
    """Asks something once it is spoken to, and says nothing before it has an answer."""

    async def evaluate(self, _: str) -> int:
        self.heard["dialog"](ScriptedDialog(self))
        await asyncio.Event().wait()
        return 1


class ScriptedDialog:
    type, message, default_value = "confirm", "Sure?", ""

    def __init__(self, page: ScriptedPage) -> None:
        self.page = page

    async def accept(self, _: str) -> None:
        pass


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

    page_type = ScriptedPage

    def __init__(self) -> None:
        super().__init__()
        self.pages: list[ScriptedPage] = []
        self.sessions: dict[Any, ScriptedSession] = {}

    async def new_cdp_session(self, page: Any) -> ScriptedSession:
        self.sessions[page] = ScriptedSession()
        return self.sessions[page]

    async def new_page(self) -> ScriptedPage:
        page = self.page_type()
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
    may_end, done = asyncio.Event(), list[int]()

    async def act() -> None:
        await may_end.wait()
        done.append(1)

    racing = asyncio.ensure_future(host._race(act(), 5.0))
    asyncio.get_running_loop().call_soon(may_end.set)
    assert await racing is None
    assert done == [1]


@pytest.mark.parametrize("race", ["_race", "_race_dialog"])
async def test_what_a_step_that_is_given_up_was_doing_does_not_go_on(host: Host, race: str) -> None:
    await entered(host.tabs)
    going, ended = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        going.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    arguments = (act(), 1.0) if race == "_race" else (act(),)
    step = asyncio.ensure_future(getattr(host, race)(*arguments))
    await going.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    await asyncio.wait_for(ended.wait(), 5)


class ScriptedActs:
    """Answers dialogs as it is told to; any other action is done at once."""

    cursor = None

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def carry_out(self, request: dict[str, Any], _: float) -> None:
        if request["type"] == "dialog":
            await self._answer()


async def behind_a_dialog(host: Host, answer: Any) -> asyncio.Event:
    """An action waits for a dialog's answer; set is what is given once it has been ended."""
    await entered(host.tabs)
    host._acts = ScriptedActs(answer)  # type: ignore[assignment]
    page: Any = host.tabs.current.page
    ended = asyncio.Event()

    async def act() -> None:
        page.heard["dialog"](ScriptedDialog(page))
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assert await host._race(act(), 1.0) is None
    assert host.tabs.dialog is not None
    return ended


ANSWER = {"type": "dialog", "accept": True}


async def test_what_waits_for_an_answer_ends_where_there_is_none_to_give(host: Host) -> None:
    async def fail() -> None:
        raise ActError("no dialog is open")

    ended = await behind_a_dialog(host, fail)
    assert await host._try(ANSWER, 1.0) == "no dialog is open"
    await asyncio.wait_for(ended.wait(), 5)
    assert host._blocked is None


async def test_what_waits_for_an_answer_ends_with_the_step_that_was_to_give_it(host: Host) -> None:
    going = asyncio.Event()

    async def hang() -> None:
        host.tabs._no_dialog()
        going.set()
        await asyncio.Event().wait()

    ended = await behind_a_dialog(host, hang)
    step = asyncio.ensure_future(host._try(ANSWER, 1.0))
    await going.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    await asyncio.wait_for(ended.wait(), 5)


async def test_what_waits_for_an_answer_ends_once_its_dialog_is_gone(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def observe(*_: Any, **__: Any) -> dict[str, Any]:
        return {}

    ended = await behind_a_dialog(host, None)
    page: Any = host.tabs.current.page
    page.heard["close"](page)
    host._options = {"action_timeout_s": 1.0}
    monkeypatch.setattr(host, "_observe", observe)
    monkeypatch.setattr(host, "_lives", lambda: asyncio.sleep(0, result=True))
    await host.act({"type": "back"}, 20.0)
    await asyncio.wait_for(ended.wait(), 5)


async def test_what_waits_for_an_answer_goes_on_with_it(host: Host) -> None:
    await entered(host.tabs)
    page: Any = host.tabs.current.page
    answered = asyncio.Event()

    async def act() -> None:
        page.heard["dialog"](ScriptedDialog(page))
        await answered.wait()

    async def answer() -> None:
        await host.tabs.answer(accept=True, text=None)
        answered.set()

    host._acts = ScriptedActs(answer)  # type: ignore[assignment]
    assert await host._race(act(), 1.0) is None
    blocked = host._blocked
    assert await host._try(ANSWER, 1.0) is None
    assert blocked is not None
    assert blocked.done()
    assert not blocked.cancelled()


class AskingContext(ScriptedContext):
    page_type = AskingPage


class ScriptedLooks:
    """Where the browser stands can be seen; the page itself raises what it is given, once for each."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    async def place(self) -> dict[str, Any]:
        return {"url": "http://own.test/"}

    async def stood(self) -> dict[str, Any]:
        return {"url": "http://own.test/", "text": "as it was"}

    async def observation(self) -> dict[str, Any]:
        if self._errors:
            raise self._errors.pop(0)
        return {"url": "http://own.test/", "text": "all of it"}


class ScriptedProxy:
    waiting = count = 0


def observing(host: Host, monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
    async def none_refused() -> list[str]:
        return []

    host._chromium = ScriptedChromium()  # type: ignore[assignment]
    host._context = ScriptedContext()  # type: ignore[assignment]
    host._looks = ScriptedLooks(*errors)  # type: ignore[assignment]
    host._acts = ScriptedActs(None)  # type: ignore[assignment]
    host.proxy = ScriptedProxy()  # type: ignore[assignment]
    monkeypatch.setattr(host, "_settle", lambda _: asyncio.sleep(0, result=True))
    monkeypatch.setattr(host._remembered, "note_browser", lambda *_: asyncio.sleep(0))
    monkeypatch.setattr(host, "_leave_forbidden", none_refused)
    monkeypatch.setattr(host.tabs, "windows", lambda: asyncio.sleep(0))


async def test_a_page_that_asks_something_when_it_is_asked_whether_it_answers_keeps_its_tab(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered(host.tabs, AskingContext())
    observing(host, monkeypatch)
    monkeypatch.setattr("environments.browser.guest.host.PROBE_S", 0.05)
    tab = host.tabs.current
    seen = (await host._observe("it failed", {}, 1.0, doubtful=True))["observation"]
    assert seen["dialog"] == {"type": "confirm", "message": "Sure?", "default": ""}
    assert (seen["url"], seen["error"]) == ("http://own.test/", "it failed")
    assert host.tabs.current is tab


async def test_a_page_that_asks_something_after_it_could_not_be_looked_at_keeps_its_tab(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered(host.tabs, AskingContext())
    observing(host, monkeypatch, *[Error("its outline took too long")] * 2)
    monkeypatch.setattr("environments.browser.guest.host.PROBE_S", 0.05)
    tab = host.tabs.current
    seen = (await host._observe(None, {}, 1.0, doubtful=False))["observation"]
    assert (seen["dialog"]["message"], "error" in seen) == ("Sure?", False)
    assert host.tabs.current is tab


@pytest.mark.parametrize("before", [None, "there is no e5 on this page"])
async def test_a_page_that_answers_and_cannot_be_looked_at_is_told_of(
    host: Host, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    await entered(host.tabs)
    observing(host, monkeypatch, *[Error("its outline took too long")] * 2)
    seen = (await host._observe(before, {}, 1.0, doubtful=False))["observation"]
    told = "the page could not be looked at: its outline took too long"
    assert seen == {"url": "http://own.test/", "error": told if before is None else f"{before}; {told}"}


async def test_a_page_that_makes_way_for_another_while_it_is_looked_at_is_not_what_is_seen(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class MovingLooks(ScriptedLooks):
        async def observation(self) -> dict[str, Any]:
            host.proxy.count = 1  # type: ignore[misc]
            return await super().observation()

    await entered(host.tabs)
    observing(host, monkeypatch)
    host._looks = MovingLooks(Error("its context was destroyed"))  # type: ignore[assignment]
    seen = (await host._observe(None, {}, 1.0, doubtful=False))["observation"]
    assert seen == {"url": "http://own.test/", "text": "all of it"}


async def test_a_page_whose_look_failed_once_is_looked_at_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    await entered(host.tabs)
    observing(host, monkeypatch, Error("Execution context was destroyed"))
    seen = (await host._observe(None, {}, 1.0, doubtful=False))["observation"]
    assert seen == {"url": "http://own.test/", "text": "all of it"}


async def test_a_page_that_goes_on_and_on_is_looked_at_until_it_stands(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class MovingLooks(ScriptedLooks):
        async def observation(self) -> dict[str, Any]:
            request = ScriptedRequest(page)
            page.heard["request"](request)
            page.heard["requestfinished"](request)
            return await super().observation()

    await entered(host.tabs)
    observing(host, monkeypatch)
    page: Any = host.tabs.current.page
    host._looks = MovingLooks(*[Error("Execution context was destroyed")] * 5)  # type: ignore[assignment]
    seen = (await host._observe(None, {}, 0.0, doubtful=False))["observation"]
    assert seen == {"url": "http://own.test/", "text": "all of it", "loading": True}


class ScriptedRequest:
    """For another page, in a tab's place."""

    def __init__(self, page: ScriptedPage) -> None:
        self.frame = page

    def is_navigation_request(self) -> bool:
        return True


class ScriptedResponse:
    def __init__(self, request: ScriptedRequest) -> None:
        self.request = request


async def test_a_page_that_waits_for_another_is_asked_nothing_and_keeps_its_tab(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SilentPage(ScriptedPage):
        async def evaluate(self, _: str) -> int:
            await asyncio.Event().wait()
            return 1

    class SilentContext(ScriptedContext):
        page_type = SilentPage

    await entered(host.tabs, SilentContext())
    observing(host, monkeypatch)
    monkeypatch.setattr("environments.browser.guest.host.PROBE_S", 0.05)
    monkeypatch.setattr(host, "_settle", lambda _: asyncio.sleep(0, result=False))
    tab, page = host.tabs.current, host.tabs.current.page
    request = ScriptedRequest(page)  # type: ignore[arg-type]  # as much of one as is used
    page.heard["request"](request)  # type: ignore[attr-defined]
    seen = (await host._observe("late", {}, 1.0, doubtful=True))["observation"]
    assert seen == {"url": "http://own.test/", "text": "as it was", "loading": True, "error": "late"}
    assert host.tabs.all == [tab]
    page.heard["framenavigated"](page)  # type: ignore[attr-defined]  # within its document
    assert tab.going is request  # type: ignore[comparison-overlap]
    page.heard["response"](ScriptedResponse(request))  # type: ignore[attr-defined]
    seen = (await host._observe(None, {}, 1.0, doubtful=True))["observation"]
    assert "does not answer any more" in seen["error"], "it hangs, and has not made way"
    assert host.tabs.current is not tab


async def test_a_tab_is_going_until_the_page_that_it_goes_to_is_there(host: Host) -> None:
    await entered(host.tabs)
    tab, page = host.tabs.current, host.tabs.current.page
    heard: Any = page.heard  # type: ignore[attr-defined]
    first, second = ScriptedRequest(page), ScriptedRequest(page)  # type: ignore[arg-type]
    heard["request"](first)
    assert not tab.arrived.is_set()
    heard["request"](second)
    heard["requestfailed"](first)
    heard["response"](ScriptedResponse(first))
    assert (tab.asking.is_set(), tab.arrived.is_set()) == (True, False), "it has given way to the second"
    heard["response"](ScriptedResponse(second))
    assert (tab.asking.is_set(), tab.arrived.is_set()) == (False, False)
    heard["framenavigated"](page)
    assert tab.arrived.is_set()


async def test_a_page_that_has_said_that_it_goes_is_waited_for_until_it_has_asked_and_not_for_long(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = await entered(host.tabs)
    tab, page = host.tabs.current, host.tabs.current.page
    heard: Any = page.heard  # type: ignore[attr-defined]
    leaves = context.sessions[page].heard["Page.frameRequestedNavigation"]
    await tab.left()
    monkeypatch.setattr(tabs_module, "LEAVE_S", 30)
    leaves({})
    leaving = asyncio.ensure_future(tab.left())
    assert not (await asyncio.wait({leaving}, timeout=0.01))[0]
    heard["request"](ScriptedRequest(page))  # type: ignore[arg-type]
    await leaving
    leaves({})
    await tab.left()  # it has asked already
    tab.arrive()
    monkeypatch.setattr(tabs_module, "LEAVE_S", 0.01)
    leaves({})
    await tab.left()
    monkeypatch.setattr(tabs_module, "LEAVE_S", 30)
    await tab.left()


async def test_a_page_that_makes_way_when_it_is_asked_whether_it_answers_is_asked_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [Error("Execution context was destroyed")]

    async def evaluate(_: str) -> int:
        if errors:
            raise errors.pop()
        return 1

    await entered(host.tabs)
    observing(host, monkeypatch)
    page: Any = host.tabs.current.page
    page.evaluate = evaluate
    assert await host._answers(host.tabs.current)
    assert not errors


async def test_what_a_dialog_says_is_told_in_part(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    class Talkative(ScriptedDialog):
        message = default_value = "x" * 5000

    await entered(host.tabs)
    observing(host, monkeypatch)
    page: Any = host.tabs.current.page
    page.heard["dialog"](Talkative(page))
    seen = (await host._observe(None, {}, 1.0, doubtful=False))["observation"]
    assert seen["dialog"] == {"type": "confirm", "message": "x" * 1000, "default": "x" * 1000}


class ScriptedDownload:
    """Chromium has a copy of it until it is deleted."""

    url = "http://own.test/" + "x" * 5000

    def __init__(self, copy: Path, name: str, failure: str | None = None) -> None:
        self._copy, self.suggested_filename, self._failure = copy, name, failure

    async def failure(self) -> str | None:
        return self._failure

    async def path(self) -> Path:
        return self._copy

    async def save_as(self, path: Path) -> None:
        os.link(self._copy, path)

    async def delete(self) -> None:
        self._copy.unlink()


@pytest.mark.parametrize(
    ("name", "failure", "saved"),
    [
        ("table.csv", None, "table.csv"),
        ("../../above", None, "above"),
        ("\u4e00" * 200, None, "\u4e00" * 66),
        ("half\ud800", None, "half"),
        ("nu\0l", None, "nul"),
        ("", None, "download"),
        ("table.csv", "canceled" * 1000, None),
    ],
)
async def test_of_a_download_there_is_one_copy(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, failure: str | None, saved: str | None
) -> None:
    kept = tmp_path / "downloads"
    kept.mkdir()
    monkeypatch.setattr(tabs_module, "DOWNLOADS", kept)
    await entered(host.tabs)
    copy = tmp_path / "copy"
    copy.write_bytes(b"a,b")
    page: Any = host.tabs.current.page
    page.heard["download"](ScriptedDownload(copy, name, failure))
    await host.tabs.save()
    [told] = host.tabs.take_events()["downloads"]
    assert len(told["url"]) <= 500
    assert not copy.exists()
    assert [file.name for file in kept.iterdir()] == ([] if saved is None else [saved])
    if saved is None:
        assert len(told["error"]) <= 500
    else:
        assert told["bytes"] == 3


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
    assert not (await asyncio.wait({waiting}, timeout=0.01))[0]
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
        (60.0, {"type": "key_hold", "keys": ["a"], "time_s": 12}, 13.0),
        (60.0, {"type": "type", "text": "x" * 1000}, 15.0),
        (60.0, {"type": "type", "text": "x" * 5000}, 52.0),
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


async def test_what_the_steps_time_has_cut_short_is_told_as_that(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[str | None] = []

    async def attempt(_: Any, limit_s: float) -> str:
        return f"it did not come to an end within {limit_s:g} s"

    async def observe(error: str | None, *_: Any, **__: Any) -> dict[str, Any]:
        errors.append(error)
        return {}

    host._options = {"action_timeout_s": 5.0}
    monkeypatch.setattr(host, "_try", attempt)
    monkeypatch.setattr(host, "_observe", observe)
    monkeypatch.setattr(host, "_lives", lambda: asyncio.sleep(0, result=True))
    await host.act({"type": "type", "text": "x" * 5000}, 60.0)
    await host.act({"type": "back"}, 60.0)
    assert errors == [
        "it was cut short after 52 s: the step's time limit", "it did not come to an end within 5 s",
    ]  # fmt: skip
