"""What a browser sends when it loads a page, and what a page's own script then reports."""

from __future__ import annotations

import json
import re
from typing import Any

from environments.browser.miniwob.play import MiniwobPlay
from environments.browser.web.messages import Request, Response
from environments.tasks import GraderSpec, Task

ORIGIN = "http://miniwob.test"
DOCUMENT = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
PART = {"accept": "*/*", "referer": f"{ORIGIN}/miniwob/click-test.html"}
SENT = {"accept": "*/*", "origin": ORIGIN, "content-type": "application/json"}


def play_of(page: str = "click-test", seed: int = 7) -> MiniwobPlay:
    return MiniwobPlay(Task(page, "Do it.", GraderSpec("checks"), hidden={"play": "miniwob", "page": page}), seed)


class Visitor:
    """Of one play."""

    def __init__(self, play: MiniwobPlay) -> None:
        self.play = play

    def ask(self, url: str, headers: dict[str, str] = PART, method: str = "GET", body: bytes = b"") -> Response:
        url = url if "://" in url else ORIGIN + url
        return self.play.web.answer(Request(method, url, headers, body))

    def goto(self, url: str) -> Response:
        return self.ask(url, DOCUMENT)

    def load(self) -> str:
        """The token that the page's core.js was sent with."""
        assert self.goto(self.play.start_url).status == 200
        return token_in(self.ask("/core/core.js"))

    def send(self, body: bytes, headers: dict[str, str] = SENT) -> Response:
        return self.ask("/.report", headers, "POST", body)

    def report(self, **said: Any) -> int:
        return self.send(json.dumps(said).encode()).status

    def start(self) -> str:
        """A page that has begun."""
        token = self.load()
        assert self.report(token=token, event="started", goal="Click the button.") == 204
        return token

    def end(self, token: str, reward: Any = 1, **others: Any) -> int:
        said = {"token": token, "event": "ended", "reward": reward, "page_reward": reward, "page_done": True}
        return self.report(**{**said, **others})

    @property
    def detectors(self) -> list[str]:
        return [note["detector"] for note in self.play.notes()]


def token_in(core: Response) -> str:
    assert core.status == 200
    last = core.body.decode().splitlines()[-1]
    found = re.fullmatch(r'\}\)\("([0-9a-f]{64})", "[^"]*", "http://miniwob\.test/\.report"\);', last)
    assert found is not None
    return found[1]
