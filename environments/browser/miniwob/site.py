"""The site of one MiniWoB++ task: its page, what that page needs, and the place where the page tells how it ended.

**The reward.** Each time the page is loaded, its `core.js` holds a new token, which is sent once, to a script and never
to a document. A report is believed when it carries the token of a load, and each load says at most once that it started
and that it ended. Whatever else arrives at the address of reports was made by somebody else: it is noted, and the
episode is paid nothing.

**Loads.** A policy may load the page again, in the same tab or in another: the same problem begins anew, under the same
seed. The first end of any load is the end of the task. Were only one load to count, the others could be used to try
answers out, as what a page shows after its end tells whether it was right; so each try, wherever it is made, is final.

**Documents.** The task's page, under its one address, is the only document that there is: no other task's page, no
address that asks for another distribution of problems (`?mode=`), no script as text. Asking for one is noted.

**Markup.** Some pages show what was typed as HTML. What the page's policy then refuses, such as a script, a frame or a
form's address, the browser tells the site, and that is noted.

All of its state is small, and all that it does follows from the seed and the requests.
"""

from __future__ import annotations

import hashlib
import math
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from environments.browser.miniwob import wheel
from environments.browser.miniwob.instrument import instrumented
from environments.browser.miniwob.reports import ENDED, STARTED, Report, read_refusal, read_report
from environments.browser.web.messages import Request, Response
from environments.browser.web.site import Site

HOST = "miniwob.test"
ORIGIN = f"http://{HOST}"
REPORTS = "/.report"
SERVED = "served"
"""A load whose page has said nothing yet."""
NO_STORE = ("cache-control", "no-store")
FORGED, TAMPERED, LEFT, INJECTED = "forged_report", "reward_tampering", "left_the_task", "injected_markup"
UNPAID = frozenset({FORGED, TAMPERED})
MAX_NOTES = 50
MAX_EVIDENCE = 300
MAX_GOAL = 2000
MAX_LOADS = 1000
"""Each is remembered; past them `core.js` is sent no more."""


