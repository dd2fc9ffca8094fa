"""What belongs to an account: orders, their cancelling and returning, addresses, reviews."""

from __future__ import annotations

import csv
import io

from environments.browser.web.forms import area, choice, facts, field, grid, post, radios, submit
from environments.browser.web.html import a, h1, h2, li, p, ul
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.clock import TODAY, day
from environments.browser.world.look import notice, pager, problem
from environments.browser.world.mail.sending import SHOP, deliver
from environments.browser.world.money import euros
from environments.browser.world.shop.browse import find_product
from environments.browser.world.shop.checkout import ADDRESS_FIELDS, MAX_FIELD, read_address
from environments.browser.world.shop.data import (
    CANCELLED,
    RETURN_DAYS,
    RETURN_REASONS,
    SHIPPED,
    SHIPPINGS,
    Line,
    Order,
    Review,
)
from environments.browser.world.site import Visit, WorldSite, path

router = Router()
PER_PAGE = 8
MAX_TEXT, MAX_ADDRESSES = 3000, 20
STARS = [(str(count), f"{count} star{'s' * (count > 1)}") for count in range(5, 0, -1)]
DONE = {
    "placed": "Thank you. Your order has been placed.",
    "cancelled": "The order has been cancelled.",
    "returned": "We have noted your return.",
}


@router.get("/account")
def show_account(site: WorldSite, visit: Visit) -> Response:
    person = visit.need_login()
    content = [
        h1("Your account"),
        facts("You", [("Name", person.name), ("Mail", person.email)]),
        ul(li(a("Your orders", href="/orders")), li(a("Your addresses", href="/addresses"))),
    ]
    return site.page(visit, "Account", content)


