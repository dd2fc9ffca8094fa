"""A page that makes way for another is waited for, looked at again, and not blamed for what it cannot say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Error

from environments.browser.guest import tabs as tabs_module
from environments.browser.guest.host import Host
from tests.unit.browser.guest.scripted_browser import (
    ScriptedContext,
    ScriptedLooks,
    ScriptedPage,
    ScriptedRequest,
    entered,
    observing,
)


class ScriptedResponse:
    def __init__(self, request: ScriptedRequest) -> None:
        self.request = request


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


LEAVES = {"frameId": "main", "disposition": "currentTab", "url": "http://own.test/next", "reason": "formSubmissionPost"}


async def test_a_page_that_has_said_that_it_goes_is_waited_for_until_it_has_asked_and_not_for_long(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = await entered(host.tabs)
    tab, page = host.tabs.current, host.tabs.current.page
    heard: Any = page.heard  # type: ignore[attr-defined]
    leaves = context.sessions[page].heard["Page.frameRequestedNavigation"]
    await tab.left()
    monkeypatch.setattr(tabs_module, "LEAVE_S", 30)
    leaves(LEAVES)
    leaving = asyncio.ensure_future(tab.left())
    assert not (await asyncio.wait({leaving}, timeout=0.01))[0]
    heard["request"](ScriptedRequest(page))  # type: ignore[arg-type]
    await leaving
    leaves(LEAVES)
    await tab.left()  # it has asked already
    tab.arrive()
    monkeypatch.setattr(tabs_module, "LEAVE_S", 0.01)
    leaves(LEAVES)
    await tab.left()
    monkeypatch.setattr(tabs_module, "LEAVE_S", 30)
    await tab.left()


@pytest.mark.parametrize("other", [{"frameId": "inner"}, {"disposition": "newTab"}], ids=str)
async def test_a_frame_that_goes_and_a_link_to_a_new_window_are_not_waited_for(
    host: Host, other: dict[str, str]
) -> None:
    context = await entered(host.tabs)
    context.sessions[host.tabs.current.page].heard["Page.frameRequestedNavigation"]({**LEAVES, **other})
    assert host.tabs.current.stands


async def test_a_page_that_says_while_it_is_looked_at_that_it_goes_is_not_what_is_seen(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LeavingLooks(ScriptedLooks):
        looks = 0

        async def observation(self) -> dict[str, Any]:
            self.looks += 1
            tab = host.tabs.current
            tab.leaving = self.looks == 1
            return {"url": tab.page.url, "text": f"look {self.looks}"}

    await entered(host.tabs)
    observing(host, monkeypatch)
    host._looks = LeavingLooks()  # type: ignore[assignment]
    seen = (await host._observe(None, {}, 1.0, doubtful=False))["observation"]
    assert seen["text"] == "look 2"


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


async def test_a_window_that_closes_itself_while_it_is_looked_at_costs_no_observation(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    await entered(host.tabs)
    observing(host, monkeypatch)
    window: Any = await host.tabs.open()

    async def settle(_: float) -> bool:
        if window in host.tabs.all:
            window.page.heard["close"](window.page)
            raise Error("Target page, context or browser has been closed")
        return True

    monkeypatch.setattr(host, "_settle", settle)
    seen = (await host._observe(None, {}, 1.0, doubtful=False))["observation"]
    assert seen == {"url": "http://own.test/", "text": "all of it"}


async def test_a_tab_that_is_closed_on_its_way_is_not_waited_for(host: Host) -> None:
    await entered(host.tabs)
    window: Any = await host.tabs.open()
    window.page.heard["request"](ScriptedRequest(window.page))
    assert not window.arrived.is_set()
    window.page.heard["close"](window.page)
    assert window.arrived.is_set()


async def test_nothing_is_told_of_a_page_whose_address_was_refused(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    await entered(host.tabs)
    observing(host, monkeypatch)
    host.tabs.current.snapshot = "all of it"
    monkeypatch.setattr(host, "_leave_forbidden", lambda: asyncio.sleep(0, ["file:///etc/passwd"]))
    told = await host._observe(None, {"read": "root:x:0:0"}, 1.0, doubtful=False)
    assert told["observation"] == {"url": "http://own.test/"}
    assert told["refused"] == ["file:///etc/passwd"]
    assert host.tabs.current.shown == "", "what was not shown is nothing that something can differ from"
