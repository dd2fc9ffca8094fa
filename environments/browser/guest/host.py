"""The browser of one episode: begins it, carries out actions, and sees to it that every one of them comes to an end.

A page can hang, crash, leak memory, or open windows without end; a browser can die. Each is noticed here, told, and
replaced: the episode goes on, with an observation that says what happened.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, TypeVar

from playwright.async_api import BrowserContext, Error, Page

from environments.browser.guest.acting import ActError, Acts, cut_short, late, needed_s, reason
from environments.browser.guest.beside import drop, hear, quietly
from environments.browser.guest.chromium import CERTIFICATE, Chromium, make_certificate
from environments.browser.guest.looking import Looks, fitting, together
from environments.browser.guest.playing import Playing
from environments.browser.guest.proxy import Proxy
from environments.browser.guest.remembered import Remembered
from environments.browser.guest.tabs import Tab, Tabs

LOOKING = frozenset({"find", "zoom", "read_page"})
ALLOWED = ("http:", "https:", "blob:http:", "blob:https:", "about:blank", "chrome-error:")
"""What a tab may show: a blob is what a page has made. The last is the browser's own page in place of one that could
not be loaded."""
LOOK_S = 8.0
"""For everything that is seen of a page; past it the page hangs."""
PROBE_S = 2.0
SETTLE_S = 5.0
"""How long a page may load before it is looked at all the same."""
FIRST_S = 20.0
"""The same of an episode's first page, and how long it may take to answer: nobody is there yet to look again."""
TICK_S = 0.02
"""A page gets so long to make something of what it was sent."""
CLOSE_S = 3.0
DYING_S = 0.3
MAX_SHOWN = 300
"""Characters of an address in a notice."""
MAX_QUESTION = 1000
"""Characters of a dialog's message, and of what it suggests."""
CONTEXT = ("viewport", "locale", "timezone")
"""What a browser's context is made with, and cannot be changed."""
T = TypeVar("T")


