"""Ways that many solutions go: to log in, to page through a list, to buy something."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from environments.browser.world.gold.page import Page
from environments.browser.world.gold.steps import Click, Fill, Open, Select, Walk
from environments.browser.world.money import cents_of

Told = Mapping[str, Any]


def log_in(host: str, told: Told) -> Walk[Page]:
    yield Open(f"http://{host}/login")
    yield Fill("User name", told["user"])
    yield Fill("Password", told["password"])
    return (yield Click("button", "Log in"))


def all_pages(first: Page, onwards: str) -> Walk[list[Page]]:
    """Of a list that goes on behind the link of that name."""
    pages = [first]
    while pages[-1].offers("link", onwards):
        pages.append((yield Click("link", onwards)))
    return pages


def cents(text: str) -> int:
    amount = cents_of(text)
    assert amount is not None, text
    return amount


def number(text: str) -> int:
    """The first word, as a number: of `1500 ml`."""
    return int(text.split()[0])


@dataclass(frozen=True)
class Card:
    """A product in a list of the shop."""

    title: str
    url: str
    cents: int
    stars: float

    @property
    def maker(self) -> str:
        return self.title.split()[0]


def list_products(category: str, filters: Mapping[str, str]) -> Walk[list[Card]]:
    """In the order in which the shop lists them; `filters` says what is set in which field."""
    yield Open("http://shop.test/")
    page = yield Click("link", category)
    for label, value in filters.items():
        yield Fill(label, value) if label == "Highest price in euros" else Select(label, value)
    if filters:
        page = yield Click("button", "Apply")
    pages = yield from all_pages(page, "Next page")
    cards = [(page, lines) for page in pages for lines in page.articles if lines[1].startswith("€")]
    return [_card(page, lines) for page, lines in cards]


def _card(page: Page, lines: list[str]) -> Card:
    stars = lines[2].split()[0]
    return Card(lines[0], page.link(lines[0]), cents(lines[1]), 0.0 if stars == "No" else float(stars))


def find_product(title: str) -> Walk[Page]:
    """Through the shop's search."""
    yield Open("http://shop.test/")
    yield Fill("Search the shop", title)
    page = yield Click("button", "Search")
    return (yield Open(page.link(title)))


def buy(url: str, quantity: int, address: str | Mapping[str, str], shipping: str) -> Walk[Page]:
    """To a saved address, by its label, or to another one, by its fields."""
    yield Open(url)
    yield Fill("Quantity", str(quantity))
    yield Click("button", "Add to cart")
    page = yield Click("link", "Go to checkout")
    if isinstance(address, str):
        yield Click("radio", beginning(page, f"{address}: "))
    else:
        yield Click("radio", "Another address")
        for label, value in address.items():
            yield Fill(label, value)
    yield Click("radio", beginning(page, f"{shipping}: "))
    yield Click("button", "Review order")
    return (yield Click("button", "Place order"))


def beginning(page: Page, text: str) -> str:
    """The one label that begins so."""
    (label,) = [label for label in page.labels if label.startswith(text)]
    return label
