"""A solution that is not put off: what stands in the way is dealt with before the solution itself sees a page.

Walls and questions are answered, covers taken away, requests that failed are made again, a login that was lost is made
again. A form that did not get through is filled in once more; one that did is not sent twice.
"""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from environments.browser.world.gold.page import Page
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Step, Steps, Walk
from environments.browser.world.gold.walks import Told

NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()
FAILURES = ("Too many requests", "Internal server error")
MOST = 40
"""Attempts at one step."""


def careful(steps: Steps, told: Told) -> Steps:
    yield from _Way(told).go(steps)


class _Way:
    def __init__(self, told: Told) -> None:
        self._told = told
        self._hosts: set[str] = set()
        """Where somebody has logged in."""
        self._at = Page("about:blank", "")
        self._since: list[Step] = []
        """What was filled in on that page."""

    def go(self, steps: Steps) -> Steps:
        step = next(steps)
        while not isinstance(step, Answer | Infeasible):
            page = yield from self._do(step)
            step = steps.send(page)
        yield step

    def _do(self, step: Step) -> Walk[Page]:
        """One step, until it has led to where it leads."""
        page = yield step
        if not _loads(step):
            self._since.append(step)
            return page
        for _ in range(MOST):
            obstacle = self._way_around(page, step)
            if obstacle is None:
                self._at, self._since = page, []
                self._remember_login(page)
                return page
            page = yield from obstacle
        raise AssertionError(f"no way past {page.url}: {page.text}")

    def _way_around(self, page: Page, step: Step) -> Walk[Page] | None:
        """None where nothing stands in the way."""
        if page.text == "" or page.text.startswith(FAILURES):
            at, since = self._at.url, list(self._since)
            return self._again(step, at, since) if self._was_not_sent(page, step) else _open(page.url)
        if page.offers("button", "Only necessary"):
            return _click("Only necessary")
        if page.offers("button", "No, thanks"):
            return _click("No, thanks")
        if page.text.startswith("Are you a human?"):
            return _prove(page)
        host = _host(page.url)
        if host in self._hosts and "Logged in as" not in page.text and page.offers("link", "Log in"):
            return self._log_in_again(page, step)
        return None

    def _was_not_sent(self, page: Page, step: Step) -> bool:
        """Whether it was the form itself that failed, not the page that it led to."""
        action = self._at.action(step.name) if isinstance(step, Click) and step.role == "button" else None
        return action is not None and urlsplit(page.url).path == urlsplit(action).path

    def _again(self, step: Step, at: str, since: list[Step]) -> Walk[Page]:
        """From the page with the form on."""
        for earlier in (Open(at), *since):
            yield from self._do(earlier)
        return (yield step)

    def _log_in_again(self, page: Page, step: Step) -> Walk[Page]:
        host, at, since = _host(page.url), self._at.url, list(self._since)
        self._hosts.discard(host)  # until it has worked
        parts = urlsplit(page.url)
        target = parse_qs(parts.query).get("next", ["/"])[0] if parts.path == "/login" else None
        lost = target == "/" and isinstance(step, Click) and step.role == "button"
        yield from self._do(Open(f"http://{host}/login"))
        yield from self._do(Fill("User name", self._told["user"]))
        yield from self._do(Fill("Password", self._told["password"]))
        yield from self._do(Click("button", "Log in"))
        if lost:
            return (yield from self._again(step, at, since))
        return (yield Open(f"http://{host}{target}" if target is not None else parts.geturl()))

    def _remember_login(self, page: Page) -> None:
        if "Logged in as" in page.text:
            self._hosts.add(_host(page.url))


def _loads(step: Step) -> bool:
    return isinstance(step, Open) or (isinstance(step, Click) and step.role in ("link", "button"))


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _open(url: str) -> Walk[Page]:
    return (yield Open(url))


def _click(name: str) -> Walk[Page]:
    return (yield Click("button", name))


def _prove(page: Page) -> Walk[Page]:
    line = next(line for line in page.lines if "the sum of" in line)
    first, _, second = line.partition("the sum of ")[2].partition(" in digits")[0].partition(" and ")
    yield Fill("Your answer", str(NUMBERS.index(first) + NUMBERS.index(second)))
    return (yield Click("button", "Continue"))