class Host:
    """One episode's browser."""

    def __init__(self, playing: Playing) -> None:
        self._playing = playing
        self.proxy: Proxy
        self._chromium: Chromium
        self._context: BrowserContext
        self._options: dict[str, Any] = {}
        self._remembered = Remembered()
        self._deaths = 0
        """Of browsers, since a page was last seen."""
        self._whole = True
        """False while a browser that died has not been replaced in full, should a step end in between."""
        self._given_up = False
        """The step before did not come to its end: it may be for the page, which then hangs."""
        self._blocked: asyncio.Task[Any] | None = None
        """An action that waits until the policy has answered a dialog."""

    async def prepare(self) -> None:
        """What depends on no episode. Raises: playwright.async_api.Error."""
        digest = make_certificate()
        self.proxy = Proxy(str(CERTIFICATE))
        await self.proxy.start()
        self._chromium = Chromium(self._playing, self.proxy.port, digest)

    async def open(self, options: dict[str, Any]) -> None:
        """A browser with an empty page: longer than a first page takes. Raises: playwright.async_api.Error."""
        self._options = options
        self.tabs = Tabs(options["dialogs"])
        await self._enter(await self._chromium.start(options))

    async def begin(self, request: dict[str, Any]) -> dict[str, Any]:
        """The first observation. Raises: playwright.async_api.Error."""
        options = request["options"]
        if any(self._options.get(name) != options[name] for name in CONTEXT) or not self._chromium.alive:
            await self.open(options)
        self._options, self.tabs.rule = options, options["dialogs"]
        self._remembered, self._deaths = Remembered(), 0
        self._looks = Looks(self.tabs, options, self._remembered)
        self._acts = Acts(self.tabs, self._new_page)
        limit_s = max(FIRST_S, self._options["action_timeout_s"])
        error = await self._try({"type": "goto", "url": request["url"]}, limit_s)
        if error == late(limit_s):
            raise Error(f"the first page did not come: {error}")
        seen = await self._observe(error, {}, FIRST_S, doubtful=error is not None)
        if self._chromium.starts > 1:
            raise Error("the browser died while its first page came")
        return seen

    async def _enter(self, context: BrowserContext) -> None:
        """Raises: playwright.async_api.Error."""
        self._context = context
        await self.tabs.enter(context)

    async def _new_page(self) -> Page:
        return (await self.tabs.open()).page

    async def act(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """One action and what is seen then. Raises: playwright.async_api.Error where no browser can be started."""
        doubtful, self._given_up = self._given_up, True
        if not (self._whole and await self._lives()):
            await self._restart()
        if self.tabs.dialog is None:
            self._unblock()  # its dialog went with its page
        most_s = max(timeout_s - LOOK_S, timeout_s / 2)  # some of a short step is for the action, too
        wanted_s = needed_s(request, self._options["action_timeout_s"])
        limit_s = min(wanted_s, most_s)
        shown: dict[str, Any] = {}
        if self.tabs.dialog is not None and request["type"] != "dialog":
            error: str | None = "a dialog is open, and its page waits: answer it with the action dialog"
        elif request["type"] in LOOKING:
            shown, error = await self._look(request)
        else:
            if request["type"] != "dialog":
                self.tabs.questions = 0
            error = await self._try(request, limit_s)
            if error == late(limit_s) and limit_s < wanted_s:
                error = cut_short(limit_s)
        settle_s = min(SETTLE_S, max(0.5, timeout_s - limit_s - LOOK_S))
        seen = await self._observe(error, shown, settle_s, doubtful=doubtful or error is not None)
        self._given_up = False
        return seen

    async def _try(self, request: dict[str, Any], limit_s: float) -> str | None:
        """Why the action did not work, or None."""
        blocked, self._blocked = self._blocked, None
        try:
            error = await self._race(self._acts.carry_out(request, limit_s), limit_s)
            if error is None and blocked is not None:
                going_on, blocked = blocked, None
                error = await self._race(going_on, limit_s)
        finally:
            if blocked is not None:
                drop(blocked)
        return error

    def _unblock(self) -> None:
        """What waits for a dialog's answer will not have it."""
        if self._blocked is not None:
            drop(self._blocked)
        self._blocked = None

    async def _race(self, work: Awaitable[Any], limit_s: float) -> str | None:
        """The action's end, or a dialog that it waits behind, or its limit, whichever comes first."""
        acting: asyncio.Task[Any] = asyncio.ensure_future(work)
        await self._end_or_dialog(acting, limit_s + 1)
        if not acting.done() and self.tabs.dialog is not None:
            self._blocked = acting
            acting.add_done_callback(hear)
            return None
        if not acting.done():
            drop(acting)
            return late(limit_s)
        return reason(acting.exception(), limit_s)

    async def _end_or_dialog(self, work: asyncio.Future[Any], within_s: float | None = None) -> None:
        """Wait until it has ended, or a dialog is open that has not gone with its page, or so long."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    opened = asyncio.ensure_future(self.tabs.dialog_opened.wait())
                    try:
                        await asyncio.wait({work, opened}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        opened.cancel()
                    if work.done() or self.tabs.dialog is not None:
                        return
        except TimeoutError:
            return
        except asyncio.CancelledError:
            drop(work)  # else it would go on under the next action
            raise

    async def _look(self, request: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        try:
            return await asyncio.wait_for(self._looks.look(request), LOOK_S), None
        except (ActError, Error, TimeoutError) as error:
            return {}, reason(error, LOOK_S)

    # Seeing.

    async def _observe(
        self, error: str | None, shown: dict[str, Any], settle_s: float, *, doubtful: bool
    ) -> dict[str, Any]:
        """`doubtful`: whether the page answers at all is asked first, which takes less long to find out."""
        seen: dict[str, Any] = {}
        if await self._lives():
            try:
                seen = await self._seen(settle_s, doubtful=doubtful)
                self._deaths = 0
            except (Error, TimeoutError) as unseen:
                error = await self._recover_page() or self._why(error, unseen)
        if not await self._lives():
            error = "the browser died, and was started again"
            await self._restart()
            seen = await self._seen_after_all(settle_s)
        refused = await self._leave_forbidden()
        if refused:  # what was seen may be of such a page
            seen, shown = {}, {}
            for tab in self.tabs.all:
                tab.shown = ""
        if not seen:
            seen = await self._place()
        await self.tabs.save()
        answer = {**together(shown, seen), **self.tabs.take_events(), **self._beside_the_page()}
        if error is not None:
            answer["error"] = error
        return {"observation": fitting(answer), "refused": refused, "starts": self._chromium.starts}

    def _beside_the_page(self) -> dict[str, Any]:
        """The pointer, and what the page waits for."""
        told: dict[str, Any] = {}
        if self.tabs.all and self.tabs.current.cursor is not None:
            told["cursor"] = dict(zip("xy", self.tabs.current.cursor, strict=True))
        if self.tabs.all and self.tabs.current.chooser is not None:
            told["file_chooser"] = {"multiple": self.tabs.current.chooser.is_multiple()}
        if self.tabs.dialog is not None:
            dialog = self.tabs.dialog
            message, default = dialog.message[:MAX_QUESTION], dialog.default_value[:MAX_QUESTION]
            told["dialog"] = {"type": dialog.type, "message": message, "default": default}
        return told

    def _why(self, error: str | None, unseen: BaseException) -> str | None:
        """The action's error, and that there is nothing to see, unless a dialog says so."""
        if self.tabs.dialog is not None:
            return error
        told = f"the page could not be looked at: {reason(unseen, LOOK_S)}"
        return told if error is None else f"{error}; {told}"

    async def _seen(self, settle_s: float, *, doubtful: bool) -> dict[str, Any]:
        """Raises: playwright.async_api.Error, TimeoutError for a page that does not answer."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + settle_s
        while True:
            closings = self.tabs.closings
            try:
                return await self._seen_of_current(ends_at, doubtful=doubtful)
            except Error as error:
                # A tab may have closed itself meanwhile, as windows to log in do: then another is the current one.
                if not await self.tabs.closed_since(closings, error) or loop.time() >= ends_at + LOOK_S:
                    raise

    async def _seen_of_current(self, ends_at: float, *, doubtful: bool) -> dict[str, Any]:
        """Raises: playwright.async_api.Error, TimeoutError for a page that does not answer."""
        doubtful = doubtful or self.tabs.current.crashed
        if self.tabs.dialog is None and doubtful and not await self._answers(self.tabs.current):
            raise Error("the page does not answer")
        if self.tabs.dialog is not None:
            return await self._looks.place()
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            await self.tabs.windows()
            left_s = ends_at - loop.time()
            loaded = await self._settle(left_s)
            if self.tabs.current.going is not None and not await self._answers(self.tabs.current):
                raise Error("the page does not make way for the next")
            await quietly(self.tabs.forget_beginning())
            passage = self._passage()
            try:
                most_s = min(LOOK_S, ends_at + LOOK_S - loop.time())
                seen = await self._race_dialog(asyncio.wait_for(self._look_at_all(), most_s))
            except (Error, TimeoutError) as unseen:
                failures += 1
                moved_on = self._passage() != passage
                hopeless = failures > 1 or isinstance(unseen, TimeoutError)
                if loop.time() >= ends_at + (LOOK_S if moved_on else 0) or (hopeless and not moved_on):
                    raise
                continue  # it made way for another page meanwhile
            if seen is None:  # a dialog opened just now
                return await self._looks.place()
            still = self._passage() == passage and not self.proxy.waiting
            if loaded and still and self.tabs.current.stands:
                break
            if not loaded or left_s <= 0:  # it may never come to an end
                seen["loading"] = True
                break
        tab = passage[0]
        tab.shown = tab.snapshot
        return seen

    def _passage(self) -> tuple[Tab, int, int]:
        """What is another once a page makes way for one. Raises: playwright.async_api.Error."""
        tab = self.tabs.current
        return tab, self.proxy.count, tab.moves

    async def _look_at_all(self) -> dict[str, Any]:
        """The page, and what the browser keeps for it: both asked at once."""
        noting = asyncio.ensure_future(self._remembered.note_browser(self._context, self.tabs))
        try:
            slow = self.tabs.current.asking.is_set()
            seen = await (self._looks.stood() if slow else self._looks.observation())
            await noting
        finally:
            drop(noting)
        return seen

    async def _race_dialog(self, work: Awaitable[T]) -> T | None:
        seeing = asyncio.ensure_future(work)
        await self._end_or_dialog(seeing)
        if seeing.done():
            return seeing.result()
        drop(seeing)
        return None

    async def _settle(self, left_s: float) -> bool:
        """Wait until the page has loaded and asks for nothing; False where it takes too long."""
        tab, count = self.tabs.current, self.proxy.count
        try:
            async with asyncio.timeout(max(0.05, left_s)):
                while True:
                    await tab.left()
                    waited = self.proxy.waiting > 0 or not tab.arrived.is_set()
                    await self.proxy.settled.wait()
                    await self._race_dialog(tab.arrived.wait())
                    await self._race_dialog(tab.page.wait_for_load_state("load"))
                    if self.tabs.dialog is not None:
                        return True
                    if waited or self.proxy.count != count:
                        count = self.proxy.count
                        await asyncio.sleep(TICK_S)
                    if not self.proxy.waiting and self.proxy.count == count and tab.arrived.is_set():
                        return True
        except TimeoutError:
            return False

    async def _seen_after_all(self, settle_s: float) -> dict[str, Any]:
        """What the browser that was started again shows; it may die of the same page."""
        try:
            return await self._seen(settle_s, doubtful=False)
        except (Error, TimeoutError):
            return await self._place()

    async def _place(self) -> dict[str, Any]:
        if not self.tabs.all:
            return {}
        try:
            return await asyncio.wait_for(self._looks.place(), LOOK_S)
        except (Error, TimeoutError):
            return {}

    # Repairing.

    async def _lives(self) -> bool:
        """Whether there is a browser with a page. One that dies loses its pages first; a page may close its own tab."""
        if self._chromium.alive and not self.tabs.all:
            await asyncio.sleep(DYING_S)
            if self._chromium.alive:
                await quietly(self._new_page())
                await quietly(self._remembered.put_back_cookies(self._context))
        return self._chromium.alive and bool(self.tabs.all)

    async def _restart(self) -> None:
        """The browser anew, with its profile, its cookies and its tabs."""
        self._unblock()
        self._whole = False
        self._deaths += 1
        context, kept = await self._chromium.start_again(self._options)
        try:
            await self._remembered.put_back(context)
        except Error:
            self.tabs.tell("the cookies and the localStorage of the browser that died could not be put back")
        await self._enter(context)
        await quietly(self._refill())
        self._whole = True
        self.tabs.tell("the browser died and was started again; what was typed into pages, and where back led, is gone")
        if not kept:
            self.tabs.tell("what pages had stored in the browser that died is gone, but for their localStorage")
        for origin in self._remembered.too_large:
            self.tabs.tell(f"{origin} had more in its sessionStorage than is kept: that is gone")

    async def _refill(self) -> None:
        """The tabs of the browser before, but for those that may have killed more than one.

        Raises: playwright.async_api.Error, should this one die, too.
        """
        opened = [self.tabs.current]
        for number, left in enumerate(self._remembered.tabs):
            if number > 0:
                opened.append(await self.tabs.open())
            tab = opened[number]
            tab.session = left.session
            await self._remembered.put_back_tab(tab.page, left.session)
            if self._deaths > (1 if number == self._remembered.number - 1 else 2):
                self.tabs.tell(f"{left.url[:MAX_SHOWN]} was not opened again: the browser may have died of it")
                continue
            await quietly(tab.page.goto(left.url, wait_until="commit", timeout=CLOSE_S * 1000))
        current = opened[min(self._remembered.number, len(opened)) - 1]
        if current in self.tabs.all:
            self.tabs.switch(current)
            await current.page.bring_to_front()

    async def _recover_page(self) -> str | None:
        """What is wrong with the current tab, which is replaced where it can be used no more."""
        tab = self.tabs.current if self.tabs.all else None
        if tab is None or not self._chromium.alive:
            return None
        if await self._answers(tab):
            return None
        what = "crashed" if tab.crashed else "does not answer any more"
        url = tab.page.url
        await quietly(self._replace(tab))
        self._unblock()
        await quietly(asyncio.wait_for(tab.page.close(run_before_unload=False), CLOSE_S))
        return f"the page {url[:500]} {what}: its tab was closed, and an empty one opened"

    async def _replace(self, tab: Tab) -> None:
        """A new tab that goes on with what the tab's pages had in their sessionStorage."""
        page = await self._new_page()
        self.tabs.current.session = tab.session
        await self._remembered.put_back_tab(page, tab.session)

    async def _answers(self, tab: Tab) -> bool:
        """That it asks something is an answer, too; one that makes way for another is asked again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PROBE_S):
                while not (tab.crashed or tab.asking.is_set()) and tab in self.tabs.all and self._chromium.alive:
                    try:
                        await self._race_dialog(tab.page.evaluate("1"))
                    except Error:
                        await asyncio.sleep(TICK_S)
                    else:
                        return True
        return tab.asking.is_set() and not tab.crashed

    async def _leave_forbidden(self) -> list[str]:
        """Addresses that tabs had which no page may have; those tabs are emptied."""
        refused = []
        for tab in self.tabs.all:
            url = tab.page.url
            if url and not url.startswith(ALLOWED):
                refused.append(url[:500])
                await quietly(asyncio.wait_for(tab.page.goto("about:blank"), CLOSE_S))
        return refused
