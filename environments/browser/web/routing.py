"""From a method and a path to the function that answers: `/orders/<number>` is a path with one part that varies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote

Handler = TypeVar("Handler", bound=Callable[..., Any])
MAX_PATH = 1000


class Problem(Exception):
    """What a request was refused for."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        """Fit for the visitor."""


class Router:
    """Those of one kind of site."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, tuple[str, ...], Callable[..., Any]]] = []

    def get(self, path: str) -> Callable[[Handler], Handler]:
        return self._adding("GET", path)

    def post(self, path: str) -> Callable[[Handler], Handler]:
        return self._adding("POST", path)

    def _adding(self, method: str, path: str) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            self._routes.append((method, _parts(path), handler))
            return handler

        return add

    def include(self, other: Router) -> None:
        """Take the routes of another file of the same site."""
        self._routes += other._routes

    def find(self, method: str, path: str) -> tuple[Callable[..., Any], list[str]]:
        """The handler, and what stands for the parts that vary. Raises: Problem."""
        if len(path) > MAX_PATH:
            raise Problem(414, "That address is too long.")
        asked = _parts(path)
        matching = [route for route in self._routes if _fits(route[1], asked)]
        if not matching:
            raise Problem(404, "There is no such page.")
        for known_method, parts, handler in matching:
            if known_method == ("GET" if method == "HEAD" else method):
                return handler, [unquote(have) for want, have in zip(parts, asked, strict=True) if _varies(want)]
        raise Problem(405, f"That page takes no {method[:16]}.")


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.removeprefix("/").removesuffix("/").split("/"))


def _varies(part: str) -> bool:
    return part.startswith("<")


def _fits(known: tuple[str, ...], asked: tuple[str, ...]) -> bool:
    return len(known) == len(asked) and all(
        (bool(have) if _varies(want) else want == unquote(have)) for want, have in zip(known, asked, strict=True)
    )
