"""How pages look: one skeleton for all sites, in each one's colours.

The comments `<!--menu-->` and the like stand around the parts of a page, for whoever rearranges it; no text that
anybody wrote can hold one, as it is escaped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from environments.browser.web.forms import get, post, submit
from environments.browser.web.html import Html, a, div, footer, header, input_, li, main, nav, p, render, span, ul
from environments.browser.world.people import Person

STYLE = """
*{box-sizing:border-box}
body{margin:0;font:15px/1.5 "DejaVu Sans",Arial,sans-serif;color:#222;background:#f4f4f2}
a{color:var(--ink)}
.top{background:var(--ink);color:#fff;padding:.6rem 1.2rem;display:flex;gap:1.2rem;align-items:center;flex-wrap:wrap}
.top a{color:#fff;text-decoration:none}
.top .brand{font-size:1.35rem;font-weight:700}
.top nav ul{display:flex;gap:1rem;list-style:none;margin:0;padding:0;flex-wrap:wrap}
.top form{margin:0;display:inline}
.top nav li{display:flex;align-items:center}
main nav ul{display:flex;gap:1rem;list-style:none;padding:0}
.who{margin-left:auto;display:flex;gap:.6rem;align-items:center}
main{max-width:1080px;margin:1rem auto;background:#fff;padding:1rem 1.6rem 2rem;border:1px solid #ddd}
footer{max-width:1080px;margin:0 auto 2rem;color:#777;font-size:.85rem}
h1{font-size:1.5rem;margin:.4rem 0 .8rem}h2{font-size:1.15rem;border-bottom:1px solid #e3e3e3;margin-top:1.6rem}
table{border-collapse:collapse;margin:.6rem 0;width:100%}
caption{text-align:left;color:#666;font-size:.85rem;padding:.2rem 0}
th,td{border-bottom:1px solid #e3e3e3;padding:.35rem .6rem;text-align:left;vertical-align:top}
thead th{background:#f0f0ee}
table.facts{width:auto;min-width:20rem;background:var(--pale)}
.field{margin:.5rem 0}.field label{display:inline-block;min-width:11rem;vertical-align:top}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(230px,1fr));gap:1rem;list-style:none;padding:0}
.cards>li,.post,.review{border:1px solid #ddd;padding:.8rem;background:#fff}
.post{margin:.8rem 0}.post p,.letter{white-space:pre-wrap}.post header{color:#666;font-size:.88rem}.dim{color:#777}
.sides{display:grid;grid-template-columns:230px 1fr;gap:1.6rem}
.picture{height:90px;background:var(--pale);border:1px solid #ddd}
.picture.black{background:#333}.picture.white{background:#fdfdfd}.picture.red{background:#c0453f}
.picture.blue{background:#3f6bc0}.picture.green{background:#4b8f57}.picture.sand{background:#d8c59a}
.price{font-weight:700;font-size:1.1rem}.notice{background:#e9f6e6;border:1px solid #b5d8ae;padding:.5rem .8rem}
.problem{background:#fbe9e7;border:1px solid #e0aaa4;padding:.5rem .8rem}
input,select,textarea{font:inherit;padding:.25rem .4rem}textarea{width:100%}
button{font:inherit;padding:.35rem .9rem;background:var(--ink);color:#fff;border:0;cursor:pointer}
.top button,.quiet button{background:transparent;color:inherit;border:1px solid currentColor;padding:.15rem .6rem}
.unread{font-weight:700}fieldset{border:1px solid #ddd}
body.left{display:grid;grid-template-columns:220px 1fr}body.left .top{flex-direction:column;align-items:flex-start}
body.left .top nav ul{flex-direction:column}body.left main{margin:1rem}body.left footer{grid-column:2}
body.dense{font-size:12.5px}body.dense main{max-width:none;margin:0}
"""
SITES = ("http://shop.test/", "http://forum.test/", "http://wiki.test/", "http://desk.test/", "http://mail.test/")
"""What people write of these is a link; of any other address it is text."""
MAX_QUERY, MAX_WORDS = 200, 20
"""Characters and words of what is looked for: sites search on the server's event loop."""


@dataclass(frozen=True)
class Brand:
    host: str
    name: str
    ink: str
    """The colour of links, buttons and the head."""
    pale: str
    closing: str
    """What stands at the foot of each page."""

    @property
    def origin(self) -> str:
        return f"http://{self.host}"


def style_sheet(brand: Brand) -> str:
    return f":root{{--ink:{brand.ink};--pale:{brand.pale}}}{STYLE}"


def whole_page(brand: Brand, title: str, content: Any, menu: list[Html], person: Person | None) -> str:
    top = header(
        a(brand.name, href="/", class_="brand"),
        Html("<!--menu-->"),
        nav(ul([li(entry) for entry in menu]), aria_label="Main"),
        Html("<!--/menu-->"),
        div(_who(person), class_="who"),
        class_="top",
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{render(title)} - {render(brand.name)}</title>"
        '<link rel="stylesheet" href="/style.css"></head>'
        f'<body class="plain"><!--top-->{top}<!--/top--><!--main-->{main(content, Html("<!--more-->"))}<!--/main-->'
        f"{footer(p(brand.closing))}</body></html>"
    )


def _who(person: Person | None) -> list[Html]:
    if person is None:
        return [a("Log in", href="/login")]
    return [span(f"Logged in as {person.name}"), post("/logout", submit("Log out"))]


def notice(text: str) -> Html | None:
    return p(text, role="status", class_="notice") if text else None


def problem(text: str) -> Html | None:
    return p(text, role="alert", class_="problem") if text else None


def linked(text: str) -> list[Html | str]:
    """With addresses of this world's sites as links."""
    pieces: list[Html | str] = []
    for line in text.split("\n"):
        for word in line.split(" "):
            pieces += [a(word, href=word) if word.startswith(SITES) else word, " "]
        pieces[-1] = "\n"
    return pieces[:-1]


def search_words(query: str) -> list[str]:
    """The words that all occur in what is found, each once. Of a longer query, the beginning counts."""
    return list(dict.fromkeys(query[:MAX_QUERY].casefold().split()))[:MAX_WORDS]


def says(text: str, words: list[str]) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def pager(
    number: int, last: int, address: Callable[[int], str], before: str = "Previous page", after: str = "Next page"
) -> Html:
    """Which page of a list this is, with links to those beside it; `address` says where a page is."""
    links = [
        a(before, href=address(number - 1)) if number > 1 else None,
        span(f"Page {number} of {last}", aria_current="page"),
        a(after, href=address(number + 1)) if number < last else None,
    ]
    return nav(ul([li(link) for link in links if link]), aria_label="Pages")


def search_box(action: str, text: str) -> Html:
    """In the menu: `text` says what is looked for."""
    return get(action, input_(type="search", name="q", aria_label=text), submit("Search"), role="search")
