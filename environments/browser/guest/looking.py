"""What there is to see of the current tab: its text, its picture, its source, and where it stands."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from playwright.async_api import CDPSession, Error, Page

from environments.browser.guest import snapshot
from environments.browser.guest.acting import ActError
from environments.browser.guest.beside import drop
from environments.browser.guest.remembered import Remembered
from environments.browser.guest.tabs import Tab, Tabs, devtools

TITLE_S = 1.0
MAX_URL = 2000
MAX_TITLE = 300
MAX_FOCUS = 100
MAX_PIXELS = 1e9
PICTURE_S = 2.0
"""How long a picture may take of a page that nothing is asked."""
UNSEEN: Mapping[str, Any] = {"scroll": {"x": 0, "y": 0, "width": 0, "height": 0}, "focus": None}
OR_FIND = ", or find"
OR_PARTS = f", or with a ref for one part{OR_FIND}"
ZOOM = 2.0
"""How many times larger a part of a page is shown."""
MAX_STORED = 200_000
"""Characters of each of a page's storages that are remembered for a browser that dies."""
MAX_COMPARED = 1_000_000
"""Characters of two texts: nothing else goes on meanwhile."""
MAX_PICTURE, MAX_SEEN = 12_000_000, 16_000_000
"""Characters of a picture, and bytes of all that is seen at once: the server takes no more."""

OUTLINE_S = 5.0
"""How long a page may take to tell its outline; frames that have not by then are shown without."""
REFUSED_S = 0.3
"""The same where there is a frame that was refused its address: it never tells anything."""
BODY_S = 0.1
"""How long an outline may take before the page is asked whether it has a body: hardly one has none."""

