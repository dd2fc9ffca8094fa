"""Playwright's own process, which speaks with Chromium.

The kernel may end it like any other, for want of memory: then it is started again, and so is the browser.
"""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path

from playwright.async_api import Playwright, async_playwright

from environments.browser.guest.beside import quietly


class Playing:
    """As many processes as it takes, one at a time."""

    def __init__(self) -> None:
        self._playwright: Playwright | None = None
        self._process = -1
        """A descriptor of the process that runs, which can be read once that has ended."""

    @property
    def alive(self) -> bool:
        if self._process < 0:
            return False
        ended = select.poll()  # select(2) stops at descriptor 1024, and pages open as many connections as they like
        ended.register(self._process, select.POLLIN)
        return not ended.poll(0)

    async def playwright(self) -> Playwright:
        """One whose process runs. Raises: playwright.async_api.Error, OSError."""
        if self._playwright is None or not self.alive:
            self._leave()
            before = _children()
            self._playwright = await async_playwright().start()
            (process,) = _children() - before
            self._process = os.pidfd_open(process)
        return self._playwright

    async def stop(self) -> None:
        if self._playwright is not None and self.alive:
            await quietly(self._playwright.stop())
        self._leave()

    def _leave(self) -> None:
        """What there was has ended, and all that waited for it has heard so."""
        if self._process >= 0:
            os.close(self._process)
        self._playwright, self._process = None, -1


def _children() -> set[int]:
    found = set[int]()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.update(map(int, (task / "children").read_text().split()))
    return found
