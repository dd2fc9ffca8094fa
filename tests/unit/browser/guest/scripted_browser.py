"""A browser's pages that say what has happened when a test tells them to, and a host's other parts in few lines."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from playwright.async_api import Error

from environments.browser.guest.host import Host
from environments.browser.guest.tabs import Tabs


class ScriptedPage:
    """Says what has happened when it is told to."""

    keyboard = None

    def __init__(self, opened_by: ScriptedPage | None = None) -> None:
        self.heard: dict[str, Any] = {}
        self.context: ScriptedPage | None = opened_by and opened_by.context
        self.closed = False
        self.url = "about:blank"
        self.main_frame = self

    def on(self, event: str, listener: Any) -> None:
        self.heard[event] = listener

    def say(self, event: str, what: Any) -> None:
        """Something that the whole context is told of."""
        assert self.context is not None
        self.context.heard[event](what)

    async def close(self, *, run_before_unload: bool) -> None:
        self.closed = True
        if "close" in self.heard:
            self.heard["close"](self)

    async def bring_to_front(self) -> None:
        pass

    async def evaluate(self, _: str) -> int:
        return 1


class ScriptedDialog:
    type, message, default_value = "confirm", "Sure?", ""

    def __init__(self, page: ScriptedPage) -> None:
        self.page = page

    async def accept(self, _: str) -> None:
        pass


class ScriptedRequest:
    """For another page, in a tab's place."""

    def __init__(self, page: ScriptedPage) -> None:
        self.frame = page

    def is_navigation_request(self) -> bool:
        return True


class ScriptedSession:
    """Of DevTools, with a page."""

    def __init__(self) -> None:
        self.heard: dict[str, Any] = {}

    def on(self, event: str, listener: Any) -> None:
        self.heard[event] = listener

    async def send(self, method: str) -> Any:
        return {"frameTree": {"frame": {"id": "main"}}} if method == "Page.getFrameTree" else None

    async def detach(self) -> None:
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
        page.context = self
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


class ScriptedActs:
    """Answers dialogs as it is told to; any other action is done at once."""

    cursor = None

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def carry_out(self, request: dict[str, Any], _: float) -> None:
        if request["type"] == "dialog":
            await self._answer()


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


async def given_up(step: asyncio.Future[Any], going: asyncio.Event, ended: asyncio.Event) -> None:
    """Once `going` is set; with the step ends what it was doing, which sets `ended`."""
    await going.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    await asyncio.wait_for(ended.wait(), 5)
