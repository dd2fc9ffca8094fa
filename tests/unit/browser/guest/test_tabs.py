"""Tabs that nobody asked for are closed; a window that a page opens is a tab, while there may be more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from environments.browser.guest import tabs as tabs_module
from environments.browser.guest.host import Host
from tests.unit.browser.guest.scripted_browser import ScriptedContext, ScriptedPage, entered


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


async def test_what_a_window_opens_that_was_to_be_closed_is_closed_as_well(host: Host) -> None:
    """Its opener is open until it has been closed, and is no tab: nobody is told of it as of a popup."""
    context = await entered(host.tabs)
    page: Any = host.tabs.current.page
    for _ in range(9):
        popup = ScriptedPage(opened_by=page)
        context.appear(popup)
        page.heard["popup"](popup)
    over = ScriptedPage(opened_by=page)
    context.appear(over)
    page.heard["popup"](over)
    hidden = [ScriptedPage(opened_by=over)]
    hidden.append(ScriptedPage(opened_by=hidden[0]))
    for window in hidden:
        context.appear(window)
    await at_rest(host)
    assert all(window.closed for window in [over, *hidden])
    assert len(host.tabs.all) == 10
