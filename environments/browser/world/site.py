"""What the five sites have in common: how a visitor is known, how a request finds its function, how refusals look.

A visitor has up to two cookies: `visitor`, from the first thing that the site has to remember, and `login`, while
somebody is logged in. Both are drawn from the seed and a counter. A page is a function of what the world holds and of
its request; only a POST, and the first look at something that a task watches, changes anything.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import ClassVar, TypeVar
from urllib.parse import quote, urlencode

from environments.browser.web.forms import field, hidden, post, submit
from environments.browser.web.html import Html, a, h1, p
from environments.browser.web.messages import Request, Response, inside
from environments.browser.web.routing import Problem, Router
from environments.browser.web.site import Site
from environments.browser.world.look import Brand, style_sheet, whole_page
from environments.browser.world.people import Person
from environments.browser.world.world import MISSED, Sought, World

Kind = TypeVar("Kind", bound=Sought)

log = logging.getLogger(__name__)
VISITOR, LOGIN = "visitor", "login"


class Visit:
    """One request, with who made it. What is to be remembered of the visitor goes out with the response."""

    def __init__(self, request: Request, site: WorldSite) -> None:
        self.request = request
        self.site = site
        self.person: Person | None = site.logged_in.get(request.cookies.get(LOGIN, ""))
        self.cookies: list[tuple[str, str]] = []

    @property
    def form(self) -> dict[str, str]:
        return self.request.form

    @property
    def query(self) -> dict[str, str]:
        return self.request.query

    @property
    def visitor(self) -> str:
        """Empty for somebody whom the site has nothing to remember of."""
        given = self.request.cookies.get(VISITOR, "")
        return given if given in self.site.visitors else ""

    def remember(self) -> str:
        """The visitor's name from here on."""
        if self.visitor:
            return self.visitor
        name = self.site.draw_name()
        self.site.visitors.add(name)
        self.cookies.append((VISITOR, name))
        return name

    def log_in(self, person: Person) -> None:
        name = self.site.draw_name()
        self.site.logged_in[name] = person
        self.cookies.append((LOGIN, name))
        self.person = person

    def log_out(self) -> None:
        self.site.logged_in.pop(self.request.cookies.get(LOGIN, ""), None)
        self.cookies.append((LOGIN, ""))
        self.person = None

    def need_login(self) -> Person:
        """Raises: LoginNeeded."""
        if self.person is None:
            raise LoginNeeded
        return self.person

    def whole_form(self, *names: str) -> list[str]:
        """What the form says under these names. Raises: Problem, if one is missing."""
        missing = [name for name in names if name not in self.form]
        if missing:
            raise Problem(400, f"The form lacks {', '.join(missing)}.")
        return [self.form[name].replace("\r\n", "\n").strip() for name in names]

    def page_number(self) -> int:
        """From 1. Raises: Problem."""
        text = self.query.get("page", "1")
        if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0):
            raise Problem(400, "There is no such page of the list.")
        return int(text)


class LoginNeeded(Exception):
    """The visitor has to say who they are first."""


