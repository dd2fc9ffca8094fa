"""One site: a deterministic function of its seed and the requests that it got."""

from __future__ import annotations

from abc import ABC, abstractmethod

from environments.browser.web.messages import Request, Response


class Site(ABC):
    """Belongs to one generation of an episode. No clock, no chance but its seed's, no way to the outside."""

    hosts: tuple[str, ...]
    """The names that it is served under."""
    version: int = 0
    """Grows whenever a request has changed anything that a later answer or check depends on, cookies given out too:
    those requests are what a snapshot keeps, and what brings the site back.
    """
    sealed: bool = False
    """Whoever has it answer says so: no room is left to keep this request, so it must change nothing."""

    @abstractmethod
    def answer(self, request: Request) -> Response:
        """Whatever is asked for: what there is not is a 404, what is malformed a 400; never an exception."""
