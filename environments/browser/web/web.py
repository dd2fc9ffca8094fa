"""All sites of one episode: finds the one that a request is for, and keeps what brings them back.

**Limits.** Sites answer on the server's event loop, and what changes one is kept. So a body that is larger than any of
our forms is refused unread, whatever its method. And before a site is asked it is known whether there is room to keep
the request. Where there is none, one that is to change something is refused; one that only looks is answered by a site
that is told to change nothing, such as which letters have been read. Either way, what comes back is what was.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from environments.browser.web.messages import Request, Response
from environments.browser.web.site import Site

log = logging.getLogger(__name__)
MAX_BODY = 60_000
MAX_KEPT_BYTES = 256 * 1024
"""Of all requests that changed a site, as JSON: an episode's snapshot is written down after each step."""


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
        if len(request.body) > MAX_BODY:
            return Response.plain("That is too much.\n", 413)
        return self._answer(request)

    def _answer(self, request: Request) -> Response:
        try:
            site = self._sites.get(request.host)
        except ValueError:  # an address that is none
            return Response.plain("That is no address.\n", 400)
        if site is None:
            return Response.plain(f"There is no host {request.host[:253]}.\n", 502)
        change = request.as_json()
        size = len(json.dumps([change]))  # with what stands between it and the next
        site.sealed = self._kept_bytes + size > MAX_KEPT_BYTES
        if site.sealed and request.method not in ("GET", "HEAD"):
            return Response.plain("No more changes are taken here.\n", 429)
        before = site.version
        try:
            response = site.answer(request)
        except Exception:
            log.exception("site failed: %s %s", request.method, request.url[:500])
            response = Response.plain("The site has failed.\n", 500)
        if site.version != before:
            self._changes.append(change)
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
