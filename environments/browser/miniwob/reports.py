"""What a page or its browser tells, as it arrived: nothing in it is believed until it has been read here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from environments.browser.web.messages import Request

MAX_BYTES = 20_000
STARTED, ENDED = "started", "ended"


@dataclass(frozen=True)
class Report:
    token: str
    event: str
    goal: str = ""
    """Of a page that has started: what is to be done on it."""
    reward: Any = None
    """Of one that has ended: what its script gave, ..."""
    page_reward: Any = None
    """... and what its globals, which anyone in it can set, say."""
    page_done: Any = None


def read_report(request: Request, origin: str) -> Report | None:
    """None for what the script that the server added to a page would not send."""
    kind = request.headers.get("content-type", "")
    if request.method != "POST" or kind != "application/json" or request.headers.get("origin") != origin:
        return None
    if len(request.body) > MAX_BYTES:
        return None
    try:
        said = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    members = {STARTED: {"goal"}, ENDED: {"reward", "page_reward", "page_done"}}
    if not isinstance(said, dict) or not isinstance(event := said.get("event"), str) or event not in members:
        return None
    # What JSON cannot say, such as an undefined reward, is left out.
    if not {"token", "event"} <= set(said) <= {"token", "event", *members[event]}:
        return None
    report = Report(**said)
    return report if isinstance(report.token, str) and isinstance(report.goal, str) else None


def read_refusal(request: Request) -> str | None:
    """What a browser says that it did not do for a page, as the page's Content-Security-Policy wants it; None for
    anything else.
    """
    kind = request.headers.get("content-type", "")
    if request.method != "POST" or kind != "application/csp-report" or len(request.body) > MAX_BYTES:
        return None
    try:
        said = json.loads(request.body)["csp-report"]
        parts = [said.get(name, "") for name in ("effective-directive", "blocked-uri", "script-sample")]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    return " ".join(part for part in parts if isinstance(part, str) and part)
