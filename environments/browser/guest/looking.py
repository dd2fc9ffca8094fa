"""What there is to see of the current tab: its text, its picture, its source, and where it stands."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from typing import Any

from playwright.async_api import Error, Page

from environments.browser.guest import snapshot
from environments.browser.guest.acting import ActError
from environments.browser.guest.beside import drop
from environments.browser.guest.remembered import Remembered
from environments.browser.guest.tabs import Tab, Tabs

TITLE_S = 1.0
MAX_URL = 2000
MAX_TITLE = 300
ZOOM = 2.0
"""How many times larger a part of a page is shown."""
MAX_STORED = 200_000
"""Characters of each of a page's storages that are remembered for a browser that dies."""

OUTLINE_S = 5.0
"""How long a page's frames may take to tell their outlines; those that have not by then are shown without."""
REFUSED_S = 0.3
"""The same where there is a frame that was refused its address: it never tells anything."""

STATE_JS = """(most) => {
  const root = document.scrollingElement || document.documentElement;
  const at = document.activeElement;
  const named = at && at !== document.body && at !== root;
  const stored = (get) => {
    try {
      const all = get();
      const items = Object.keys(all).map((name) => ({ name, value: all.getItem(name) }));
      return JSON.stringify(items).length > most ? null : items;
    } catch {
      return [];
    }
  };
  return {
    title: document.title,
    scroll: {
      x: Math.round(scrollX), y: Math.round(scrollY),
      width: root ? root.scrollWidth : 0, height: root ? root.scrollHeight : 0,
    },
    focus: named ? {
      tag: at.tagName.toLowerCase(),
      name: (at.getAttribute("aria-label") || at.getAttribute("name") || at.id || "").slice(0, 100),
    } : null,
    local: stored(() => localStorage), session: stored(() => sessionStorage), origin: location.origin,
    body: document.querySelector("body") !== null,
  };
}"""