STATE_JS = """(most) => {
  const tried = (get) => { try { return get(); } catch { return null; } };
  // An <img name=title> hides document.title, and a page's own `var scrollX` the window's.
  const own = (name) => Reflect.get(Document.prototype, name, document);
  const root = tried(() => own("scrollingElement") || own("documentElement"));
  const at = tried(() => own("activeElement"));
  const named = at && at !== tried(() => own("body")) && at !== root;
  const written = (node) => node.nodeType === 3 ? node.data
    : [...node.childNodes].map((each) => each === at ? "" : written(each)).join("");
  const pressed = () => at.tagName === "INPUT" && /^(button|submit|reset)$/.test(at.type);
  const NAMES = [
    () => at.getAttribute("aria-label"),
    () => [...at.labels].map(written).join(" "),
    () => at.matches("a, button, summary, [role=button], [role=link], [role=tab], [role=menuitem]") && written(at),
    () => pressed() && at.value,
    ...["alt", "placeholder", "title", "name", "id"].map((name) => () => at.getAttribute(name)),
  ];
  const called = () => {
    for (const name of NAMES) {
      const said = tried(() => name().trim().replace(/\\s+/g, " ").slice(0, 100));
      if (said) return said;
    }
    return "";
  };
  const stored = (get) => {
    try {
      const all = get();
      const items = Object.keys(all).map((name) => ({ name, value: all.getItem(name) }));
      return JSON.stringify(items).length > most ? null : items;
    } catch {
      return [];
    }
  };
  return "" + JSON.stringify({
    title: tried(() => own("title").slice(0, 300)),
    scroll: tried(() => (
      { x: root.scrollLeft, y: root.scrollTop, width: root.scrollWidth, height: root.scrollHeight }
    )),
    focus: tried(() => named ? {
      tag: at.tagName.toLowerCase().slice(0, 100),
      name: called(),
    } : null),
    local: stored(() => localStorage), session: stored(() => sessionStorage),
    origin: tried(() => localStorage && location.origin),  // a sandboxed page has an origin of its own, and no storage
  });
}"""
"""Runs among the page's own scripts, which may have replaced whatever it uses: what it says is read with care."""


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
        tab.title = state["title"]
        place, known = await self.place(), [{"scroll": state["scroll"], "focus": state["focus"]}]
        text = [self._text_of(tab, outline)] if "text" in wanted else []
        if "html" in wanted:
            known.append(self._cut("html", await tab.page.content(), _call(what="html")))
        if "text_content" in wanted:
            known.append(self._cut("text_content", await _words(tab.page), _call(what="text")))
        pictures = [{"images": [await self.picture()]}] if "screenshot" in wanted else []
        tab.known = known
        return together(place, *text, *known, *pictures)

    async def stood(self) -> dict[str, Any]:
        """The same of a page that nothing can be asked until another has come in its place: as it was last seen."""
        tab, wanted = self._tabs.current, self._options["observe"]
        seen = [await self.place(), UNSEEN, {name: "" for name in wanted if name != "screenshot"}, *tab.known]
        if "text" in wanted and tab.known:
            seen.append(self._text_of(tab, tab.snapshot))
        if "screenshot" in wanted:
            with contextlib.suppress(Error, TimeoutError):
                seen.append({"images": [await asyncio.wait_for(self._picture_from_outside(tab), PICTURE_S)]})
        return together(*seen)

    async def _state(self, tab: Tab, *, outlined: bool) -> tuple[dict[str, Any], str]:
        """What the page says of itself, and its outline: both asked at once."""
        outline = asyncio.ensure_future(_outline(tab.page)) if outlined else None
        try:
            state = read_state(await tab.page.evaluate(STATE_JS, MAX_STORED))
            # Before anything else is waited for: the tab may show another page by then.
            self._remembered.note_page(tab, state)
            return state, await outline if outline is not None else ""
        finally:
            if outline is not None:
                drop(outline)

    async def place(self) -> dict[str, Any]:
        """Where the browser stands; asks the current page nothing."""
        tabs = self._tabs.all
        silent = [tab for tab in tabs if tab is self._tabs.current or tab.asking.is_set()]
        await asyncio.gather(*(self._learn_title(tab) for tab in tabs if tab not in silent))
        told = [
            {"tab": number, "url": tab.page.url[:MAX_URL], "title": tab.title} for number, tab in enumerate(tabs, 1)
        ]
        current = self._tabs.current
        return {"url": current.page.url[:MAX_URL], "title": current.title, "tab": self._tabs.number, "tabs": told}

    @staticmethod
    async def _learn_title(tab: Tab) -> None:
        with contextlib.suppress(Error, TimeoutError):  # it does not answer; it is not what the policy looks at
            tab.title = _text(await asyncio.wait_for(tab.page.title(), TITLE_S), MAX_TITLE)

    def _text_of(self, tab: Tab, text: str) -> dict[str, Any]:
        before, tab.snapshot = tab.shown, text
        if self._options["changes"] and before and len(before) + len(text) < MAX_COMPARED:
            changes = snapshot.difference(before, text)
            if len(changes) < len(text) // 2:
                return self._cut("changes", changes or "(nothing has changed)", f"read_page for all of it{OR_FIND}")
        if not self._options["interactive"]:
            return self._cut("text", text, _call() + OR_PARTS)
        return self._cut("text", snapshot.interactive(text), _call(interactive=True) + OR_PARTS)

    def _cut(self, name: str, text: str, rest: str, offset: int = 0) -> dict[str, Any]:
        """`rest`: how to see what is left out, with {} where that begins."""
        kept, note, following = snapshot.cut(text, self._options["max_chars"], offset)
        if not note:
            return {name: kept}
        more = f"; for the rest: {rest.format(following)}" if following else ""
        return {name: kept, "cut": f"{name}: {note}{more}"}

    async def look(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """What `find`, `zoom` and `read_page` show. Raises: ActError."""
        if request["type"] == "zoom":
            clip = {name: request[name] for name in ("x", "y", "width", "height")}
            return {"images": [await self.picture(clip, request.get("scale", ZOOM))]}
        tab = self._tabs.current
        if request["type"] == "find":
            tab.snapshot = await _outline(tab.page)
            found = snapshot.find(tab.snapshot, request["text"]) or "(nothing)"
            return self._cut("found", found, "find something more exact")
        return await self._read(tab, request)

    async def _read(self, tab: Tab, request: Mapping[str, Any]) -> dict[str, Any]:
        what, offset = request.get("what", "snapshot"), request.get("offset", 0)
        if what == "screenshot":
            return {"images": [await self.picture()]}
        if what == "html":
            text = await tab.page.content()
        elif what == "text":
            text = await _words(tab.page)
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
        asked = {name: request[name] for name in ("what", "ref", "depth", "interactive") if request.get(name)}
        return self._cut("read", text, _call(**asked), offset)

    async def picture(self, part: Mapping[str, float] | None = None, scale: float = ZOOM) -> dict[str, str]:
        """Of what is in view, as large as the options say; or of a part of it in so many times its size."""
        kind, clip = self._options["picture"], self._whole() if part is None else {**part, "scale": scale}
        if kind == "png" and clip is None:
            data = await self._page.screenshot(type="png", scale="css", timeout=5000)
            return {"format": "png", "data": base64.b64encode(data).decode()}
        async with devtools(self._page) as session:
            if clip is None:
                return await self._captured(session, None)
            view = (await session.send("Page.getLayoutMetrics"))["cssVisualViewport"]
            return await self._captured(session, _moved(clip, view["pageX"], view["pageY"]))

    async def _picture_from_outside(self, tab: Tab) -> dict[str, str]:
        """Without a question to the page."""
        clip, scroll = self._whole(), together(UNSEEN, *tab.known)["scroll"]
        async with devtools(tab.page) as session:
            return await self._captured(session, clip and _moved(clip, scroll["x"], scroll["y"]))

    async def _captured(self, session: CDPSession, clip: Mapping[str, float] | None) -> dict[str, str]:
        """`clip` counts from the document's corner."""
        kind = self._options["picture"]
        settings: dict[str, Any] = {"format": kind, "optimizeForSpeed": True}
        if kind == "webp":
            settings["quality"] = 80
        if clip is not None:
            settings["clip"] = dict(clip)
        answer = await session.send("Page.captureScreenshot", settings)
        return {"format": kind, "data": answer["data"]}

    def _whole(self) -> dict[str, float] | None:
        """Where pictures are smaller than what they show."""
        display, viewport = self._options.get("display"), self._options["viewport"]
        if display is None:
            return None
        scale = display["width"] / viewport["width"]
        # A height that is not quite the viewport's shape leaves out, or adds, less than a pixel.
        return {"x": 0, "y": 0, "width": viewport["width"], "height": display["height"] / scale, "scale": scale}


def _moved(clip: Mapping[str, float], across: float, down: float) -> dict[str, float]:
    return {**clip, "x": clip["x"] + across, "y": clip["y"] + down}


async def _outline(page: Page) -> str:
    """Of what is in its body."""
    if not all(frame.url for frame in page.frames):
        with contextlib.suppress(Error):  # the page itself may take longer than that
            return await _outline_within(page, REFUSED_S)
    return await _outline_within(page, OUTLINE_S)


async def _outline_within(page: Page, within_s: float) -> str:
    """Raises: playwright.async_api.Error."""
    outline = asyncio.ensure_future(page.aria_snapshot(mode="ai", timeout=within_s * 1000))
    try:
        await asyncio.wait({outline}, timeout=BODY_S)
        return await outline if outline.done() or await _has_body(page) else ""
    finally:
        drop(outline)


async def _words(page: Page) -> str:
    return await page.inner_text("body") if await _has_body(page) else ""


async def _has_body(page: Page) -> bool:
    """One that there is not would be waited for."""
    return await page.locator("body").count() > 0


def _call(**members: Any) -> str:
    """That shows the rest, with {} where it begins."""
    told = {name: "true" if value is True else value for name, value in members.items()}
    return "read_page with " + ", ".join(f"{name}={value}" for name, value in {**told, "offset": "{}"}.items())


def together(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """All that they show, with every picture and every note of what was cut, in their order."""
    whole: dict[str, Any] = {}
    for part in parts:
        whole |= part
    if notes := [part["cut"] for part in parts if "cut" in part]:
        whole["cut"] = "\n".join(notes)
    if images := [image for part in parts for image in part.get("images", ())]:
        whole["images"] = images
    return whole


def fitting(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Without those pictures that are too large for the server."""
    rest = {name: value for name, value in seen.items() if name != "images"}
    if "images" not in seen:
        return rest
    kept, left = [], MAX_SEEN - len(json.dumps(rest, ensure_ascii=False).encode("utf-8", "replace"))
    for image in seen["images"]:
        if len(image["data"]) <= min(left, MAX_PICTURE):
            kept.append(image)
            left -= len(image["data"])
    images = {"images": kept} if kept else {}
    if len(kept) == len(seen["images"]):
        return {**rest, **images}
    note = f"images: {len(kept)} of {len(seen['images'])}, since the rest is too large: zoom shows a part"
    return together(rest, images, {"cut": note})


def read_state(said: Any) -> dict[str, Any]:
    """What a page says of itself, every member as it has to be."""
    told = _object(said)
    scroll, focus = _members(told.get("scroll")), _members(told.get("focus"))
    return {
        "title": _text(told.get("title"), MAX_TITLE),
        "scroll": {name: _whole(scroll.get(name)) for name in ("x", "y", "width", "height")},
        "focus": {name: _text(focus.get(name), MAX_FOCUS) for name in ("tag", "name")} if focus else None,
        "local": _items(told.get("local")),
        "session": _items(told.get("session")),
        "origin": _text(told.get("origin"), MAX_URL),
    }


def _object(said: Any) -> dict[str, Any]:
    try:
        return _members(json.loads(said))
    except (TypeError, ValueError, RecursionError):
        return {}


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any, most: int) -> str:
    return value[:most] if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    return round(value) if type(value) in (int, float) and abs(value) <= MAX_PIXELS else 0


def _items(value: Any) -> list[dict[str, str]] | None:
    """Of a storage; None where it is too much to be remembered."""
    if not isinstance(value, list):
        return None if value is None else []
    items = [(each["name"], each["value"]) for each in value if {"name", "value"} <= set(_members(each))]
    texts = [(name, text) for name, text in items if isinstance(name, str) and isinstance(text, str)]
    if sum(len(name) + len(text) for name, text in texts) > MAX_STORED:
        return None
    return [{"name": name, "value": text} for name, text in texts]
