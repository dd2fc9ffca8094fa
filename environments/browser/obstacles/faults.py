"""What goes wrong at sites that are busy: refusals for too many requests, errors that pass, answers that take long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from environments.browser.obstacles.obstacle import Obstacle, bare_page, is_own
from environments.browser.web.html import h1, p, render
from environments.browser.web.messages import Request, Response

KEY_CHARS = 12
MAX_FAILED = 2000
"""Past so many requests none fails any more: they are remembered, and a page can make up as many as it likes."""


class RateLimit(Obstacle):
    """So many requests are answered, then so many are refused, and so on: no time counts, so it is the same each
    time.
    """

    def __init__(self, seed: str, requests: int, refusals: int) -> None:
        super().__init__(seed)
        self._served, self._refused = requests, refusals
        self._count = 0

    def before(self, request: Request) -> Response | None:
        if is_own(request):
            return None
        place = self._count % (self._served + self._refused)
        self._count += 1
        if place < self._served:
            return None
        content = render((h1("Too many requests"), p("Please wait a moment and try again.")))
        return bare_page("Too many requests", content, 429, ("retry-after", "1"))

    def state(self) -> Any:
        return self._count

    def restore(self, state: Any) -> None:
        self._count = state


class FailOnce(Obstacle):
    """Some requests get nowhere the first time, and change nothing; the second time they are answered."""

    def __init__(self, seed: str, share: float, how: str) -> None:
        super().__init__(seed)
        self._share, self._how = share, how
        self._failed: set[str] = set()

    def before(self, request: Request) -> Response | None:
        if is_own(request):
            return None
        said = self.share(request.method, request.host, request.place)
        key = f"{said:.{KEY_CHARS}f}"
        if said >= self._share or key in self._failed or len(self._failed) >= MAX_FAILED:
            return None
        self._failed.add(key)
        if self._how == "reset":
            return Response(abort=True)
        content = render((h1("Internal server error"), p("Something went wrong. Please try again.")))
        return bare_page("Internal server error", content, 500)

    def state(self) -> Any:
        return sorted(self._failed)

    def restore(self, state: Any) -> None:
        self._failed = set(state)


class Slow(Obstacle):
    """Some addresses take their time, whenever they are asked for."""

    def __init__(self, seed: str, share: float, delay_s: float) -> None:
        super().__init__(seed)
        self._share, self._delay_s = share, delay_s

    def after(self, request: Request, response: Response) -> Response:
        if self.share(request.host, request.path) >= self._share:
            return response
        return replace(response, delay_s=response.delay_s + self._delay_s)
