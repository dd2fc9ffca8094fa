"""A page as it is read: its text, links, tables and fields, taken from its HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from urllib.parse import urljoin

from environments.browser.web.html import VOID

UNREAD = frozenset({"script", "style", "head", "template"})
BLOCKS = frozenset(
    "article aside blockquote caption div dl dt dd fieldset footer form h1 h2 h3 header legend li main nav ol p pre "
    "section table tr ul".split()
)


@dataclass
class Node:
    """An element, or a text (whose `tag` is empty)."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list[Node] = field(default_factory=list)
    parent: Node | None = field(default=None, repr=False)

    def walk(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            yield from child.walk()

    def all(self, *tags: str) -> list[Node]:
        return [node for node in self.walk() if node.tag in tags]

    def inside(self, *tags: str) -> Node | None:
        """The nearest element around it of such a kind."""
        node = self.parent
        while node is not None and node.tag not in tags:
            node = node.parent
        return node

    @property
    def raw(self) -> str:
        return "".join(node.text for node in self.walk())

    @property
    def words(self) -> str:
        """In one line."""
        return " ".join(self.read().split())

    @property
    def name(self) -> str:
        """As somebody is told it who cannot see the page."""
        return self.attributes.get("aria-label") or self.words

    def read(self) -> str:
        if self.tag in UNREAD:
            return ""
        if not self.tag:
            return self.text
        inner = "".join(child.read() for child in self.children)
        if self.tag in ("td", "th"):
            return f" {inner} "
        return f"\n{inner}\n" if self.tag in BLOCKS else "\n" if self.tag == "br" else inner


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("root")
        self._at = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs}, parent=self._at)
        self._at.children.append(node)
        if tag not in VOID:
            self._at = node

    def handle_endtag(self, tag: str) -> None:
        node: Node | None = self._at
        while node is not None and node.tag != tag:
            node = node.parent
        if node is not None and node.parent is not None:
            self._at = node.parent

    def handle_data(self, data: str) -> None:
        self._at.children.append(Node("", text=data, parent=self._at))


@dataclass(frozen=True)
class Link:
    name: str
    url: str


Row = dict[str, str]
"""What stands under each header."""


class Page:
    def __init__(self, url: str, html: str, called: Mapping[str, str] | None = None) -> None:
        """`called`: of links, buttons and labels, what is shown, and what a solution calls it."""
        self.url = url
        reader = _Reader()
        reader.feed(html)
        reader.close()
        self.root = reader.root
        for node in self.root.all("a", "button", "label") if called else ():
            if called and node.name in called:
                node.attributes["aria-label"] = called[node.name]

    @cached_property
    def title(self) -> str:
        return next((node.raw for node in self.root.all("title")), "")

    @cached_property
    def text(self) -> str:
        """Line by line, without empty ones."""
        lines = (" ".join(line.split()) for line in self.root.read().splitlines())
        return "\n".join(line for line in lines if line)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @cached_property
    def links(self) -> list[Link]:
        return [
            Link(node.name, urljoin(self.url, node.attributes["href"]))
            for node in self.root.all("a")
            if "href" in node.attributes
        ]

    def link(self, name: str) -> str:
        """Where the first link of that name leads. Raises: LookupError."""
        for link in self.links:
            if link.name == name:
                return link.url
        raise LookupError(f"no link {name!r} on {self.url}")

    def offers(self, role: str, name: str) -> bool:
        """Whether there is such a link or button."""
        return any(node.name == name for node in self.root.all("a" if role == "link" else "button"))

    def action(self, name: str) -> str | None:
        """Where the button of that name sends its form, if that changes something."""
        for node in self.root.all("button"):
            form = node.inside("form")
            if node.name == name and form is not None and form.attributes.get("method") == "post":
                return urljoin(self.url, form.attributes.get("action", ""))
        return None

    @cached_property
    def facts(self) -> dict[str, str]:
        """Of all tables of names and values."""
        rows = (row.children for table in self.root.all("table") if not table.all("thead") for row in table.all("tr"))
        return {cells[0].words: cells[1].words for cells in rows if len(cells) == 2}

    @cached_property
    def rows(self) -> list[Row]:
        """Of all tables with headers."""
        found = []
        for table in self.root.all("table"):
            headers = [node.words for head in table.all("thead") for node in head.all("th")]
            bodies = [row for body in table.all("tbody") for row in body.all("tr")]
            if headers:
                found += [dict(zip(headers, (cell.words for cell in row.children), strict=True)) for row in bodies]
        return found

    @cached_property
    def articles(self) -> list[list[str]]:
        """The lines of each card, review, post or comment."""
        parts = [[" ".join(line.split()) for line in node.read().splitlines()] for node in self.root.all("article")]
        return [[line for line in lines if line] for lines in parts]

    @cached_property
    def labels(self) -> list[str]:
        """Of all fields, lists, buttons to choose."""
        return [node.name for node in self.root.all("label")]

    def value(self, label: str) -> str:
        """What stands in a text field. Raises: LookupError."""
        node = self.control(label)
        return node.raw.removeprefix("\n") if node.tag == "textarea" else node.attributes.get("value", "")

    def options(self, label: str) -> list[str]:
        """Of a list. Raises: LookupError."""
        return [node.words for node in self.control(label).all("option")]

    def control(self, label: str) -> Node:
        """The one field, list, radio button or checkbox of that label. Raises: LookupError."""
        keys = [node.attributes.get("for") for node in self.root.all("label") if node.name == label]
        controls = self.root.all("input", "select", "textarea")
        found = [
            node
            for node in controls
            if (node.attributes.get("id") or "-") in keys or node.attributes.get("aria-label") == label
        ]
        if len(found) != 1:
            raise LookupError(f"{len(found)} fields {label!r} on {self.url}")
        return found[0]