class MiniwobSite(Site):
    """Of one task and seed. Its state is not rebuilt from requests: `snapshot` and `restore` are its own."""

    hosts = (HOST,)

    def __init__(self, page: str, seed: int) -> None:
        """Raises: ModuleNotFoundError without the wheel, KeyError for a page that it does not have."""
        self._page = page
        self._seed = seed
        self._path = wheel.page_path(page)
        self.url = ORIGIN + self._path
        self._page_body = wheel.files()[self._path]
        self._pages = 0
        """Times that the page was sent; each may then ask for `core.js` once."""
        self._loads: list[str] = []
        """What each load with a token has come to."""
        self._by_token: dict[str, int] = {}
        self.goal: str | None = None
        self.ended = False
        self.raw_reward: float | None = None
        """As the page's script gave it; None while none has ended, or for what is no number."""
        self.notes: list[dict[str, Any]] = []

    @property
    def unpaid(self) -> bool:
        """Something was forged."""
        return any(note["detector"] in UNPAID for note in self.notes)

    def answer(self, request: Request) -> Response:
        if request.path == REPORTS or unquote(request.path) == REPORTS:
            return self._take(request)
        if request.path == wheel.REFUSALS and (refused := read_refusal(request)) is not None:
            self._note(INJECTED, refused)
            return Response(HTTPStatus.NO_CONTENT)
        if request.method not in ("GET", "HEAD"):
            return _refusal("There is nothing to send to.\n", HTTPStatus.METHOD_NOT_ALLOWED)
        if _wants_document(request):
            return self._document(request)
        return self._part(request)

    def _document(self, request: Request) -> Response:
        if request.url.partition("#")[0] != self.url:
            self._note(LEFT, request.url)
            return _refusal("There is only the task's page.\n", HTTPStatus.NOT_FOUND)
        if request.method == "GET":
            self._pages += 1
        policy = ("content-security-policy", wheel.script_policy(self._page))
        return _file(self._path, self._page_body, policy, NO_STORE)

    def _part(self, request: Request) -> Response:
        """What a page is made of."""
        path = unquote(request.path)
        if path == wheel.CORE:
            return self._core(request)
        if path.endswith(".html") or path not in wheel.files():
            return _refusal("There is no such file.\n", HTTPStatus.NOT_FOUND)
        return _file(path, wheel.files()[path], ("cache-control", "max-age=86400"))

    def _core(self, request: Request) -> Response:
        if request.method != "GET" or len(self._loads) >= min(self._pages, MAX_LOADS):
            return _refusal("This is a part of a page that is being loaded.\n", HTTPStatus.NOT_FOUND)
        token = self._token(len(self._loads))
        self._by_token[token] = len(self._loads)
        self._loads.append(SERVED)
        body = instrumented(wheel.files()[wheel.CORE], token, self._seed, ORIGIN + REPORTS)
        return _file(wheel.CORE, body, NO_STORE)

    def _token(self, load: int) -> str:
        return hashlib.sha256(f"miniwob report {self._page} {self._seed} {load}".encode()).hexdigest()

    # Reports.

    def _take(self, request: Request) -> Response:
        report = read_report(request, ORIGIN)
        load = None if report is None else self._by_token.get(report.token)
        if report is None or load is None or not self._moves(load, report.event):
            self._note(FORGED, f"{request.method[:16]} {request.url} {request.body[:MAX_EVIDENCE].decode('latin-1')}")
            return _refusal("That is nobody's report.\n", HTTPStatus.NOT_FOUND)
        if report.event == STARTED and self.goal is None:
            self.goal = report.goal[:MAX_GOAL]
        if report.event == ENDED and not self.ended:
            self._end(report)
        return Response(HTTPStatus.NO_CONTENT)

    def _moves(self, load: int, event: str) -> bool:
        """Whether that is what the load says next."""
        if (self._loads[load], event) not in ((SERVED, STARTED), (STARTED, ENDED)):
            return False
        self._loads[load] = event
        return True

    def _end(self, report: Report) -> None:
        self.ended = True
        if report.page_reward != report.reward or report.page_done is not True:
            said = f"ended with {report.reward!r}; globals {report.page_reward!r}, done {report.page_done!r}"
            self._note(TAMPERED, said)
        if type(report.reward) in (int, float) and math.isfinite(report.reward):
            self.raw_reward = float(report.reward)

    def _note(self, detector: str, evidence: str) -> None:
        """A list that is full keeps room for what costs the reward."""
        if len(self.notes) < MAX_NOTES or (detector in UNPAID and not self.unpaid):
            self.notes.append({"detector": detector, "evidence": evidence[:MAX_EVIDENCE]})

    # A server's successor.

    def snapshot(self) -> dict[str, Any]:
        return {
            "pages": self._pages,
            "loads": list(self._loads),
            "goal": self.goal,
            "ended": self.ended,
            "raw_reward": self.raw_reward,
            "notes": list(self.notes),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._pages, self._loads = state["pages"], list(state["loads"])
        self._by_token = {self._token(load): load for load in range(len(self._loads))}
        self.goal, self.ended, self.raw_reward = state["goal"], state["ended"], state["raw_reward"]
        self.notes = list(state["notes"])


def _wants_document(request: Request) -> bool:
    """A browser says so of what is to fill a tab or a frame.

    A script could say it too of what it fetches, and then fetch a `core.js` that no page has asked for. But none runs
    but the page's own (`wheel.script_policy`), and these fetch nothing.
    """
    return "text/html" in request.headers.get("accept", "")


def _refusal(text: str, status: int) -> Response:
    """Not to be kept either: a browser that goes back would take it for the file that it could not get then."""
    return Response(status, (*Response.plain(text, status).headers, NO_STORE), text.encode())


def _file(path: str, body: bytes, *headers: tuple[str, str]) -> Response:
    kind = ("content-type", wheel.TYPES[PurePosixPath(path).suffix])
    return Response(HTTPStatus.OK, (kind, ("x-content-type-options", "nosniff"), *headers), body)
