"""Carries out one action on the current tab; what cannot be done is an `ActError`, which a policy can learn from."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from playwright.async_api import Error, Frame, Locator, Page

from environments.browser.guest import snapshot
from environments.browser.guest.tabs import MAX_TABS, Tab, Tabs, devtools

Request = dict[str, Any]

OPTIONS_JS = "e => e.tagName === 'SELECT' ? [...e.options].map(o => [o.label, o.value]) : null"
FRAMES_JS = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"
DRAG_MOVES = 10
"""Of the pointer, from one place to the next."""
MAX_VIA_MOVES = 100
"""To all given points on the way: with many of them each is near to the one before."""
MOVE_S = 0.05
"""What a move takes, at most: a page hears of one each time that it is drawn."""
AGAIN_S = 0.1
"""How long before a text is looked for once more."""
FRAME_S = 0.5
"""How long a frame in a page may take to tell whether a text is seen in it."""
MAX_REASON = 500
MAX_LABEL = 40
"""Characters of each option that could have been selected."""
REASONS = ("intercepts pointer events", "not visible", "not enabled", "not editable")
"""What Playwright's log says of an element that an action could not be done to."""
TYPED_AT_ONCE = 50
"""Characters: what has been handed to the browser cannot be taken back."""
TYPE_S = 0.01
"""What a character takes to be typed, at most."""
_CALLED = re.compile(r"^(?:[A-Z]\w+\.\w+: )?(?:Error: )?")
_GONE = re.compile(r'Invalid frame in aria-ref selector "aria-ref=(\w+)"')
_LATE = re.compile(r"Timeout \d+ms exceeded\.?")


class ActError(Exception):
    """The action was understood and did not work."""


def needed_s(request: Request, action_timeout_s: float) -> float:
    """How long an action may take, where the step has time enough."""
    if "time_s" in request:
        return float(request["time_s"]) + 1
    if request["type"] == "type":
        return action_timeout_s + TYPE_S * len(request["text"])
    if via := request.get("via"):
        return action_timeout_s + MOVE_S * len(via) * _moves(len(via))
    return action_timeout_s