class WorldSite(Site):
    brand: ClassVar[Brand]
    router: ClassVar[Router]

    def __init__(self, world: World) -> None:
        self.world = world
        self.hosts = (self.brand.host,)
        self.visitors: set[str] = set()
        self.logged_in: dict[str, Person] = {}
        self._names_drawn = 0

    def draw_name(self) -> str:
        """That nobody guesses who does not know the seed."""
        self._names_drawn += 1
        return hashlib.sha256(f"{self.world.seed} {self.brand.host} {self._names_drawn}".encode()).hexdigest()[:24]

    def note_seen(self, mark: str) -> None:
        """Somebody was shown this."""
        if not self.sealed and self.world.note_seen(mark):
            self.version += 1

    def note_missed(self, kind: type[Kind], listed: Callable[[Kind], bool]) -> None:
        """Somebody was shown a whole list; `listed` says whether such a thing would stand in it."""
        sought = self.world.sought
        if isinstance(sought, kind) and listed(sought):
            self.note_seen(MISSED)

    def note_page(self, kind: type[Kind], listed: Callable[[Kind], bool], at: str, number: int, last: int) -> None:
        """Somebody was shown a page of the list at that address: whoever has seen all of them has seen the list."""
        sought = self.world.sought
        if not isinstance(sought, kind) or not listed(sought):
            return
        shown = self.world.pages_shown.get(at, frozenset()) | {number}
        if shown.issuperset(range(1, last + 1)):
            self.note_seen(MISSED)
        elif not self.sealed and self.world.pages_shown.get(at) != shown:
            self.world.pages_shown[at] = shown
            self.version += 1

    def answer(self, request: Request) -> Response:
        visit = Visit(request, self)
        self.sealed |= request.method == "HEAD"  # which shows nothing
        try:
            response = self._handle(visit)
        except LoginNeeded:
            response = self._ask_who(visit)
        except Problem as problem:
            response = self.page(visit, "Sorry", [h1("Sorry"), p(problem.message)], problem.status)
        else:
            if request.method == "POST" and response.status < 400:
                self.version += 1
        return _with_cookies(response, visit)

    def _handle(self, visit: Visit) -> Response:
        """Raises: Problem, LoginNeeded."""
        request = visit.request
        if request.path == "/style.css":
            return _style(self.brand)
        if request.method not in ("GET", "HEAD", "POST"):
            raise Problem(405, "This site takes only GET and POST.")
        handler, parts = self.router.find(request.method, request.path)
        response: Response = handler(self, visit, *parts)
        return response

    def page(self, visit: Visit, title: str, content: object, status: int = 200) -> Response:
        return Response.html(whole_page(self.brand, title, content, self.menu(visit), visit.person), status)

    def menu(self, visit: Visit) -> list[Html]:
        """The links at the top of each page."""
        raise NotImplementedError

    def _ask_who(self, visit: Visit) -> Response:
        """A page that was asked for is shown after the login; a form has to be sent again."""
        back = visit.request.place if visit.request.method == "GET" else "/"
        return Response.redirect(f"/login?{urlencode({'next': back})}")


def _style(brand: Brand) -> Response:
    kept = (("content-type", "text/css; charset=utf-8"), ("cache-control", "max-age=86400"))
    return Response(200, kept, style_sheet(brand).encode())


def _with_cookies(response: Response, visit: Visit) -> Response:
    if not visit.cookies:
        return response
    set_ = tuple(
        ("set-cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{'' if value else '; Max-Age=0'}")
        for name, value in visit.cookies
    )
    return Response(response.status, (*response.headers, *set_), response.body)


def path(*parts: str, **query: object) -> str:
    """An address within the site."""
    asked = f"?{urlencode({name: value for name, value in query.items() if value not in (None, '')})}" if query else ""
    return "/" + "/".join(quote(part, safe="") for part in parts) + asked.removesuffix("?")


def add_login(router: Router, allowed: Callable[[Person], bool] = lambda _: True) -> None:
    """The pages by which all sites let people in and out."""

    @router.get("/login")
    def show_login(site: WorldSite, visit: Visit) -> Response:
        return _login_page(site, visit, visit.query.get("next", "/"))

    @router.post("/login")
    def log_in(site: WorldSite, visit: Visit) -> Response:
        name, password, back = visit.whole_form("user", "password", "next")
        person = site.world.people.everybody.get(name.lower().removesuffix("@mail.test"))
        if person is None or person.password != password or not allowed(person):
            return _login_page(site, visit, back, "The user name or the password is wrong.", name)
        visit.log_in(person)
        return Response.redirect(inside(back))

    @router.post("/logout")
    def log_out(site: WorldSite, visit: Visit) -> Response:
        visit.log_out()
        return Response.redirect("/")


def _login_page(site: WorldSite, visit: Visit, back: str, problem: str = "", name: str = "") -> Response:
    content = [
        h1("Log in"),
        p(problem, role="alert", class_="problem") if problem else None,
        post(
            "/login",
            field("User name", "user", name, autocomplete="username"),
            field("Password", "password", "", "password"),
            hidden("next", back),
            submit("Log in"),
        ),
        p(a("Back to the start page", href="/")),
    ]
    return site.page(visit, "Log in", content, 403 if problem else 200)
