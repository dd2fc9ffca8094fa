"""A browser on this machine that plays MiniWoB++ without any sandbox: the driver's own program, answered by the play.

For trying things by hand; what a real episode does is tested through the environment.
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from environments.browser.guest import chromium, host
from environments.browser.guest.playing import Playing
from environments.browser.options import Options
from environments.browser.play import Play
from environments.browser.web.messages import Request


class HostBrowser:
    """One Chromium; each `begin` gives it a new context and another play."""

    def __init__(self, program: host.Host) -> None:
        self.program = program
        self.play: Play
        self.requests: list[Request] = []

    async def begin(self, play: Play, **options: Any) -> dict[str, Any]:
        if hasattr(self, "play"):
            await self.program._context.close()
        self.play, self.requests = play, []
        chosen = Options(**options).for_browser()
        await self.program.open(chosen)
        return await self._answering(self.program.begin({"url": play.start_url, "options": chosen}))

    async def act(self, action: Mapping[str, Any]) -> dict[str, Any]:
        return await self._answering(self.program.act(dict(action), 30.0))

    async def _answering(self, work: Any) -> dict[str, Any]:
        running = asyncio.ensure_future(work)
        while True:
            arrived = asyncio.ensure_future(self.program.proxy.arrived.wait())
            await asyncio.wait({running, arrived}, return_when=asyncio.FIRST_COMPLETED)
            arrived.cancel()
            if running.done():
                observation: dict[str, Any] = running.result()["observation"]
                return observation
            self.program.proxy.deliver([self._answer(each) for each in self.program.proxy.take()])

    def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in asked["headers"]}
        request = Request(asked["method"], asked["url"], headers, base64.b64decode(asked["body"]))
        self.requests.append(request)
        response = self.play.web.answer(request)
        return {
            "id": asked["id"],
            "status": int(response.status),
            "headers": [list(header) for header in response.headers],
            "body": base64.b64encode(response.body).decode(),
            "delay_s": response.delay_s,
            "abort": response.abort,
        }


@asynccontextmanager
async def host_browser() -> AsyncIterator[HostBrowser]:
    with tempfile.TemporaryDirectory() as folder:
        chromium.HOME = Path(folder)
        for module in (chromium, host):
            vars(module)["CERTIFICATE"] = chromium.HOME / "proxy.pem"
        playing = Playing()
        program = host.Host(playing)
        try:
            await program.prepare()
            yield HostBrowser(program)
            await program._chromium.end()
        finally:
            await playing.stop()
