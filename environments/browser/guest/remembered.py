"""What a browser that dies had: noted each time that it is seen, and put back into the one that is started instead.

Chromium's profile is on the sandbox's disk, so what pages keep in IndexedDB, caches and service workers comes back with
it. What Chromium writes late (localStorage), not from one start to the next (cookies of a session), or never
(sessionStorage, tabs) is noted here.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import BrowserContext, Frame, Page

from environments.browser.guest.beside import quietly
from environments.browser.guest.tabs import Tab, Tabs

MAX_ORIGINS = 50
"""Those that were seen last are remembered."""
PUT_BACK_S = 3.0
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ADDRESS = re.compile(r"(?:blob:)?(https?)://(?:[^/?#]*@)?([^/?#]+)", re.IGNORECASE)
"""Its scheme, and its host with the port."""

LOCAL_JS = """(items) => {
  localStorage.clear();
  for (const { name, value } of items) localStorage.setItem(name, value);
}"""
SESSION_JS = """(([origin, items]) => {
  if (location.origin !== origin || window !== top || sessionStorage.length) return;
  for (const { name, value } of items) sessionStorage.setItem(name, value);
})(%s)"""

Stored = dict[str, list[dict[str, str]] | None]
"""By origin; None where it was too much to be noted."""


@dataclass
class Left:
    """A tab, as it was last seen."""

    url: str
    session: Stored


@dataclass
class Remembered:
    """Belongs to one episode."""

    tabs: list[Left] = field(default_factory=list)
    number: int = 1
    """Of the current tab, from 1."""
    _cookies: list[Any] = field(default_factory=list)
    _local: Stored = field(default_factory=dict)
    _works: set[asyncio.Task[None]] = field(default_factory=set)

    def note_page(self, tab: Tab, state: dict[str, Any]) -> None:
        """What the page of a tab stores now, by its own account: so only what is its own, by its address."""
        origin = _origin(tab.page.url)
        if origin is not None and origin == state["origin"]:
            _note(self._local, origin, state["local"])
            _note(tab.session, origin, state["session"])

    async def note_browser(self, context: BrowserContext, tabs: Tabs) -> None:
        """Raises: playwright.async_api.Error."""
        self._cookies = await context.cookies()
        self.tabs = [Left(tab.page.url, tab.session) for tab in tabs.all]
        self.number = tabs.number

    async def put_back_cookies(self, context: BrowserContext) -> None:
        """Those of the session are forgotten when the last tab is closed. Raises: playwright.async_api.Error."""
        await context.add_cookies(self._cookies)

    async def put_back(self, context: BrowserContext) -> None:
        """What all pages share; while nothing but an empty page is open. Raises: playwright.async_api.Error."""
        await context.clear_cookies()
        await self.put_back_cookies(context)
        local = {origin: items for origin, items in self._local.items() if items is not None}
        if not local:
            return
        page = await context.new_page()
        # No site hears of it, and no worker of a site answers instead.
        session = await context.new_cdp_session(page)
        await session.send("Network.enable")
        await session.send("Network.setBypassServiceWorker", {"bypass": True})
        await page.route("**/*", lambda route: route.fulfill(content_type="text/html", body=""))
        for origin, items in local.items():
            await quietly(page.goto(origin, timeout=PUT_BACK_S * 1000))
            await quietly(page.evaluate(LOCAL_JS, items))
        await page.close()

    async def put_back_tab(self, page: Page, session: Stored) -> None:
        """Into an empty tab; pages find it before their first script runs. Raises: playwright.async_api.Error."""
        for origin, items in session.items():
            if items:
                script = await page.add_init_script(SESSION_JS % json.dumps([origin, items]))
                self._once(page, origin, script)

    def _once(self, page: Page, origin: str, script: Any) -> None:
        """A page that empties its storage finds it empty when it is loaded again."""

        def navigated(frame: Frame) -> None:
            if frame.parent_frame is None and frame.url.startswith(f"{origin}/"):
                page.remove_listener("framenavigated", navigated)
                work = asyncio.ensure_future(quietly(script.close()))
                self._works.add(work)
                work.add_done_callback(self._works.discard)

        page.on("framenavigated", navigated)

    @property
    def too_large(self) -> list[str]:
        """Origins whose sessionStorage is lost."""
        found = [origin for left in self.tabs for origin, items in left.session.items() if items is None]
        return list(dict.fromkeys(found))


def _origin(url: str) -> str | None:
    """As its page's `origin` is written; None where it has none, or one that stores nothing."""
    if (address := _ADDRESS.match(url)) is None:
        return None
    scheme, host = address[1].lower(), address[2].lower()
    return f"{scheme}://{host.removesuffix(DEFAULT_PORTS[scheme])}"


def _note(stored: Stored, origin: str, items: list[dict[str, str]] | None) -> None:
    """What is empty is noted only where there was something: the profile may have that still."""
    if items != [] or origin in stored:
        stored.pop(origin, None)
        stored[origin] = items
    while len(stored) > MAX_ORIGINS:
        del stored[next(iter(stored))]
