"""A dialog that is open holds up what opened it and nothing after it, and goes with its page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Error

from environments.browser.guest.acting import ActError, Acts
from environments.browser.guest.host import Host
from environments.browser.guest.tabs import MAX_QUESTIONS
from tests.unit.browser.guest.scripted_browser import (
    ScriptedActs,
    ScriptedContext,
    ScriptedDialog,
    ScriptedPage,
    entered,
    given_up,
    observing,
)


class AskingPage(ScriptedPage):
    """Asks something once it is spoken to, and says nothing before it has an answer."""

    async def evaluate(self, _: str) -> int:
        self.say("dialog", ScriptedDialog(self))
        await asyncio.Event().wait()
        return 1


class AskingContext(ScriptedContext):
    page_type = AskingPage


ANSWER = {"type": "dialog", "accept": True}


async def behind_a_dialog(host: Host, answer: Any) -> asyncio.Event:
    """An action waits for a dialog's answer; set is what is given once it has been ended."""
    await entered(host.tabs)
    host._acts = ScriptedActs(answer)  # type: ignore[assignment]
    page: Any = host.tabs.current.page
    ended = asyncio.Event()

    async def act() -> None:
        page.say("dialog", ScriptedDialog(page))
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assert await host._race(act(), 1.0) is None
    assert host.tabs.dialog is not None
    return ended


async def test_a_dialog_goes_with_its_page(host: Host) -> None:
    await entered(host.tabs)
    other: Any = host.tabs.current.page
    page: Any = (await host.tabs.open()).page
    page.say("dialog", ScriptedDialog(page))
    other.heard["close"](other)
    assert host.tabs.dialog is not None, "it is another page's"
    page.heard["close"](page)
    assert host.tabs.dialog is None
    assert not host.tabs.dialog_opened.is_set()


async def test_a_dialog_goes_with_its_browser_and_holds_up_no_later_action(host: Host) -> None:
    await entered(host.tabs)
    page: Any = host.tabs.current.page
    page.say("dialog", ScriptedDialog(page))
    await entered(host.tabs)
    may_end, done = asyncio.Event(), list[int]()

    async def act() -> None:
        await may_end.wait()
        done.append(1)

    racing = asyncio.ensure_future(host._race(act(), 5.0))
    asyncio.get_running_loop().call_soon(may_end.set)
    assert await racing is None
    assert done == [1]


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
    await given_up(asyncio.ensure_future(host._try(ANSWER, 1.0)), going, ended)


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
        page.say("dialog", ScriptedDialog(page))
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


async def test_what_a_dialog_says_is_told_in_part(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    class Talkative(ScriptedDialog):
        message = default_value = "x" * 5000

    await entered(host.tabs)
    observing(host, monkeypatch)
    page: Any = host.tabs.current.page
    page.say("dialog", Talkative(page))
    seen = (await host._observe(None, {}, 1.0, doubtful=False))["observation"]
    assert seen["dialog"] == {"type": "confirm", "message": "x" * 1000, "default": "x" * 1000}


async def test_a_dialog_that_goes_with_its_page_ends_nothing_that_goes_on(host: Host) -> None:
    await entered(host.tabs)
    page: Any = (await host.tabs.open()).page

    async def act() -> None:
        page.say("dialog", ScriptedDialog(page))
        page.heard["close"](page)
        await asyncio.sleep(0.01)

    assert await host._race(act(), 1.0) is None
    assert host._blocked is None


async def test_a_window_may_ask_before_it_is_told_of(host: Host) -> None:
    await entered(host.tabs)
    page: Any = host.tabs.current.page
    window = ScriptedPage(opened_by=page)
    window.say("dialog", ScriptedDialog(window))
    assert host.tabs.dialog is not None


async def test_a_page_that_asks_without_end_is_closed_and_nothing_else_is(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Insisting(ScriptedDialog):
        """Answered, it is there again, unless its page is gone."""

        async def accept(self, _: str) -> None:
            await self.dismiss()

        async def dismiss(self) -> None:
            if not self.page.closed:
                self.page.say("dialog", Insisting(self.page))

    await entered(host.tabs)
    observing(host, monkeypatch)
    host._options = {"action_timeout_s": 1.0}
    other: Any = await host.tabs.open()
    page: Any = host.tabs.all[0].page
    host._acts = Acts(host.tabs, host._new_page)
    page.say("dialog", Insisting(page))
    answers = 0
    while host.tabs.dialog is not None:
        seen = await host.act(ANSWER, 20.0)
        answers += 1
        await asyncio.gather(*host.tabs._works)
    assert answers == MAX_QUESTIONS
    assert page.closed
    assert host.tabs.all == [other]
    assert "in a row: its tab was closed" in str([seen, host.tabs.take_events()])


async def test_questions_count_in_a_row_only(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    await entered(host.tabs)
    observing(host, monkeypatch)
    host._options = {"action_timeout_s": 1.0}
    page: Any = host.tabs.current.page
    host._acts = Acts(host.tabs, host._new_page)
    for _ in range(MAX_QUESTIONS + 1):
        page.say("dialog", ScriptedDialog(page))
        await host.act(ANSWER, 20.0)
        host._acts = ScriptedActs(None)  # type: ignore[assignment]
        await host.act({"type": "back"}, 20.0)
        host._acts = Acts(host.tabs, host._new_page)
    assert not page.closed
