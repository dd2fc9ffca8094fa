"""Solutions at the shop."""

from __future__ import annotations

from environments.browser.world.gold.page import Page, Row
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Select, Steps, Walk
from environments.browser.world.gold.walks import (
    Card,
    Told,
    all_pages,
    buy,
    cents,
    find_product,
    list_products,
    log_in,
    number,
)

SHOP = "shop.test"
STOCKED = {"Availability": "In stock", "Sort by": "Price, lowest first"}


def order(told: Told) -> Steps:
    yield from log_in(SHOP, told)
    filters = dict(STOCKED)
    if "colour" in told:
        filters["Colour"] = told["colour"]
    if "rating" in told:
        filters["Rating at least"] = f"{told['rating']} stars"
    cards = yield from list_products(told["category"], filters)
    chosen = yield from _first_with(cards, told) if "feature" in told else _first(cards)
    if chosen is None:
        yield Infeasible("Nothing in the shop fits.")
        return
    yield from buy(chosen.url, told["quantity"], told["address"], told["shipping"])
    yield Answer()


def _first(cards: list[Card]) -> Walk[Card | None]:
    return cards[0] if cards else None
    yield  # it takes no step, and is one of those that may


def _first_with(cards: list[Card], told: Told) -> Walk[Card | None]:
    for card in cards:
        page = yield Open(card.url)
        if number(page.facts[told["feature"]]) >= told["least"]:
            return card
    return None


def compare(told: Told) -> Steps:
    filters = {}
    if "maker" in told:
        filters["Maker"] = told["maker"]
    if "most" in told:
        filters["Highest price in euros"] = told["most"]
    cards = yield from list_products(told["category"], filters)
    if "most" in told:
        yield Answer(max(cards, key=lambda card: card.stars).title)
        return
    worth = {}
    for card in cards:
        page = yield Open(card.url)
        worth[card.title] = _worth(page, card, told)
    yield Answer(max(worth, key=lambda title: worth[title]))


def _worth(page: Page, card: Card, told: Told) -> float:
    if "stars" in told:
        return sum(any(line.startswith(f"{told['stars']} out of 5 stars") for line in lines) for lines in page.articles)
    value = number(page.facts[told["feature"]])
    return value if "maker" in told else value / card.cents


def _orders(told: Told) -> Walk[list[Row]]:
    """All of them, the newest first."""
    yield from log_in(SHOP, told)
    page = yield Open("http://shop.test/orders")
    pages = yield from all_pages(page, "Older orders")
    return [row for page in pages for row in page.rows]


def _open_order(row: Row) -> Walk[Page]:
    return (yield Open(f"http://shop.test/orders/{row['Order']}"))


def _goods(row: Row) -> dict[str, int]:
    """How many of what."""
    parts = [part.partition(" x ") for part in row["Goods"].split(", ")]
    return {title: int(count) for count, _, title in parts}


def cancel(told: Told) -> Steps:
    rows = yield from _orders(told)
    waiting = [row for row in rows if row["State"] == "Processing"]
    if "title" in told:
        meant = [row for row in rows if told["title"] in _goods(row)]
    elif "since" in told:
        meant = [row for row in waiting if row["Placed on"] >= told["since"]]
    else:
        meant = [max(waiting, key=lambda row: cents(row["Total"]))]
    for row in meant:
        page = yield from _open_order(row)
        if not page.offers("button", "Cancel this order"):
            yield Infeasible("The order can no longer be cancelled.")
            return
        yield Click("button", "Cancel this order")
    yield Answer()


def spending(told: Told) -> Steps:
    rows = [row for row in (yield from _orders(told)) if row["State"] != "Cancelled"]
    rows = [row for row in rows if told.get("begin", "") <= row["Placed on"] <= told.get("end", "9999")]
    if "makers" in told:
        counts = [count for row in rows for title, count in _goods(row).items() if title.split()[0] in told["makers"]]
        yield Answer(str(sum(counts)))
        return
    titles: set[str] = set()
    if "category" in told:
        titles = {card.title for card in (yield from list_products(told["category"], {}))}
    total = 0
    for row in rows:
        page = yield from _open_order(row)
        if "category" in told:
            total += sum(cents(line["Sum"]) for line in page.rows if line["Product"] in titles)
        else:
            total += cents(page.facts["Total" if "end" in told else "Shipping costs"])
    yield Answer(f"€{total // 100}.{total % 100:02}")


def _by(title: str, maker: str) -> bool:
    return title.startswith(f"{maker} ")


def return_(told: Told) -> Steps:
    rows = yield from _orders(told)
    if "order" in told:
        rows = [row for row in rows if row["Order"] == told["order"]]
    elif "titles" in told:
        rows = [row for row in rows if told["titles"][0] in _goods(row)]
    else:
        rows = yield from _delivered_last(rows)
    titles = [title for title in _goods(rows[0]) if _is_meant(title, told)]
    for title in titles:
        page = yield from _open_order(rows[0])
        if not page.offers("link", f"Return {title}"):
            yield Infeasible("It is too late for a return.")
            return
        yield Click("link", f"Return {title}")
        yield Select("Reason", told["reason"])
        yield Click("button", "Request return")
    yield Answer()


def _delivered_last(rows: list[Row]) -> Walk[list[Row]]:
    dated = []
    for row in rows:
        if row["State"] == "Delivered":
            page = yield from _open_order(row)
            dated.append((page.facts["Delivered on"], row["Order"], row))
    return [max(dated, key=lambda each: each[:2])[2]]


def _is_meant(title: str, told: Told) -> bool:
    if "maker" in told:
        return _by(title, told["maker"])
    return "titles" not in told or title in told["titles"]


def review(told: Told) -> Steps:
    rows = yield from _orders(told)
    if "product" in told:
        title = told["product"]
    elif "order" in told:
        page = yield from _open_order({"Order": told["order"]})
        title = max(page.rows, key=lambda row: cents(row["Price"]))["Product"]
    else:
        titles = {card.title for card in (yield from list_products(told["category"], {}))}
        title = next(title for row in rows for title in _goods(row) if title in titles)
    page = yield from find_product(title)
    yield Click("link", "Write a review")
    yield from _write(told)
    page = yield Click("button", "Publish review")
    if "Only who has bought" in page.text:
        yield Infeasible("The product was never bought.")
    yield Answer()


def _write(told: Told) -> Walk[None]:
    stars = told["stars"]
    yield Click("radio", f"{stars} star{'s' * (stars > 1)}")
    yield Fill("Title", told["title"])
    yield Fill("Your review", told["text"])
