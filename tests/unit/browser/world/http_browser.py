"""A browser without any picture: carries the steps of a solution out over HTTP alone, and sees only what pages say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from environments.browser.web.messages import Request, Response
from environments.browser.web.web import Web
from environments.browser.world.gold.page import Node, Page
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Select, Step, Steps

MAX_REDIRECTS = 10
HTML = "text/html,application/xhtml+xml,*/*;q=0.8"


@dataclass
class End:
    """How a solution ended."""

    answer: str | None = None
    infeasible: bool = False


@dataclass
class HttpBrowser:
    web: Web
    cookies: dict[str, dict[str, str]] = field(default_factory=dict)
    """By host."""
    requests: list[Request] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    page: Page = field(default_factory=lambda: Page("about:blank", ""))
    called: Mapping[str, str] = field(default_factory=dict)
    """What is shown on buttons, links and labels, and what a solution calls it."""
    _filled: dict[int, str] = field(default_factory=dict)
    """By the field's element, what was written into it since the page was loaded."""

    def run(self, steps: Steps, start_url: str, most: int = 400) -> End:
        """To its end."""
        self.visit("GET", start_url)
        step = next(steps)
        for _ in range(most):
            if isinstance(step, Answer):
                return End(step.text)
            if isinstance(step, Infeasible):
                return End(step.reason, infeasible=True)
            self.act(step)
            step = steps.send(self.page)
        raise AssertionError("the solution comes to no end")

    def act(self, step: Step) -> Page:
        """One of those that do not end."""
        if isinstance(step, Open):
            self.visit("GET", urljoin(self.page.url, step.url))
        elif isinstance(step, Click):
            self._click(step)
        elif isinstance(step, Fill):
            self._filled[id(self._field(step.label, "input", "textarea"))] = step.value
        elif isinstance(step, Select):
            node = self._field(step.label, "select")
            values = [each.attributes["value"] for each in node.all("option") if each.words == step.value]
            assert len(values) == 1, f"{len(values)} options {step.value!r} in {step.label!r} on {self.page.url}"
            self._filled[id(node)] = values[0]
        return self.page

    def visit(self, method: str, url: str, body: bytes = b"") -> None:
        """And follow where it leads."""
        for _ in range(MAX_REDIRECTS):
            response = self.ask(method, url, body)
            location = None if response.abort else dict(response.headers).get("location")
            if location is None:
                self.page = Page(url, response.body.decode(), self.called)
                self._filled = {}
                return
            method, body, url = "GET", b"", urljoin(url, location)
        raise AssertionError("redirected in circles")

    def ask(self, method: str, url: str, body: bytes = b"") -> Response:
        host = urlsplit(url).hostname or ""
        jar = self.cookies.setdefault(host, {})
        headers = {"accept": HTML}
        if jar:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        if method == "POST":
            headers |= {"content-type": "application/x-www-form-urlencoded", "origin": f"http://{host}"}
        request = Request(method, url, headers, body)
        response = self.web.answer(request)
        self.requests.append(request)
        self.responses.append(response)
        for name, value in response.headers:
            if name == "set-cookie":
                self._keep(jar, value)
        return response

    @staticmethod
    def _keep(jar: dict[str, str], text: str) -> None:
        for name, morsel in SimpleCookie(text).items():
            jar[name] = morsel.value
            if morsel["max-age"] == "0":
                del jar[name]

    def _field(self, label: str, *tags: str) -> Node:
        node = self.page.control(label)
        assert node.tag in tags, f"{label!r} is a {node.tag}"
        return node

    def _click(self, step: Click) -> None:
        if step.role == "link":
            urls = {link.url for link in self.page.links if link.name == step.name}
            assert len(urls) == 1, f"{len(urls)} links {step.name!r} on {self.page.url}:\n{self.page.text}"
            self.visit("GET", urls.pop())
        elif step.role == "button":
            found = [node for node in self.page.root.all("button") if node.name == step.name]
            assert len(found) == 1, f"{len(found)} buttons {step.name!r} on {self.page.url}:\n{self.page.text}"
            self._submit(found[0])
        else:
            node = self._field(step.name, "input")
            assert node.attributes["type"] == step.role
            self._choose(node)

    def _choose(self, node: Node) -> None:
        on = "checked" in node.attributes if id(node) not in self._filled else self._filled[id(node)] == "on"
        if node.attributes["type"] == "checkbox":
            self._filled[id(node)] = "off" if on else "on"
            return
        form = node.inside("form")
        assert form is not None
        for other in form.all("input"):
            if other.attributes.get("name") == node.attributes["name"]:
                self._filled[id(other)] = "on" if other is node else "off"

    def _submit(self, button: Node) -> None:
        form = button.inside("form")
        assert form is not None, f"{button.name!r} is in no form"
        pairs = [pair for node in form.all("input", "select", "textarea") for pair in self._says(node)]
        if "name" in button.attributes:
            pairs.append((button.attributes["name"], button.attributes.get("value", "")))
        url = urljoin(self.page.url, form.attributes.get("action", self.page.url))
        if form.attributes.get("method", "get") == "post":
            self.visit("POST", url, urlencode(pairs).encode())
        else:
            self.visit("GET", f"{url.partition('?')[0]}?{urlencode(pairs)}")

    def _says(self, node: Node) -> list[tuple[str, str]]:
        """What a field adds to its form."""
        name, filled = node.attributes.get("name"), self._filled.get(id(node))
        if not name:
            return []
        if node.tag == "select":
            options = node.all("option")
            chosen = [each for each in options if "selected" in each.attributes] or options[:1]
            return [(name, filled if filled is not None else chosen[0].attributes["value"])]
        if node.tag == "textarea":
            text = filled if filled is not None else node.raw.removeprefix("\n")
            return [(name, text.replace("\n", "\r\n"))]
        if node.attributes.get("type") in ("checkbox", "radio"):
            on = filled == "on" if filled is not None else "checked" in node.attributes
            return [(name, node.attributes.get("value", "on"))] if on else []
        return [(name, filled if filled is not None else node.attributes.get("value", ""))]


def form_of(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True))
