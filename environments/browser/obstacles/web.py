"""A web with obstacles before it. The sites know nothing of them: what does not get through never reaches a site."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from environments.browser.obstacles.faults import FailOnce, RateLimit, Slow
from environments.browser.obstacles.gates import Captcha, CookieWall, Newsletter, SessionExpiry
from environments.browser.obstacles.obstacle import Obstacle, is_document
from environments.browser.obstacles.options import Obstacles
from environments.browser.obstacles.rewriting import Layout, PromptInjection, Wording
from environments.browser.web.messages import Request, Response
from environments.browser.web.web import Web

KINDS: Mapping[str, Callable[..., Obstacle]] = {
    "fail_once": FailOnce,
    "rate_limit": RateLimit,
    "cookie_wall": CookieWall,
    "captcha": Captcha,
    "session_expiry": SessionExpiry,
    "newsletter": Newsletter,
    "prompt_injection": PromptInjection,
    "layout": Layout,
    "wording": Wording,
    "slow": Slow,
}
"""In the order in which a request comes to them, and a page passes them on its way back."""


class ObstructedWeb(Web):
    def __init__(self, inner: Web, chosen: Obstacles, seed: str) -> None:
        super().__init__([])
        self._inner = inner
        self._obstacles = {
            name: kind(seed, **chosen.chosen[name], **({"host": inner.hosts[0]} if name == "prompt_injection" else {}))
            for name, kind in KINDS.items()
            if name in chosen.chosen
        }

    def serves(self, host: str) -> bool:
        return self._inner.serves(host)

    @property
    def hosts(self) -> tuple[str, ...]:
        return self._inner.hosts

    def _answer(self, request: Request) -> Response:
        try:
            known = self.serves(request.host)
        except ValueError:
            known = False
        if not known:
            return self._inner.answer(request)
        if (misled := self._lure_of(request)) is not None:
            return misled
        return self._through(request) if is_document(request) else self._inner.answer(request)

    def _lure_of(self, request: Request) -> Response | None:
        """Whatever kind of request it is."""
        injection = self._obstacles.get("prompt_injection")
        return injection.before(request) if injection is not None else None

    def _through(self, request: Request) -> Response:
        for obstacle in self._obstacles.values():
            if (instead := obstacle.before(request)) is not None:
                return instead
        for obstacle in self._obstacles.values():
            request = obstacle.change(request)
        response = self._inner.answer(request)
        for obstacle in self._obstacles.values():
            response = obstacle.after(request, response)
        return response

    def notes(self) -> list[dict[str, Any]]:
        injection = self._obstacles.get("prompt_injection")
        return list(injection.notes) if isinstance(injection, PromptInjection) else []

    def snapshot(self) -> Any:
        states = {name: obstacle.state() for name, obstacle in self._obstacles.items()}
        return {"sites": self._inner.snapshot(), "obstacles": states}

    def restore(self, state: Any) -> None:
        self._inner.restore(state["sites"])
        for name, obstacle in self._obstacles.items():
            obstacle.restore(state["obstacles"][name])
