"""The pages of one browser, and what happens to them by themselves: popups, dialogs, downloads, crashes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import (
    BrowserContext,
    CDPSession,
    ConsoleMessage,
    Dialog,
    Download,
    Error,
    FileChooser,
    Frame,
    Page,
    Request,
    Response,
)

from environments.browser.guest.beside import hear, quietly
from environments.browser.guest.permissions import asked_for

MAX_TABS = 10
MAX_EVENTS = 20
MAX_QUESTIONS = 20
"""In a row: until they are answered nothing else can be done, and a page may never come to their end."""
MAX_CHARS = 500
MAX_DOWNLOAD_BYTES = 64 << 20
MAX_NAME_BYTES = 200
WINDOW_S = 1.0
"""How long an observation waits for a window that a page is opening."""
SAVE_S = 1.0
"""How long an observation waits for downloads that have just begun."""
DETACH_S = 0.2
LEAVE_S = 1.0
"""How long a page that said that it goes to another may take to ask for that."""
CLOSING_S = 0.3
"""How long a tab that is gone may take to be told of as closed."""
DOWNLOADS = Path("/workspace/downloads")


@dataclass
class Events:
    """What has happened since it was last told; the first of each kind, and how many there were."""

    dialogs: list[dict[str, Any]] = field(default_factory=list)
    downloads: list[dict[str, Any]] = field(default_factory=list)
    permissions: list[dict[str, str]] = field(default_factory=list)
    """Each once, however often a page has asked."""
    console_errors: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    """What a policy has to know: a tab that was closed, a page that crashed."""
    left_out: int = 0

    def add(self, kind: str, what: Any) -> None:
        told = getattr(self, kind)
        if len(told) < MAX_EVENTS:
            told.append(what)
        else:
            self.left_out += 1

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value}


@dataclass(eq=False)
class Tab:
    """One page."""

    page: Page
    frame: str = ""
    """What DevTools calls its main frame."""
    snapshot: str = ""
    """Its text when it was last looked at: the refs in it can be used."""
    shown: str = ""
    """Its text as the policy last saw it: what it is told changes of."""
    title: str = ""
    crashed: bool = False
    chooser: FileChooser | None = None
    """A file dialog that the page has opened and nobody has answered."""
    session: dict[str, list[dict[str, str]] | None] = field(default_factory=dict)
    """Its sessionStorage by origin, as it was last seen; None where that was too much."""
    cursor: tuple[float, float] | None = None
    """Where the pointer is, as far as that is known."""
    fresh: bool = False
    """It began with an empty page, over which no other has come."""
    known: list[dict[str, Any]] = field(default_factory=list)
    """What was last seen of the page that it shows, but for its text; nothing of one that was not looked at."""
    going: Request | None = None
    """What it has asked for to show another page, which is not there yet."""
    asking: asyncio.Event = field(default_factory=asyncio.Event)
    """That waits for its answer: until then Chromium passes no question on to the page that is there."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """It is not going to another page."""
    leaving: bool = False
    """Its page has said that it goes to another, and has not asked for that yet."""
    moves: int = 0
    """How many times it has begun to go to another page."""

    def __post_init__(self) -> None:
        self.arrived.set()

    @property
    def stands(self) -> bool:
        """It goes to no other page, and has not said that it will."""
        return self.arrived.is_set() and not self.leaving

    def go(self, request: Request) -> None:
        """To another page."""
        self.going, self.leaving = request, False
        self.moves += 1
        self.asking.set()
        self.arrived.clear()

    def leave(self) -> None:
        if self.arrived.is_set():
            self.leaving = True

    async def left(self) -> None:
        """Wait until a page that goes to another has asked for it, which it may not do after all."""
        if self.leaving:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.asking.wait(), LEAVE_S)
            self.leaving = False

    def arrive(self) -> None:
        """Where it was going, or nowhere after all."""
        self.going = None
        self.asking.clear()
        self.arrived.set()


class Tabs:
    """All of a context. The current one is what actions act on; a popup becomes it, as in a browser."""

    def __init__(self, dialogs: str) -> None:
        """`dialogs`: what becomes of a page's questions: accept, dismiss, or ask the policy."""
        self.rule = dialogs
        self._tabs: list[Tab] = []
        self._current: Tab | None = None
        self.dialog: Dialog | None = None
        """The one that is open: until it is answered its page does nothing else."""
        self.dialog_opened = asyncio.Event()
        self.closings = 0
        """Of tabs, so far."""
        self._one_closed = asyncio.Event()
        """The next."""
        self.questions = 0
        """That the policy was asked since it last did anything else than answer."""
        self.events = Events()
        self._works: set[asyncio.Task[None]] = set()
        self._begun: list[asyncio.Task[None]] = []
        """Downloads since an observation last waited for them."""
        self._names: set[str] = set()
        """Of the files that were downloaded."""
        self._context: BrowserContext
        self._opening = asyncio.Lock()
        """Held until a page that was asked for is known as such."""
        self._windows = 0
        """Those that pages have opened and that are not there yet."""
        self._no_window = asyncio.Event()

    async def enter(self, context: BrowserContext) -> None:
        """All tabs are this context's from here on; there is one, which is empty.

        Raises: playwright.async_api.Error.
        """
        self._tabs, self._current, self._context = [], None, context
        self._no_dialog()
        self._expect(-self._windows)
        context.on("page", self._appeared)
        # Of the context, not of its pages: a window asks, and says, what its opener wants before it is told of.
        context.on("dialog", self._asked)
        context.on("console", self._said)
        context.on("weberror", lambda error: self.events.add("console_errors", str(error.error)[:MAX_CHARS]))
        await self.open()
        for page in context.pages:
            self._appeared(page)

    async def open(self) -> Tab:
        """An empty one, which is then the current one. Raises: playwright.async_api.Error."""
        async with self._opening:
            tab = self._add(await self._context.new_page())
            tab.fresh = True
            await self._hear(tab)
            return tab

    def _appeared(self, page: Page) -> None:
        """Chromium opens tabs that nobody asked for, at any time after its start: they are closed, and no tabs."""
        if self._known(page) is None:
            self._spawn(self._close_stray(page))

    async def _close_stray(self, page: Page) -> None:
        """Windows past the most that there may be, and those that they open, are strays as well."""
        async with self._opening:
            if self._known(page) is None:
                await _close(page)

    async def forget_beginning(self) -> None:
        """Nothing is before the first page of the current tab, as if it had not begun empty."""
        tab = self.current
        if tab.fresh and tab.page.url != "about:blank":
            async with devtools(tab.page) as session:
                await session.send("Page.resetNavigationHistory")
            tab.fresh = False

    @property
    def all(self) -> list[Tab]:
        return list(self._tabs)

    @property
    def current(self) -> Tab:
        """Raises: playwright.async_api.Error, where a page has just closed the last one."""
        if self._current is None:
            raise Error("there is no tab any more")
        return self._current

    def is_current(self, tab: Tab) -> bool:
        return self._current is tab

    @property
    def number(self) -> int:
        """Of the current one, from 1."""
        return self._tabs.index(self.current) + 1

    def switch(self, tab: Tab) -> None:
        self._current = tab

    def _known(self, page: Page) -> Tab | None:
        return next((tab for tab in self._tabs if tab.page == page), None)

    def tell(self, notice: str) -> None:
        self.events.add("notices", notice[:MAX_CHARS])

    def take_events(self) -> dict[str, Any]:
        told, self.events = self.events, Events()
        return told.as_json()

    async def answer(self, *, accept: bool, text: str | None) -> None:
        """The open dialog. Raises: playwright.async_api.Error."""
        dialog = self.dialog
        assert dialog is not None
        self._no_dialog()
        self._note(dialog, "accepted" if accept else "dismissed")
        await (_accept(dialog, text) if accept else dialog.dismiss())

    def _no_dialog(self) -> None:
        self.dialog = None
        self.dialog_opened.clear()

    async def _hear(self, tab: Tab) -> None:
        """A page that opens a window, or goes to another page, says so before it says anything else; what it has asked
        for comes some time after.

        Raises: playwright.async_api.Error.
        """
        session = await self._context.new_cdp_session(tab.page)
        session.on("Page.windowOpen", lambda _: self._expect(1))
        session.on("Page.frameRequestedNavigation", lambda told: self._leaves(tab, told))
        tab.frame = (await session.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        await session.send("Page.enable")

    @staticmethod
    def _leaves(tab: Tab, told: dict[str, Any]) -> None:
        """What a frame in it goes to, or what a new window shows, is not waited for here."""
        if told["frameId"] == tab.frame and told["disposition"] == "currentTab":
            tab.leave()

    def _expect(self, windows: int) -> None:
        self._windows = max(0, self._windows + windows)
        if self._windows:
            self._no_window.clear()
        else:
            self._no_window.set()

    async def windows(self) -> None:
        """Wait until those that pages are opening are there."""
        try:
            await asyncio.wait_for(self._no_window.wait(), WINDOW_S)
        except TimeoutError:  # it was not opened after all
            self._expect(-self._windows)

    def _popped_up(self, page: Page) -> None:
        self._expect(-1)
        if len(self._tabs) >= MAX_TABS:
            self.tell(f"a popup was closed: there may be {MAX_TABS} tabs")
            self._spawn(_close(page))
        else:
            self._spawn(self._hear(self._add(page)))

    def _add(self, page: Page) -> Tab:
        tab = Tab(page)
        self._tabs.append(tab)
        self._current = tab
        page.on("popup", self._popped_up)
        page.on("download", self._downloading)
        page.on("filechooser", lambda chooser: setattr(tab, "chooser", chooser))
        page.on("framenavigated", lambda frame: self._moved(tab, frame))
        page.on("request", lambda request: self._asks(tab, request))
        page.on("response", lambda response: self._answered(tab, response))
        page.on("requestfinished", lambda request: self._ended(tab, request))
        page.on("requestfailed", lambda request: self._ended(tab, request))
        page.on("crash", lambda _: setattr(tab, "crashed", True))
        page.on("close", lambda _: self._closed(tab))
        return tab

    @staticmethod
    def _moved(tab: Tab, frame: Frame) -> None:
        if frame == tab.page.main_frame:
            tab.chooser = None  # it went with its page
            tab.known = []
            if not tab.asking.is_set():  # else it has only changed its address
                tab.arrive()

    @staticmethod
    def _asks(tab: Tab, request: Request) -> None:
        with contextlib.suppress(Error):  # it belongs to no frame
            if request.is_navigation_request() and request.frame == tab.page.main_frame:
                tab.go(request)

    @staticmethod
    def _answered(tab: Tab, response: Response) -> None:
        if response.request == tab.going:
            tab.asking.clear()

    @staticmethod
    def _ended(tab: Tab, request: Request) -> None:
        if request == tab.going:
            tab.arrive()

    def _closed(self, tab: Tab) -> None:
        self.closings += 1
        self._one_closed.set()
        self._one_closed = asyncio.Event()
        tab.arrive()  # nobody waits for it any more
        if self.dialog is not None and self.dialog.page == tab.page:
            self._no_dialog()
        if tab in self._tabs:
            index = self._tabs.index(tab)
            self._tabs.remove(tab)
            if self._current is tab:
                self._current = self._tabs[min(max(index - 1, 0), len(self._tabs) - 1)] if self._tabs else None

    async def closed_since(self, closings: int, error: Error) -> bool:
        """Whether a tab has been closed since there were so many; what it was asked may fail some time before."""
        if self.closings == closings and "closed" in str(error):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._one_closed.wait(), CLOSING_S)
        return self.closings != closings and bool(self._tabs)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.events.add("console_errors", message.text[:MAX_CHARS])
        elif message.type == "debug":
            asked = asked_for(message.text)
            if asked is not None and asked not in self.events.permissions:
                self.events.add("permissions", asked)

    def _asked(self, dialog: Dialog) -> None:
        # A page that asks whether it may be left is not what the policy is here for.
        if dialog.type == "beforeunload" or self.rule == "accept":
            self._note(dialog, "accepted")
            self._spawn(_accept(dialog))
        elif self.rule == "dismiss" or self.dialog is not None or dialog.page is None:
            self._note(dialog, "dismissed")
            self._spawn(dialog.dismiss())
        elif self.questions >= MAX_QUESTIONS:
            self.tell(f"a page asked {MAX_QUESTIONS} questions in a row: its tab was closed")
            self._spawn(self._close_asking(dialog, dialog.page))
        else:
            self.questions += 1
            self.dialog = dialog
            self.dialog_opened.set()

    @staticmethod
    async def _close_asking(dialog: Dialog, page: Page) -> None:
        closing = asyncio.ensure_future(_close(page))  # before it is answered, and asks again
        await quietly(dialog.dismiss())
        await closing

    def _note(self, dialog: Dialog, answer: str) -> None:
        said = {"type": dialog.type, "message": dialog.message[:MAX_CHARS], "answer": answer}
        self.events.add("dialogs", said)

    def _downloading(self, download: Download) -> None:
        self._begun.append(self._spawn(self._save(download)))

    async def save(self) -> None:
        """Wait for what has just begun to be downloaded; what takes longer is told of later."""
        begun, self._begun = self._begun, []
        if begun:
            await asyncio.wait(begun, timeout=SAVE_S)

    async def _save(self, download: Download) -> None:
        suggested = _file_name(download.suggested_filename)
        told: dict[str, Any] = {"name": suggested, "url": download.url[:MAX_CHARS]}
        try:
            failure = await download.failure()
            size = 0 if failure else (await download.path()).stat().st_size
            if failure or size > MAX_DOWNLOAD_BYTES:
                told["error"] = (failure or f"{size} bytes are more than {MAX_DOWNLOAD_BYTES}")[:MAX_CHARS]
            else:
                path = DOWNLOADS / self._name(suggested)
                await download.save_as(path)
                told |= {"path": str(path), "bytes": size}
        except (Error, OSError) as error:
            told["error"] = str(error)[:MAX_CHARS]
        self.events.add("downloads", told)
        await download.delete()  # else Chromium's own copy would stay until the context is closed

    def _name(self, suggested: str) -> str:
        """One that no other download has, as browsers make it."""
        name, path = suggested, Path(suggested)
        for number in itertools.count(1):
            if name not in self._names:
                break
            name = f"{path.stem} ({number}){path.suffix}"
        self._names.add(name)
        return name

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.ensure_future(quietly(work))
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        return task


@contextlib.asynccontextmanager
async def devtools(page: Page) -> AsyncIterator[CDPSession]:
    """Raises: playwright.async_api.Error."""
    session = await page.context.new_cdp_session(page)
    try:
        yield session
    finally:
        detaching = asyncio.ensure_future(session.detach())
        await asyncio.wait({detaching}, timeout=DETACH_S)  # a page that is asked nothing is not left, either
        detaching.add_done_callback(hear)


def _file_name(suggested: str) -> str:
    """One that a file can have, in whatever alphabet."""
    name = Path(suggested.replace("\0", "")).name.encode("utf-8", "ignore")[:MAX_NAME_BYTES]
    return name.decode("utf-8", "ignore") or "download"


async def _accept(dialog: Dialog, text: str | None = None) -> None:
    """With what stands in the field, unless another text is given, as a browser's own button does."""
    await dialog.accept(dialog.default_value if text is None else text)


async def _close(page: Page) -> None:
    await page.close(run_before_unload=False)
