"""Dialogs and steps that are given up: neither is left for the next action to meet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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
