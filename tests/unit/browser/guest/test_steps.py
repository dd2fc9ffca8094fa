"""A step has its limits, and one that is given up leaves nothing going and nothing undone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Error

from environments.browser.guest.acting import late
from environments.browser.guest.host import Host
from environments.browser.guest.remembered import Left
from tests.unit.browser.guest.scripted_browser import (
    ForgetfulContext,
    ScriptedChromium,
    ScriptedContext,
    ScriptedPage,
    entered,
    given_up,
    observing,
)


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
    await given_up(asyncio.ensure_future(getattr(host, race)(*arguments)), going, ended)


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


OPTIONS: dict[str, Any] = {
    "viewport": {"width": 640, "height": 480}, "locale": "en-US", "timezone": "UTC",
    "dialogs": "ask", "action_timeout_s": 5.0,
}  # fmt: skip
BEGIN = {"op": "begin", "url": "http://own.test/", "options": OPTIONS}


class FirstChromium(ScriptedChromium):
    """Lives until it is told that a page has killed it."""

    def __init__(self, *, alive: bool) -> None:
        super().__init__()
        self.alive = alive

    async def start(self, _: Any) -> ScriptedContext:
        self.alive, self.starts = True, 1
        return ScriptedContext()

    async def start_again(self, _: Any) -> tuple[ScriptedContext, bool]:
        self.alive = True
        self.starts += 1
        return ForgetfulContext(), True


async def beginning(host: Host, monkeypatch: pytest.MonkeyPatch, *, alive: bool, go: Any) -> dict[str, Any]:
    await entered(host.tabs)
    observing(host, monkeypatch)
    host._chromium = FirstChromium(alive=alive)  # type: ignore[assignment]
    host._options = OPTIONS
    monkeypatch.setattr(host, "_try", go)
    for name in ("_seen", "_seen_after_all"):
        monkeypatch.setattr(host, name, lambda *_, **__: asyncio.sleep(0, {"url": host.tabs.current.page.url}))
    return await host.begin(BEGIN)


async def test_a_browser_that_died_before_its_episode_began_is_another_at_its_first_page(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go(request: dict[str, Any], _: float) -> None:
        assert host._chromium.alive
        page: Any = host.tabs.current.page
        page.url = request["url"]

    seen = await beginning(host, monkeypatch, alive=False, go=go)
    assert seen == {"observation": {"url": "http://own.test/"}, "refused": [], "starts": 1}


async def test_an_episode_does_not_begin_where_the_browser_died_of_its_first_page(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go(*_: Any) -> str:
        host._chromium.alive = False  # type: ignore[misc]
        return "Target page, context or browser has been closed"

    with pytest.raises(Error, match="died"):
        await beginning(host, monkeypatch, alive=True, go=go)


async def test_an_episode_does_not_begin_without_its_first_page(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go(_: Any, limit_s: float) -> str:
        return late(limit_s)

    with pytest.raises(Error, match="did not come"):
        await beginning(host, monkeypatch, alive=True, go=go)


async def test_a_first_page_that_fails_is_what_is_seen(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go(*_: Any) -> str:
        return "net::ERR_CONNECTION_RESET"

    seen = (await beginning(host, monkeypatch, alive=True, go=go))["observation"]
    assert seen["error"] == "net::ERR_CONNECTION_RESET"


async def test_a_page_that_kills_the_browser_is_not_opened_again_and_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`killer` kills whichever browser opens it, at once."""
    opened: list[str] = []

    class Page(ScriptedPage):
        async def goto(self, url: str, **_: Any) -> None:
            opened.append(url)
            self.url = url
            if "killer" in url:
                host._chromium.alive = False  # type: ignore[misc]
                raise Error("Target page, context or browser has been closed")

    class Context(ForgetfulContext):
        page_type = Page

    class Chromium(FirstChromium):
        async def start_again(self, options: Any) -> tuple[ScriptedContext, bool]:
            await super().start_again(options)
            return Context(), True

    async def go(request: dict[str, Any], _: float) -> str | None:
        if not host._chromium.alive:
            return "Target page, context or browser has been closed"
        page: Any = host.tabs.current.page
        await page.goto(request["url"])
        return None

    await entered(host.tabs, Context())
    observing(host, monkeypatch)
    host._chromium = Chromium(alive=False)  # type: ignore[assignment]
    host._options = OPTIONS
    host._remembered.tabs = [Left("http://a.test/", {}), Left("http://killer.test/", {})]
    host._remembered.number = 2
    monkeypatch.setattr(host, "_try", go)
    notices: list[str] = []
    for _ in range(2):
        seen = (await host.act({"type": "goto", "url": "http://good.test/"}, 20.0))["observation"]
        notices += seen.get("notices", [])
    assert opened.count("http://killer.test/") == 1
    assert opened[-1] == "http://good.test/"
    assert "error" not in seen
    assert any("killer.test/ was not opened again" in notice for notice in notices)
