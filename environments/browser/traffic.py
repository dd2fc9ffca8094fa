"""What pages ask for: answered by the episode's sites or a real host, where that is allowed, and taken down anyway."""

from __future__ import annotations

import logging
from typing import Any

from environments.browser.urls import Refusal, UrlPolicy
from environments.browser.web.messages import Request, Response
from environments.browser.web.web import Web
from envserver.network.egress import Egress, EgressError

log = logging.getLogger(__name__)
MAX_LISTED = 200
MAX_URL = 500
MAX_ANSWERED = 2000
"""In one step: programs beside a browser may ask in its place, as fast as they can, and a site takes a millisecond."""


class Traffic:
    """Of one episode generation."""

    def __init__(self, web: Web, policy: UrlPolicy, egress: Egress) -> None:
        self._web = web
        self._policy = policy
        self._egress = egress
        self._listed: list[dict[str, Any]] = []
        self._count = 0
        self._refused: list[dict[str, str]] = []
        self._refused_not_listed = 0

    async def answer(self, request: Request) -> Response:
        """Never an exception, whatever a page has asked for."""
        self._count += 1
        if self._count > MAX_ANSWERED:
            return Response.plain("There were too many requests in this step.\n", 429)
        response = await self._answer(request)
        if len(self._listed) < MAX_LISTED:
            status = 0 if response.abort else response.status
            self._listed.append({"method": request.method[:16], "url": request.url[:MAX_URL], "status": status})
        return response

    async def _answer(self, request: Request) -> Response:
        refusal = self._policy.check(request.url, "resource")
        if refusal is not None:
            self._note(refusal, request)
            return Response.plain(f"{refusal.message}\n", 403)
        if request.method == "CONNECT":
            return Response.plain("", 200)  # what is asked through the tunnel is asked here, each
        if self._web.serves(request.host):
            return self._web.answer(request)
        try:
            found = await self._egress.fetch(request.method, request.url, list(request.headers.items()), request.body)
        except EgressError as error:
            return Response.plain(f"{error}\n", 502)
        except Exception:
            log.exception("request failed: %s %s", request.method[:16], request.url[:MAX_URL])
            return Response.plain("The request has failed.\n", 502)
        return Response(found.status, found.headers, found.body)

    def _note(self, refusal: Refusal, request: Request) -> None:
        """The first of each detector in any case."""
        if len(self._refused) < MAX_LISTED or refusal.detector not in {each["detector"] for each in self._refused}:
            self._refused.append({"detector": refusal.detector, "evidence": request.url[:MAX_URL]})
        else:
            self._refused_not_listed += 1

    def take(self) -> tuple[dict[str, Any], list[dict[str, str]]]:
        """For a step's info: what was asked since this was last called; and what of it was refused."""
        listed, refused, count = self._listed, self._refused, self._count
        self._listed, self._refused, self._count = [], [], 0
        told: dict[str, Any] = {"requests": listed} if listed else {}
        if count > len(listed):
            told["requests_not_listed"] = count - len(listed)
        if self._refused_not_listed:
            told["detectors_not_listed"], self._refused_not_listed = self._refused_not_listed, 0
        return told, refused