class Looks:
    """Belongs to one browser. Every method may raise playwright.async_api.Error."""

    def __init__(self, tabs: Tabs, options: Mapping[str, Any], remembered: Remembered) -> None:
        self._tabs = tabs
        self._options = options
        self._remembered = remembered

    @property
    def _page(self) -> Page:
        return self._tabs.current.page

    async def observation(self) -> dict[str, Any]:
        """All that the episode's options ask for."""
        tab, wanted = self._tabs.current, self._options["observe"]
        state, outline = await self._state(tab, outlined="text" in wanted)
        tab.title = state["title"][:MAX_TITLE]
        self._remembered.note_page(tab, state)
        seen: dict[str, Any] = {**await self.place(), "scroll": state["scroll"], "focus": state["focus"]}
        if "text" in wanted:
            seen |= self._text_of(tab, outline)
        if "html" in wanted:
            seen |= self._cut("html", await tab.page.content())
        if "text_content" in wanted:
            seen |= self._cut("text_content", await tab.page.inner_text("body") if state["body"] else "")
        if "screenshot" in wanted:
            seen["images"] = [await self.picture()]
        return seen

    @staticmethod
    async def _state(tab: Tab, *, outlined: bool) -> tuple[dict[str, Any], str]:
        """What the page says of itself, and its outline: both asked at once. Without a body there is nothing in it."""
        outline = asyncio.ensure_future(_outline(tab.page)) if outlined else None
        try:
            state: dict[str, Any] = await tab.page.evaluate(STATE_JS, MAX_STORED)
            # A body that there is not would be waited for.
            return state, await outline if outline is not None and state["body"] else ""
        finally:
            if outline is not None:
                drop(outline)

    async def place(self) -> dict[str, Any]:
        """Where the browser stands; asks the current page nothing."""
        tabs = self._tabs.all
        await asyncio.gather(*(self._learn_title(tab) for tab in tabs if tab is not self._tabs.current))
        told = [
            {"tab": number, "url": tab.page.url[:MAX_URL], "title": tab.title} for number, tab in enumerate(tabs, 1)
        ]
        current = self._tabs.current
        return {"url": current.page.url[:MAX_URL], "title": current.title, "tab": self._tabs.number, "tabs": told}

    @staticmethod
    async def _learn_title(tab: Tab) -> None:
        with contextlib.suppress(Error, TimeoutError):  # it does not answer; it is not what the policy looks at
            tab.title = (await asyncio.wait_for(tab.page.title(), TITLE_S))[:MAX_TITLE]

    def _text_of(self, tab: Tab, text: str) -> dict[str, Any]:
        before, tab.snapshot = tab.shown, text
        if self._options["changes"] and before:
            changes = snapshot.difference(before, text)
            if len(changes) < len(text) // 2:
                return self._cut("changes", changes or "(nothing has changed)")
        if self._options["interactive"]:
            text = snapshot.interactive(text)
        return self._cut("text", text)

    def _cut(self, name: str, text: str, offset: int = 0) -> dict[str, Any]:
        kept, note = snapshot.cut(text, self._options["max_chars"], offset)
        return {name: kept, "cut": note} if note else {name: kept}

    async def look(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What `find`, `zoom` and `read_page` show. Raises: ActError."""
        if request["type"] == "zoom":
            clip = {name: request[name] for name in ("x", "y", "width", "height")}
            return {"images": [await self.picture(clip, request.get("scale", ZOOM))]}
        tab = self._tabs.current
        if request["type"] == "find":
            tab.snapshot = await _outline(tab.page)
            return self._cut("found", snapshot.find(tab.snapshot, request["text"]) or "(nothing)")
        return await self._read(tab, request)

    async def _read(self, tab: Tab, request: Mapping[str, Any]) -> dict[str, Any]:
        what, offset = request.get("what", "snapshot"), request.get("offset", 0)
        if what == "screenshot":
            return {"images": [await self.picture()]}
        if what == "html":
            text = await tab.page.content()
        elif what == "text":
            text = await tab.page.inner_text("body")
        else:
            text = tab.snapshot = await _outline(tab.page)
            if "ref" in request:
                if request["ref"] not in snapshot.refs(text):
                    raise ActError(f"there is no {request['ref']} on this page")
                text = snapshot.subtree(text, request["ref"])
            if "depth" in request:
                text = snapshot.depth(text, request["depth"])
            if request.get("interactive"):
                text = snapshot.interactive(text)
        if offset and offset >= len(text):
            raise ActError(f"there is nothing from character {offset} on: there are {len(text)}")
        return self._cut("read", text, offset)

    async def picture(self, part: Mapping[str, float] | None = None, scale: float = ZOOM) -> dict[str, str]:
        """Of what is in view, as large as the options say; or of a part of it in so many times its size."""
        kind, clip = self._options["picture"], self._whole() if part is None else {**part, "scale": scale}
        if kind == "png" and clip is None:
            data = await self._page.screenshot(type="png", scale="css", timeout=5000)
            return {"format": "png", "data": base64.b64encode(data).decode()}
        session = await self._page.context.new_cdp_session(self._page)
        try:
            settings: dict[str, Any] = {"format": kind, "optimizeForSpeed": True}
            if kind == "webp":
                settings["quality"] = 80
            if clip is not None:  # which counts from the document's corner
                view = (await session.send("Page.getLayoutMetrics"))["cssVisualViewport"]
                settings["clip"] = {**clip, "x": view["pageX"] + clip["x"], "y": view["pageY"] + clip["y"]}
            answer = await session.send("Page.captureScreenshot", settings)
            return {"format": kind, "data": answer["data"]}
        finally:
            await session.detach()

    def _whole(self) -> dict[str, float] | None:
        """Where pictures are smaller than what they show."""
        display, viewport = self._options.get("display"), self._options["viewport"]
        if display is None:
            return None
        scale = display["width"] / viewport["width"]
        # A height that is not quite the viewport's shape leaves out, or adds, less than a pixel.
        return {"x": 0, "y": 0, "width": viewport["width"], "height": display["height"] / scale, "scale": scale}


async def _outline(page: Page) -> str:
    within_s = OUTLINE_S if all(frame.url for frame in page.frames) else REFUSED_S
    return await page.aria_snapshot(mode="ai", timeout=within_s * 1000)