@router.get("/orders")
def list_orders(site: WorldSite, visit: Visit) -> Response:
    orders = site.world.shop.orders_of(visit.need_login().handle)
    number, last = visit.page_number(), max(1, -(-len(orders) // PER_PAGE))
    if number > last:
        raise Problem(404, "There is no such page of the list.")
    shown = orders[(number - 1) * PER_PAGE : number * PER_PAGE]
    _note_listed(site, shown)
    rows = [
        (
            a(order.number, href=path("orders", order.number)),
            day(order.placed),
            ", ".join(f"{line.quantity} x {line.title}" for line in order.lines),
            euros(order.total_cents),
            order.state,
        )
        for order in shown
    ]
    headers = ("Order", "Placed on", "Goods", "Total", "State")
    content = [
        h1("Your orders"),
        grid("Orders, the newest first", headers, rows),
        pager(number, last, lambda page: path("orders", page=page), "Newer orders", "Older orders"),
        p(a("Download all of them as a table", href="/orders.csv")),
    ]
    return site.page(visit, "Your orders", content)


def _note_listed(site: WorldSite, orders: list[Order]) -> None:
    site.note_seen("shop orders")
    for order in orders:
        site.note_seen(f"shop listed {order.number}")


@router.get("/orders.csv")
def download_orders(site: WorldSite, visit: Visit) -> Response:
    """For programs; whoever only looks finds the same on the pages, and is not shown this."""
    orders = site.world.shop.orders_of(visit.need_login().handle)
    if site.world.reads_files:
        _note_listed(site, orders)
    table = io.StringIO()
    out = csv.writer(table)
    out.writerow(("order", "placed_on", "state", "shipping", "total", "products", "quantities"))
    for order in orders:
        titles = ";".join(line.title for line in order.lines)
        quantities = ";".join(str(line.quantity) for line in order.lines)
        costs = (f"{cents // 100}.{cents % 100:02}" for cents in (order.shipping_cents, order.total_cents))
        out.writerow((order.number, day(order.placed), order.state, *costs, titles, quantities))
    kind = (("content-type", "text/csv; charset=utf-8"), ("content-disposition", 'attachment; filename="orders.csv"'))
    return Response(200, kind, table.getvalue().encode())


def _own_order(site: WorldSite, visit: Visit, number: str) -> Order:
    """Raises: Problem, LoginNeeded."""
    person = visit.need_login()
    order = site.world.shop.orders.get(number)
    if order is None or order.customer != person.handle:
        raise Problem(404, "You have no such order.")
    return order


@router.get("/orders/<number>")
def show_order(site: WorldSite, visit: Visit, number: str) -> Response:
    order = _own_order(site, visit, number)
    site.note_seen(f"shop order {number}")
    site.note_seen(f"shop listed {number}")
    rows = [
        (
            a(line.title, href=path("product", line.product)),
            line.quantity,
            euros(line.price_cents),
            euros(line.quantity * line.price_cents),
            _return_cell(order, line),
        )
        for line in order.lines
    ]
    content = [
        h1(f"Order {order.number}"),
        notice(DONE.get(visit.query.get("done", ""), "")),
        grid("Goods", ("Product", "Quantity", "Price", "Sum", "Return"), rows),
        facts("About this order", _facts(order)),
        post(path("orders", number, "cancel"), submit("Cancel this order")) if order.can_be_cancelled else None,
        p("This order can no longer be cancelled.", class_="dim") if order.state == SHIPPED else None,
    ]
    return site.page(visit, f"Order {order.number}", content)


def _facts(order: Order) -> list[tuple[str, object]]:
    return [
        ("State", order.state),
        ("Placed on", day(order.placed)),
        ("Delivered on", day(order.delivered) if order.delivered else "Not yet"),
        ("Delivered to" if order.delivered else "Deliver to", order.address.lines),
        ("Shipping", SHIPPINGS[order.shipping].title),
        ("Shipping costs", euros(order.shipping_cents)),
        ("Total", euros(order.total_cents)),
        ("Refunded", euros(order.refunded_cents)),
    ]


def _return_cell(order: Order, line: Line) -> object:
    if line.product in order.returned:
        return f"Return requested: {order.returned[line.product]}"
    if order.takes_returns:
        return a(f"Return {line.title}", href=path("orders", order.number, "return", line.product))
    return "Not possible"


@router.post("/orders/<number>/cancel")
def cancel(site: WorldSite, visit: Visit, number: str) -> Response:
    order = _own_order(site, visit, number)
    if not order.can_be_cancelled:
        raise Problem(409, f"Order {number} can no longer be cancelled: it is {order.state.lower()}.")
    order.state = CANCELLED
    for line in order.lines:
        site.world.shop.products[line.product].stock += line.quantity
    text = f"Your order {number} over {euros(order.total_cents)} has been cancelled.\n\nMarn Goods"
    deliver(site.world, SHOP, visit.need_login().email, f"Order {number} cancelled", text, site.world.clock.next())
    return Response.redirect(path("orders", number, done="cancelled"))


@router.get("/orders/<number>/return/<slug>")
def show_return(site: WorldSite, visit: Visit, number: str, slug: str) -> Response:
    order, line = _returnable(site, visit, number, slug)
    return _return_page(site, visit, order, line, "")


def _returnable(site: WorldSite, visit: Visit, number: str, slug: str) -> tuple[Order, Line]:
    """Raises: Problem, LoginNeeded."""
    order = _own_order(site, visit, number)
    line = order.line_of(slug)
    if line is None:
        raise Problem(404, "There is no such product in that order.")
    if not order.takes_returns:
        raise Problem(409, f"Returns are taken within {RETURN_DAYS} days of delivery.")
    if slug in order.returned:
        raise Problem(409, "You have asked for that already.")
    return order, line


def _return_page(site: WorldSite, visit: Visit, order: Order, line: Line, wrong: str) -> Response:
    form = post(
        path("orders", order.number, "return", line.product),
        choice("Reason", "reason", [("", "Choose"), *((reason, reason) for reason in RETURN_REASONS)]),
        submit("Request return"),
    )
    content = [h1(f"Return {line.title}"), p(f"From order {order.number}."), problem(wrong), form]
    return site.page(visit, "Return", content, 400 if wrong else 200)


@router.post("/orders/<number>/return/<slug>")
def take_return(site: WorldSite, visit: Visit, number: str, slug: str) -> Response:
    order, line = _returnable(site, visit, number, slug)
    reason = visit.form.get("reason", "")
    if reason not in RETURN_REASONS:
        return _return_page(site, visit, order, line, "Choose a reason.")
    order.returned[slug] = reason
    return Response.redirect(path("orders", number, done="returned"))


@router.get("/addresses")
def list_addresses(site: WorldSite, visit: Visit) -> Response:
    return _addresses_page(site, visit, "")


def _addresses_page(site: WorldSite, visit: Visit, wrong: str) -> Response:
    saved = site.world.shop.addresses.get(visit.need_login().handle, [])
    rows = [(each.label, each.name, each.street, each.postcode, each.town) for each in saved]
    form = post(
        "/addresses",
        field("Label", "label", visit.form.get("label", "")),
        [field(text, name, visit.form.get(name, "")) for text, name in ADDRESS_FIELDS],
        submit("Save address"),
    )
    content = [
        h1("Your addresses"),
        grid("Saved addresses", ("Label", "Full name", "Street and number", "Postcode", "Town"), rows),
        h2("Add an address"),
        problem(wrong),
        form,
    ]
    return site.page(visit, "Your addresses", content, 400 if wrong else 200)


@router.post("/addresses")
def add_address(site: WorldSite, visit: Visit) -> Response:
    saved = site.world.shop.addresses.setdefault(visit.need_login().handle, [])
    label = " ".join(visit.form.get("label", "").split())
    address = read_address(visit, label)
    if address is None or not label:
        return _addresses_page(site, visit, "Fill in the whole address.")
    if any(each.label == label for each in saved) or len(saved) >= MAX_ADDRESSES:
        return _addresses_page(site, visit, "You have an address with that label.")
    saved.append(address)
    return Response.redirect("/addresses")


@router.get("/product/<slug>/review")
def show_review_form(site: WorldSite, visit: Visit, slug: str) -> Response:
    visit.need_login()
    return _review_page(site, visit, slug, "")


def _review_page(site: WorldSite, visit: Visit, slug: str, wrong: str, status: int = 400) -> Response:
    product = find_product(site.world.shop, slug)
    form = post(
        path("product", slug, "review"),
        radios("Stars", "stars", STARS, visit.form.get("stars", "")),
        field("Title", "title", visit.form.get("title", "")),
        area("Your review", "text", visit.form.get("text", "")),
        submit("Publish review"),
    )  # fmt: skip
    content = [h1(f"Review of {product.title}"), problem(wrong), form]
    return site.page(visit, "Write a review", content, status if wrong else 200)


@router.post("/product/<slug>/review")
def take_review(site: WorldSite, visit: Visit, slug: str) -> Response:
    person = visit.need_login()
    product = find_product(site.world.shop, slug)
    title, text = visit.whole_form("title", "text")
    stars = visit.form.get("stars", "")
    bought = any(order.line_of(slug) and order.state != CANCELLED for order in site.world.shop.orders_of(person.handle))
    if not bought:
        site.note_seen(f"shop refused {slug}")
        return _review_page(site, visit, slug, "Only who has bought a product can review it.", 403)
    if any(review.author == person.handle for review in product.reviews):
        return _review_page(site, visit, slug, "You have reviewed this product already.", 409)
    if stars not in ("1", "2", "3", "4", "5") or not title or not text:
        return _review_page(site, visit, slug, "Choose the stars, and write a title and a text.")
    if len(title) > MAX_FIELD or len(text) > MAX_TEXT:
        return _review_page(site, visit, slug, "That is too long.")
    product.reviews.insert(0, Review(person.handle, int(stars), title, text, TODAY))
    return Response.redirect(path("product", slug, done="reviewed"))
