"""Markup, written as calls: `p("Price: ", strong(price))`. Text is escaped by itself; only `Html` is taken as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from typing import Any

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Html(str):
    """Markup that is well formed. Whoever makes one of a text vouches for it."""

    __slots__ = ()


def render(content: Any) -> Html:
    """Of markup, text, numbers, None (nothing), and any nesting of these in lists, tuples and iterators."""
    if isinstance(content, Html):
        return content
    if content is None:
        return Html("")
    if isinstance(content, str):
        return Html(escape(content))
    if isinstance(content, Iterable):
        return Html("".join(map(render, content)))
    return Html(escape(str(content)))


def tag(name: str, /, *content: Any, **attributes: Any) -> Html:
    """Attributes are written as Python takes them: `class_`, `for_`, `aria_label`.

    True is an attribute without a value; None and False leave it out.
    """
    head = f"<{name}{''.join(_attribute(*pair) for pair in attributes.items())}>"
    return Html(head if name in VOID else f"{head}{render(content)}</{name}>")


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    return f" {written}" if value is True else f' {written}="{escape(str(value))}"'


def _element(name: str) -> Callable[..., Html]:
    def element(*content: Any, **attributes: Any) -> Html:
        return tag(name, *content, **attributes)

    return element


a, article, aside, blockquote = map(_element, ("a", "article", "aside", "blockquote"))
button, caption, dd, details, div, dl, dt = map(_element, ("button", "caption", "dd", "details", "div", "dl", "dt"))
em, fieldset, footer, form, h1, h2, h3 = map(_element, ("em", "fieldset", "footer", "form", "h1", "h2", "h3"))
header, input_, label, legend, li, main = map(_element, ("header", "input", "label", "legend", "li", "main"))
nav, ol, option, p, pre, section, select = map(_element, ("nav", "ol", "option", "p", "pre", "section", "select"))
small, span, strong, summary, table = map(_element, ("small", "span", "strong", "summary", "table"))
tbody, td, textarea, th, thead, time, tr, ul = map(
    _element, ("tbody", "td", "textarea", "th", "thead", "time", "tr", "ul")
)
