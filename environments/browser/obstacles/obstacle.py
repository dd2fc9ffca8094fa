"""What an obstacle is: something between the browser and the sites, with a small state of its own."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from environments.browser.web.html import Html, render
from environments.browser.web.messages import Request, Response

PARTS = frozenset({".css", ".gif", ".ico", ".jpeg", ".jpg", ".js", ".png", ".svg", ".webp", ".woff", ".woff2"})
"""How the names of files end that pages are made of."""


class Obstacle:
    """As it stands, it is in nobody's way. Asked of documents alone: what a tab shows, not what a page is made of."""

    def __init__(self, seed: str) -> None:
        self.seed = seed

    def before(self, request: Request) -> Response | None:
        """What the browser gets instead of the site's answer."""
        return None

    def change(self, request: Request) -> Request:
        """What the site gets."""
        return request

    def after(self, request: Request, response: Response) -> Response:
        """What the browser gets of the site's answer."""
        return response

    def state(self) -> Any:
        """JSON; None where there is nothing to remember."""
        return None

    def restore(self, state: Any) -> None:
        """Take up what `state` said."""

    def share(self, *of: str) -> float:
        """From 0 to 1, the same for the same seed."""
        said = "\0".join((type(self).__name__, self.seed, *of))
        return int.from_bytes(hashlib.sha256(said.encode("utf-8", "replace")).digest()[:6]) / 2**48


def is_document(request: Request) -> bool:
    """Whatever is asked for but the parts of a page, by its address: whoever asks may say of it what they like."""
    looks = request.method in ("GET", "HEAD")
    return not looks or PurePosixPath(request.path).suffix.lower() not in PARTS


def is_own(request: Request) -> bool:
    """An address of an obstacle's own: no other one stands in its way."""
    return request.path.startswith("/.")


def is_page(request: Request, response: Response) -> bool:
    """One that can be shown again by asking for its address."""
    kind = dict(response.headers).get("content-type", "")
    return request.method == "GET" and response.status == 200 and kind.startswith("text/html")


def bare_page(title: str, content: Html, status: int, *headers: tuple[str, str]) -> Response:
    """Not of any site."""
    text = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{render(title)}</title></head>'
        f'<body style="font:16px sans-serif;max-width:40rem;margin:3rem auto">{content}</body></html>'
    )
    return Response.html(text, status, headers)


def cookie(name: str, value: str) -> tuple[str, str]:
    return "set-cookie", f"{name}={value}; Path=/; SameSite=Lax"


def with_text(response: Response, text: str) -> Response:
    return replace(response, body=text.encode())
