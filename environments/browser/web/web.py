"""All sites of one episode: finds the one that a request is for, and keeps what brings them back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from environments.browser.web.messages import Request, Response
from environments.browser.web.site import Site

log = logging.getLogger(__name__)
MAX_KEPT_BYTES = 256 * 1024
"""Of all requests that changed a site: an episode's snapshot is written down after each step."""


class Web:
    """Its snapshot is the requests that changed a site: played again, in their order, they make the same sites."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = {host: site for site in sites for host in site.hosts}
        self._changes: list[dict[str, Any]] = []
        self._kept_bytes = 0

    def serves(self, host: str) -> bool:
        return host in self._sites

    def answer(self, request: Request) -> Response:
        """Of a host that there is not, a 502, as a proxy says it."""
        try:
            site = self._sites.get(request.host)
        except ValueError:  # an address that is none
            return Response.plain("That is no address.\n", 400)
        if site is None:
            return Response.plain(f"There is no host {request.host[:253]}.\n", 502)
        size = len(request.url) + len(request.body)
        if request.method == "POST" and self._kept_bytes + size > MAX_KEPT_BYTES:
            return Response.plain("No more changes are taken here.\n", 429)
        before = site.version
        try:
            response = site.answer(request)
        except Exception:
            log.exception("site failed: %s %s", request.method, request.url[:500])
            response = Response.plain("The site has failed.\n", 500)
        if site.version != before:
            self._changes.append(request.as_json())
            self._kept_bytes += size
        if response.status == 404 and request.path == "/favicon.ico":  # asked for by every browser, missed by nobody
            return Response(204)
        return response

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(self._sites)

    def snapshot(self) -> Any:
        """JSON."""
        return list(self._changes)

    def restore(self, state: Any) -> None:
        """Into sites that are as they began."""
        for change in state:
            self.answer(Request.of(change))
