"""How articles are written: `| name = value` makes the box of facts, `== x ==` a heading, `[[Title]]` a link.

`[[Title|said]]` links another text, `[http://shop.test/... said]` a site of this world. An empty line ends a paragraph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from environments.browser.web.forms import facts
from environments.browser.web.html import Html, a, div, h2, p
from environments.browser.world.look import SITES
from environments.browser.world.wiki.data import article_path

MAX_LINK = 300
"""Characters; so that reading takes a time that only grows as the text does."""


def read_facts(text: str) -> list[tuple[str, str]]:
    """What the box says."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line[1:].partition("=") for line in lines if line.startswith("|")]
    return [(name.strip(), value.strip()) for name, equals, value in pairs if equals]


def made_even(text: str) -> str:
    """With the spaces of facts as articles have them: what is read alike becomes the same."""
    return "\n".join(_even(line) for line in text.split("\n"))


def _even(line: str) -> str:
    name, equals, value = line.strip().removeprefix("|").partition("=")
    return f"| {name.strip()} = {value.strip()}" if line.strip().startswith("|") and equals else line


def render(title: str, text: str, known: Collection[str]) -> Html:
    """`known` are the titles that there are articles of."""
    box = [(name, list(_inline(value, known))) for name, value in read_facts(text)]
    prose = "\n".join(line for line in text.splitlines() if not line.strip().startswith("|"))
    return div(facts(title, box) if box else None, list(_blocks(prose, known)))


def _blocks(prose: str, known: Collection[str]) -> Iterator[Html]:
    for block in prose.split("\n\n"):
        stripped = block.strip()
        if stripped.startswith("== ") and stripped.endswith(" ==") and "\n" not in stripped:
            yield h2(stripped[3:-3])
        elif stripped:
            yield p(list(_inline(stripped, known)))


def _inline(text: str, known: Collection[str]) -> Iterator[object]:
    """What looks like a link and is none stays as it is written."""
    at = 0
    while (opening := text.find("[", at)) >= 0:
        yield text[at:opening]
        within = text.startswith("[[", opening)
        begin, bracket = (opening + 2, "]]") if within else (opening + 1, "]")
        end = text.find(bracket, begin, begin + MAX_LINK)
        link = _link(text[begin:end], known, within=within) if end >= 0 else None
        yield "[" if link is None else link
        at = opening + 1 if link is None else end + len(bracket)
    yield text[at:]


def _link(inner: str, known: Collection[str], *, within: bool) -> Html | None:
    if within:
        target, bar, said = inner.partition("|")
        missing = target not in known
        return a(said if bar else target, href=article_path(target), class_="dim" if missing else None)
    url, _, said = inner.partition(" ")
    return a(said or url, href=url) if url.startswith(SITES) else None
