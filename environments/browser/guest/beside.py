"""Work that goes on beside an action, and whose end need not be heard of."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any

from playwright.async_api import Error


async def quietly(work: Awaitable[Any]) -> None:
    with contextlib.suppress(Error, TimeoutError):  # what it was for is gone then
        await work


def drop(task: asyncio.Future[Any]) -> None:
    """End what nobody waits for any more."""
    task.cancel()
    task.add_done_callback(hear)


def hear(task: asyncio.Future[Any]) -> None:
    """So that nobody complains about an error that nobody waits for."""
    if not task.cancelled():
        task.exception()
