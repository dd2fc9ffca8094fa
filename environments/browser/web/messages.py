"""What a page asks for and what it gets: one HTTP exchange, as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

MAX_FIELDS = 1000
MAX_COOKIES = 8192
"""Characters of the header. What is longer says nothing: a site's own cookies are short."""


@dataclass(frozen=True)
class Request:
    """What the browser sent, all of it: nothing here can be believed."""

    method: str
    url: str
    """Absolute."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-case name."""
    body: bytes = b""

    @cached_property
    def parts(self) -> SplitResult:
        return urlsplit(self.url)

    @property
    def host(self) -> str:
        """Without the port, in lower case."""
        return self.parts.hostname or ""

    @property
    def path(self) -> str:
        return self.parts.path or "/"

    @property
    def place(self) -> str:
        """Its path and query."""
        return self.path + (f"?{self.parts.query}" if self.parts.query else "")

    @cached_property
    def query(self) -> dict[str, str]:
        """The first value of each name."""
        return _first(self.parts.query)

    @cached_property
    def form(self) -> dict[str, str]:
        """The same of a form that was posted; empty for any other body."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return _first(self.body.decode("utf-8", "replace")) if kind == "application/x-www-form-urlencoded" else {}

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The last value of each name, as it stands: quotes are part of it."""
        said = self.headers.get("cookie", "")
        pairs = [part.partition("=") for part in said.split(";")] if len(said) <= MAX_COOKIES else []
        return {name.strip(): value.strip() for name, equals, value in pairs if equals and name.strip()}

    def as_json(self) -> dict[str, Any]:
        """Enough to make the same request again."""
        kept = {name: self.headers[name] for name in ("content-type", "cookie", "origin") if name in self.headers}
        return {"method": self.method, "url": self.url, "headers": kept, "body": self.body.decode("latin-1")}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Request:
        return cls(data["method"], data["url"], data["headers"], data["body"].encode("latin-1"))


@dataclass(frozen=True)
class Response:
    """What a site says."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    delay_s: float = 0.0
    """The browser gets it only after so long."""
    abort: bool = False
    """The browser gets no answer at all: its connection is reset."""

    @classmethod
    def html(cls, text: str, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        return cls(status, (("content-type", "text/html; charset=utf-8"), *headers), text.encode())

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Response:
        return cls(status, (("content-type", "application/json"),), json.dumps(value).encode())

    @classmethod
    def redirect(cls, url: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """The browser goes on with a GET."""
        return cls(HTTPStatus.SEE_OTHER, (("location", url), *headers))

    @classmethod
    def plain(cls, text: str, status: int) -> Response:
        return cls(status, (("content-type", "text/plain; charset=utf-8"),), text.encode())


def inside(place: str) -> str:
    """The same, if a browser takes it for a path of the site that it is on; the start page's if not."""
    own = place.startswith("/") and not place.startswith(("//", "/\\"))
    return place if own and place.isprintable() else "/"  # browsers drop tabs and line breaks from addresses


def _first(encoded: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    return dict(reversed(pairs))
