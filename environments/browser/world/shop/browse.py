"""Looking around in the shop: the front page, categories, search, products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from environments.browser.web.forms import choice, facts, field, get, hidden, post, submit
from environments.browser.web.html import (
    Html,
    a,
    article,
    aside,
    div,
    h1,
    h2,
    h3,
    header,
    li,
    p,
    section,
    ul,
)
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.clock import day
from environments.browser.world.look import notice, pager, says, search_words
from environments.browser.world.money import cents_of, euros
from environments.browser.world.shop.data import MAX_QUANTITY, Product, Review, ShopData
from environments.browser.world.shop.goods import COLOURS
from environments.browser.world.site import Visit, WorldSite, path
from environments.browser.world.wiki.data import article_url

router = Router()
PER_PAGE = 6
RATINGS = [("", "Any"), ("2", "2 stars"), ("3", "3 stars"), ("4", "4 stars")]
SORTS: Mapping[str, tuple[str, Callable[[Product], Any]]] = {
    "name": ("Name", lambda product: product.title),
    "cheap": ("Price, lowest first", lambda product: (product.price_cents, product.title)),
    "dear": ("Price, highest first", lambda product: (-product.price_cents, product.title)),
    "rating": ("Rating, best first", lambda product: (-product.rating, product.title)),
    "new": ("Newest first", lambda product: (-product.added.toordinal(), product.title)),
}
FILTERS = ("q", "maker", "colour", "max", "rating", "stock")
DONE = {"reviewed": "Thank you for your review."}


@router.get("/")
def front(site: WorldSite, visit: Visit) -> Response:
    shop = site.world.shop
    newest = sorted(shop.products.values(), key=SORTS["new"][1])[:4]
    content = [
        h1("Welcome to Marn Goods"),
        p("Everything for kitchen, desk and the road. Standard shipping is free from €80.00."),
        h2("Categories"),
        ul([li(a(each.title, href=path("category", each.slug))) for each in shop.categories.values()]),
        h2("New in the shop"),
        _cards(site, newest),
    ]
    return site.page(visit, "Start", content)


@router.get("/category/<slug>")
def show_category(site: WorldSite, visit: Visit, slug: str) -> Response:
    category = site.world.shop.categories.get(slug)
    if category is None:
        raise Problem(404, "There is no such category.")
    listing = _listing(site, visit, category.title, lambda product: product.category == slug)
    site.note_seen(f"shop category {slug}")
    return listing


@router.get("/search")
def search(site: WorldSite, visit: Visit) -> Response:
    wanted = search_words(visit.query.get("q", ""))
    title = f"Results for “{visit.query['q']}”" if wanted else "Everything"
    return _listing(site, visit, title, lambda product: _says(product, wanted))


def _says(product: Product, wanted: list[str]) -> bool:
    return says(f"{product.title} {product.category} {product.colour}", wanted)


def _listing(site: WorldSite, visit: Visit, title: str, belongs: Callable[[Product], bool]) -> Response:
    asked = {name: visit.query.get(name, "") for name in (*FILTERS, "sort")}
    found = [product for product in site.world.shop.products.values() if belongs(product)]
    fitting = [product for product in found if _passes(product, asked)]
    fitting.sort(key=SORTS.get(asked["sort"], SORTS["name"])[1])
    number, last = visit.page_number(), max(1, -(-len(fitting) // PER_PAGE))
    if number > last:
        raise Problem(404, "There is no such page of the list.")
    shown = fitting[(number - 1) * PER_PAGE : number * PER_PAGE]

    def page_address(page: int) -> str:
        return visit.request.path + path(**asked, page=page).removeprefix("/")

    site.note_page(Product, lambda sought: belongs(sought) and _passes(sought, asked), page_address(1), number, last)

    content = div(
        aside(h2("Filter"), _filter_form(visit.request.path, found, asked), aria_label="Filter"),
        section(
            h1(title),
            p(f"{len(fitting)} products" if len(fitting) != 1 else "1 product", class_="dim"),
            _cards(site, shown) if shown else p("Nothing fits. Take some filters away."),
            pager(number, last, page_address) if last > 1 else None,
        ),
        class_="sides",
    )
    return site.page(visit, title, content)


def _filter_form(action: str, found: list[Product], asked: Mapping[str, str]) -> Html:
    makers = sorted({product.maker for product in found})
    return get(
        action,
        hidden("q", asked["q"]) if asked["q"] else None,
        choice("Maker", "maker", [("", "Any"), *((maker, maker) for maker in makers)], asked["maker"]),
        choice("Colour", "colour", [("", "Any"), *((colour, colour) for colour in COLOURS)], asked["colour"]),
        field("Highest price in euros", "max", asked["max"], inputmode="decimal"),
        choice("Rating at least", "rating", RATINGS, asked["rating"]),
        choice("Availability", "stock", [("", "All"), ("yes", "In stock")], asked["stock"]),
        choice("Sort by", "sort", [(key, said) for key, (said, _) in SORTS.items()], asked["sort"]),
        submit("Apply"),
    )  # fmt: skip


def _passes(product: Product, asked: Mapping[str, str]) -> bool:
    """Raises: Problem for a filter that is none."""
    most = cents_of(asked["max"]) if asked["max"].strip() else None
    if asked["max"].strip() and most is None:
        raise Problem(400, "The highest price is not an amount.")
    if asked["rating"] not in ("", "2", "3", "4"):
        raise Problem(400, "There is no such rating.")
    return (
        asked["maker"] in ("", product.maker)
        and asked["colour"] in ("", product.colour)
        and (most is None or product.price_cents <= most)
        and product.rating >= int(asked["rating"] or 0)
        and (asked["stock"] != "yes" or product.stock > 0)
    )


def _cards(site: WorldSite, products: list[Product]) -> Html:
    for product in products:
        site.note_seen(f"shop listed {product.slug}")
    return ul([li(_card(product)) for product in products], class_="cards")


def _card(product: Product) -> Html:
    return article(
        div(class_=f"picture {product.colour}"),
        h3(a(product.title, href=path("product", product.slug))),
        p(euros(product.price_cents), class_="price"),
        p(rating(product), class_="dim"),
        p(f"Colour: {product.colour}"),
        p("In stock" if product.stock else "Out of stock"),
    )


def rating(product: Product) -> str:
    count = len(product.reviews)
    return f"{stars(product.rating)} out of 5 ({count} review{'s' * (count != 1)})" if count else "No reviews yet"


def stars(value: Fraction) -> str:
    return f"{float(value):.1f}"


def find_product(shop: ShopData, slug: str) -> Product:
    """Raises: Problem."""
    product = shop.products.get(slug)
    if product is None:
        raise Problem(404, "There is no such product.")
    return product


@router.get("/product/<slug>")
def show_product(site: WorldSite, visit: Visit, slug: str) -> Response:
    shop = site.world.shop
    product = find_product(shop, slug)
    category = shop.categories[product.category]
    site.note_seen(f"shop product {slug}")
    site.note_seen(f"shop listed {slug}")
    units = {feature.name: feature.unit for feature in category.features}
    content = [
        notice(DONE.get(visit.query.get("done", ""), "")),
        p(a(category.title, href=path("category", category.slug))),
        h1(product.title),
        div(class_=f"picture {product.colour}"),
        p(euros(product.price_cents), class_="price"),
        p(rating(product)),
        facts(
            "Details",
            [
                ("Maker", a(product.maker, href=article_url(product.maker))),
                ("Colour", product.colour),
                *((name, f"{value} {units[name]}") for name, value in product.features.items()),
                ("In the shop since", day(product.added)),
                ("Availability", f"{product.stock} in stock" if product.stock else "Out of stock"),
            ],
        ),
        _add_form(product),
        h2("Reviews"),
        p(a("Write a review", href=path("product", slug, "review"))),
        [_review(site, review) for review in product.reviews] or p("Nobody has written one yet."),
    ]
    return site.page(visit, product.title, content)


def _add_form(product: Product) -> Html | None:
    if not product.stock:
        return None
    return post(
        "/cart/add",
        hidden("product", product.slug),
        field("Quantity", "quantity", 1, "number", min=1, max=min(product.stock, MAX_QUANTITY)),
        submit("Add to cart"),
    )


def _review(site: WorldSite, review: Review) -> Html:
    author = site.world.people.everybody[review.author].name
    return article(
        header(h3(review.title), p(f"{review.stars} out of 5 stars, by {author} on {day(review.day)}", class_="dim")),
        p(review.text),
        class_="review",
    )
