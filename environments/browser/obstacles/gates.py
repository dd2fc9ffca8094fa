"""What lets nobody through who has not done something first: a cookie wall, a question for humans, a lost login."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from environments.browser.obstacles.obstacle import Obstacle, bare_page, cookie, is_page, with_text
from environments.browser.web.forms import field, hidden, post, submit
from environments.browser.web.html import Html, button, div, h1, h2, p, render
from environments.browser.web.messages import Request, Response, inside

CONSENT, NEWSLETTER = "/.consent", "/.newsletter"
CHECK = "/.check"
LOGIN = "login"
"""The cookie that says who is logged in."""
COVER = "position:fixed;inset:0;background:rgba(0,0,0,.6);display:flex;align-items:center;justify-content:center"
BOX = "background:#fff;padding:2rem;max-width:30rem"


class CookieWall(Obstacle):
    """Shows no page of a site before it has been told which cookies may be kept."""

    def before(self, request: Request) -> Response | None:
        if request.path == CONSENT and request.method == "POST":
            chosen = "all" if request.form.get("choice") == "all" else "necessary"
            return Response.redirect(inside(request.form.get("next", "/")), (cookie("consent", chosen),))
        if request.method != "GET" or request.cookies.get("consent") in ("all", "necessary"):
            return None
        content = (
            h1("We value your privacy"),
            p("We and our 214 partners store cookies on your device. Please choose before you go on."),
            post(
                CONSENT,
                hidden("next", request.place),
                button("Accept all", type="submit", name="choice", value="all"),
                " ",
                button("Only necessary", type="submit", name="choice", value="necessary"),
            ),
        )
        return bare_page("Before you continue", render(content), 200)


class Newsletter(Obstacle):
    """After some pages, one that covers what is behind it until it is answered."""

    def __init__(self, seed: str, after: int) -> None:
        super().__init__(seed)
        self._after = after
        self._pages = 0

    def before(self, request: Request) -> Response | None:
        if request.path == NEWSLETTER and request.method == "POST":
            return Response.redirect(inside(request.form.get("next", "/")), (cookie("newsletter", "asked"),))
        return None

    def after(self, request: Request, response: Response) -> Response:
        if not is_page(request, response) or "newsletter" in request.cookies:
            return response
        self._pages += 1
        if self._pages <= self._after:
            return response
        text = response.body.decode()
        return with_text(response, text.replace("</body>", f"{self._popup(request)}</body>"))

    @staticmethod
    def _popup(request: Request) -> Html:
        form = post(
            NEWSLETTER,
            hidden("next", request.place),
            field("Your mail address", "newsletter-address"),
            button("Subscribe", type="submit", name="newsletter", value="yes"),
            " ",
            button("No, thanks", type="submit", name="newsletter", value="no"),
        )
        box = div(h2("Never miss an offer"), p("Get our newsletter and save 5 %."), form, style=BOX)
        return div(box, role="dialog", aria_modal="true", aria_label="Newsletter", style=COVER)

    def state(self) -> Any:
        return self._pages

    def restore(self, state: Any) -> None:
        self._pages = state


WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()


class Captcha(Obstacle):
    """After some requests, a question that has to be answered once."""

    def __init__(self, seed: str, after: int) -> None:
        super().__init__(seed)
        self._after = after
        self._requests = 0
        self._tries = 0
        self._passed = False

    def before(self, request: Request) -> Response | None:
        if request.path == CHECK and request.method == "POST":
            return self._take(request)
        self._requests += 1
        if self._passed or request.method != "GET" or self._requests <= self._after:
            return None
        return self._ask(request.place, 200)

    def _numbers(self) -> tuple[int, int]:
        """Another pair for each try."""
        first, second = (int(self.share(str(self._tries), which) * 12) + 1 for which in "ab")
        return first, second

    def _ask(self, place: str, status: int) -> Response:
        first, second = (WORDS[number] for number in self._numbers())
        content = (
            h1("Are you a human?"),
            p(f"To go on, write the sum of {first} and {second} in digits."),
            post(CHECK, hidden("next", place), field("Your answer", "answer", autocomplete="off"), submit("Continue")),
        )
        return bare_page("One moment", render(content), status)

    def _take(self, request: Request) -> Response:
        place = inside(request.form.get("next", "/"))
        if request.form.get("answer", "").strip() == str(sum(self._numbers())):
            self._passed = True
            return Response.redirect(place)
        self._tries += 1
        return self._ask(place, 403)

    def state(self) -> Any:
        return [self._requests, self._tries, self._passed]

    def restore(self, state: Any) -> None:
        self._requests, self._tries, self._passed = state


class SessionExpiry(Obstacle):
    """A login is forgotten after some requests; a new one holds longer. What no site has given out is no login."""

    def __init__(self, seed: str, after: int, times: int) -> None:
        super().__init__(seed)
        self._after, self._times = after, times
        self._counts: dict[str, int] = {}
        """By the login's cookie, the requests made with it. A web gives out few, as each is a change that it keeps."""
        self._expired: list[str] = []

    def change(self, request: Request) -> Request:
        login = request.cookies.get(LOGIN)
        if login is None or login not in self._counts:
            return request
        if login not in self._expired:
            self._counts[login] += 1
            if self._counts[login] <= self._after or len(self._expired) >= self._times:
                return request
            self._expired.append(login)
        kept = "; ".join(f"{name}={value}" for name, value in request.cookies.items() if name != LOGIN)
        return replace(request, headers={**request.headers, "cookie": kept})

    def after(self, request: Request, response: Response) -> Response:
        for header, said in response.headers:
            name, _, value = said.partition(";")[0].partition("=")
            if header == "set-cookie" and name == LOGIN and value:
                self._counts[value] = 0
        return response

    def state(self) -> Any:
        return [dict(self._counts), list(self._expired)]

    def restore(self, state: Any) -> None:
        self._counts, self._expired = dict(state[0]), list(state[1])