def _moves(points: int) -> int:
    """To each of so many on the way of a drag, of which there is at least one."""
    return max(1, min(DRAG_MOVES, MAX_VIA_MOVES // points))


def late(limit_s: float) -> str:
    return f"it did not come to an end within {limit_s:g} s"


def cut_short(limit_s: float) -> str:
    return f"it was cut short after {limit_s:g} s: the step's time limit"


class Acts:
    """Belongs to one browser."""

    def __init__(self, tabs: Tabs, new_page: Callable[[], Awaitable[Page]]) -> None:
        self._tabs = tabs
        self._new_page = new_page
        self.timeout_ms = 5000.0

    async def carry_out(self, request: Request, timeout_s: float) -> None:
        """Raises: ActError, playwright.async_api.Error."""
        self.timeout_ms = timeout_s * 1000
        act = getattr(self, f"_{request['type']}", None)
        if act is None:
            raise ActError(f"the browser does not know the action {request['type']!r}")
        tab = self._tab
        async with self._held(request.get("modifiers", ())):
            await act(request)
        for x, y in (("x", "y"), ("to_x", "to_y")):
            if x in request:
                tab.cursor = request[x], request[y]

    @contextlib.asynccontextmanager
    async def _held(self, keys: Iterable[str]) -> AsyncIterator[None]:
        """Keys are down meanwhile, and up again whatever happens."""
        keyboard, down = self._page.keyboard, []
        try:
            for key in keys:
                down.append(key)  # before it is: that may be cut short
                await keyboard.down(key)
            yield
        finally:
            for key in reversed(down):
                await keyboard.up(key)

    @property
    def _tab(self) -> Tab:
        return self._tabs.current

    @property
    def _page(self) -> Page:
        return self._tab.page

    # Places.

    async def _element(self, ref: str) -> Locator:
        """Raises: ActError for one that is not on the page, with those nearest to it."""
        known = self._tab.snapshot
        if ref not in snapshot.refs(known):
            near = snapshot.nearest(ref, known)
            hint = f"; near to it are {', '.join(near)}" if near else ""
            raise ActError(f"there is no {ref} on this page as it was last seen{hint}")
        locator = self._page.locator(f"aria-ref={ref}")
        try:
            found = await locator.count()
        except Error:
            found = 0
        if not found:
            raise ActError(f"{ref} is not on the page any more: look at the page again")
        return locator

    async def _point(self, request: Request, prefix: str = "") -> tuple[float, float]:
        """Coordinates, or the middle of an element, which is then in view."""
        if f"{prefix}x" in request:
            return request[f"{prefix}x"], request[f"{prefix}y"]
        element = await self._element(request[f"{prefix}ref"])
        await element.scroll_into_view_if_needed(timeout=self.timeout_ms)
        box = await element.bounding_box(timeout=self.timeout_ms)
        if box is None:
            raise ActError(f"{request[f'{prefix}ref']} is not visible")
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    # Pointer.

    async def _click(self, request: Request) -> None:
        button, count = request.get("button", "left"), request.get("count", 1)
        if "ref" in request:
            element = await self._element(request["ref"])
            self._tab.cursor = None  # to ask where it is now would cost each click by a ref a quarter of its time
            await element.click(button=button, click_count=count, timeout=self.timeout_ms)
        else:
            await self._page.mouse.click(request["x"], request["y"], button=button, click_count=count)

    async def _hover(self, request: Request) -> None:
        if "ref" in request:
            element = await self._element(request["ref"])
            self._tab.cursor = None
            await element.hover(timeout=self.timeout_ms)
        else:
            await self._page.mouse.move(request["x"], request["y"])

    async def _drag(self, request: Request) -> None:
        tab, mouse = self._tab, self._page.mouse
        start = await self._point(request)
        await mouse.move(*start)
        tab.cursor = start
        via = request.get("via", [])
        try:
            await mouse.down()  # in here: it may be cut short when the button is down already
            for x, y in via:
                await mouse.move(x, y, steps=_moves(len(via)))
                tab.cursor = x, y
            end = await self._point(request, "to_")
            await mouse.move(*end, steps=DRAG_MOVES)
            tab.cursor = end
        finally:
            await mouse.up()

    async def _mouse_down(self, request: Request) -> None:
        await self._page.mouse.down(button=request.get("button", "left"))

    async def _mouse_up(self, request: Request) -> None:
        await self._page.mouse.up(button=request.get("button", "left"))

    async def _move(self, request: Request) -> None:
        await self._page.mouse.move(request["x"], request["y"])

    async def _scroll(self, request: Request) -> None:
        if "ref" in request or "x" in request:
            at = await self._point(request)
            await self._page.mouse.move(*at)
            self._tab.cursor = at
        await self._page.mouse.wheel(request.get("dx", 0), request.get("dy", 0))
        await self._page.evaluate(FRAMES_JS)

    async def _scroll_to(self, request: Request) -> None:
        await (await self._element(request["ref"])).scroll_into_view_if_needed(timeout=self.timeout_ms)

    # Keyboard and forms.

    async def _type(self, request: Request) -> None:
        if "ref" in request:
            await (await self._element(request["ref"])).press_sequentially(request["text"], timeout=self.timeout_ms)
        else:
            text = request["text"]
            for start in range(0, len(text), TYPED_AT_ONCE):
                await self._page.keyboard.type(text[start : start + TYPED_AT_ONCE])
        if request.get("submit"):
            await self._page.keyboard.press("Enter")

    async def _fill(self, request: Request) -> None:
        await (await self._element(request["ref"])).fill(request["text"], timeout=self.timeout_ms)

    async def _press(self, request: Request) -> None:
        for _ in range(request.get("count", 1)):
            if "ref" in request:
                await (await self._element(request["ref"])).press(request["key"], timeout=self.timeout_ms)
            else:
                await self._page.keyboard.press(request["key"])

    async def _key_hold(self, request: Request) -> None:
        async with self._held(request["keys"]):
            await self._pause(request["time_s"])

    async def _select(self, request: Request) -> None:
        element = await self._element(request["ref"])
        options = await element.evaluate(OPTIONS_JS, timeout=self.timeout_ms)
        if options is None:
            raise ActError(f"{request['ref']} is no list of options to select from: click it")
        chosen = []
        for wanted in request["values"]:
            found = [value for label, value in options if wanted in (label.strip(), value)]
            if not found:
                labels = ", ".join(repr(label.strip()[:MAX_LABEL]) for label, _ in options[:30])
                raise ActError(f"there is no option {wanted[:100]!r}; there are {labels}")
            chosen.append(found[0])
        await element.select_option(value=chosen, timeout=self.timeout_ms)

    async def _check(self, request: Request) -> None:
        element = await self._element(request["ref"])
        self._tab.cursor = None
        await element.set_checked(request.get("checked", True), timeout=self.timeout_ms)

    async def _upload(self, request: Request) -> None:
        files: list[Any] = [
            {"name": file["name"], "mimeType": file["mime_type"], "buffer": base64.b64decode(file["content_base64"])}
            for file in request["files"]
        ]
        tab, chooser = self._tab, self._tab.chooser
        if "ref" in request:
            await (await self._element(request["ref"])).set_input_files(files, timeout=self.timeout_ms)
        elif chooser is not None:
            await chooser.set_files(files, timeout=self.timeout_ms)
        else:
            raise ActError("no page has asked for files: name the field's ref, or click what opens it")
        if tab.chooser is chooser:
            tab.chooser = None  # answered; until then a policy may try again

    # Pages.

    async def _goto(self, request: Request) -> None:
        await self._page.goto(request["url"], wait_until="commit", timeout=self.timeout_ms)

    async def _back(self, _: Request) -> None:
        if not await self._leads(-1):
            raise ActError("there is no page to go back to")
        await self._page.go_back(wait_until="commit", timeout=self.timeout_ms)

    async def _forward(self, _: Request) -> None:
        if not await self._leads(1):
            raise ActError("there is no page to go forward to")
        await self._page.go_forward(wait_until="commit", timeout=self.timeout_ms)

    async def _leads(self, steps: int) -> bool:
        """Whether there is a page so many steps away in the tab's history."""
        async with devtools(self._page) as session:
            history = await session.send("Page.getNavigationHistory")
        return bool(0 <= history["currentIndex"] + steps < len(history["entries"]))

    async def _reload(self, _: Request) -> None:
        await self._page.reload(wait_until="commit", timeout=self.timeout_ms)

    async def _new_tab(self, request: Request) -> None:
        if len(self._tabs.all) >= MAX_TABS:
            raise ActError(f"there may be {MAX_TABS} tabs: close one")
        page = await self._new_page()
        if "url" in request:
            await page.goto(request["url"], wait_until="commit", timeout=self.timeout_ms)

    def _numbered(self, number: int) -> Tab:
        tabs = self._tabs.all
        if not 1 <= number <= len(tabs):
            raise ActError(f"there is no tab {number}: there are {len(tabs)}")
        return tabs[number - 1]

    async def _switch_tab(self, request: Request) -> None:
        self._tabs.switch(self._numbered(request["tab"]))
        await self._page.bring_to_front()

    async def _close_tab(self, request: Request) -> None:
        tab = self._numbered(request.get("tab", self._tabs.number))
        if len(self._tabs.all) == 1:
            raise ActError("the last tab cannot be closed")
        await tab.page.close(run_before_unload=False)

    async def _wait(self, request: Request) -> None:
        if "time_s" in request:
            await self._pause(request["time_s"])
        elif "url" in request:
            await self._page.wait_for_url(
                lambda url: request["url"] in url, wait_until="commit", timeout=self.timeout_ms
            )
        else:
            seen = "text" in request
            await self._until(request["text" if seen else "text_gone"], seen=seen)

    async def _until(self, text: str, *, seen: bool) -> None:
        """Raises: TimeoutError."""
        page = self._page
        async with asyncio.timeout(self.timeout_ms / 1000):
            while True:
                try:
                    if await _is_seen(page, text) is seen:
                        return
                except Error as error:
                    if "closed" in str(error):
                        raise
                    # It makes way for another page, which may be what is waited for.
                await asyncio.sleep(AGAIN_S)

    async def _pause(self, time_s: float) -> None:
        most_s = self.timeout_ms / 1000
        await asyncio.sleep(min(time_s, most_s))
        if time_s > most_s:
            raise ActError(cut_short(most_s))

    async def _dialog(self, request: Request) -> None:
        if self._tabs.dialog is None:
            raise ActError("no dialog is open")
        await self._tabs.answer(accept=request["accept"], text=request.get("text"))


async def _is_seen(page: Page, text: str) -> bool:
    """In the page or in a frame in it, as its outline shows them. A frame that does not answer shows nothing.

    Raises: playwright.async_api.Error for a page that is gone.
    """
    if await _is_seen_in(page.main_frame, text):
        return True
    others = [frame for frame in page.frames if frame.url and frame is not page.main_frame]  # else it was refused
    return any(await asyncio.gather(*(_is_seen_in_time(frame, text) for frame in others)))


async def _is_seen_in_time(frame: Frame, text: str) -> bool:
    with contextlib.suppress(Error, TimeoutError):  # it may go meanwhile
        return await asyncio.wait_for(_is_seen_in(frame, text), FRAME_S)
    return False


async def _is_seen_in(frame: Frame, text: str) -> bool:
    """Raises: playwright.async_api.Error."""
    seen = await frame.get_by_text(text).filter(visible=True).count() > 0
    while seen and frame.parent_frame is not None:
        seen, frame = await (await frame.frame_element()).is_visible(), frame.parent_frame
    return seen


def reason(error: BaseException | None, limit_s: float) -> str | None:
    """In a policy's words. Raises: what is no action's error, but a defect of this program."""
    return None if error is None else _words_of(error, limit_s)[:MAX_REASON]


def _words_of(error: BaseException, limit_s: float) -> str:
    if isinstance(error, ActError):
        return str(error)
    if isinstance(error, TimeoutError):
        return late(limit_s)
    if isinstance(error, Error):
        first, *lines = [line.strip(" -") for line in str(error).splitlines()] or ["it failed"]
        what = _CALLED.sub("", first)  # whose name means nothing to a policy
        if gone := _GONE.fullmatch(what):
            return f"{gone[1]} is not on the page any more: look at the page again"
        why = [line for line in lines if any(known in line for known in REASONS)]
        return "; ".join([late(limit_s) if _LATE.fullmatch(what) else what, *dict.fromkeys(why[:3])])
    raise error
