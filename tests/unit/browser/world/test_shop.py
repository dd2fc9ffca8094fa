"""The shop: finding, ordering, and what can be done with an order."""

from __future__ import annotations

import csv
import io

import pytest

from environments.browser.world.clock import TODAY
from environments.browser.world.money import euros
from environments.browser.world.shop.data import CANCELLED, DELIVERED, PROCESSING, SHIPPED
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HttpBrowser
from tests.unit.browser.world.walking import Click, Fill, Open, Select, do, in_stock


def titles(browser: HttpBrowser) -> list[str]:
    return [lines[0] for lines in browser.page.articles]


def test_a_category_is_filtered_sorted_and_paged(browser: HttpBrowser, world: World) -> None:
    tents = [each for each in world.shop.products.values() if each.category == "tents"]
    page = do(browser, Open("http://shop.test/"), Click("link", "Tents"))
    assert "13 products" in page.text
    assert titles(browser) == sorted(each.title for each in tents)[:6]
    do(browser, Click("link", "Next page"))
    do(browser, Click("link", "Next page"))
    assert titles(browser) == sorted(each.title for each in tents)[12:]
    limit = sorted(each.price_cents for each in tents)[7]
    steps = [Fill("Highest price in euros", euros(limit)), Select("Sort by", "Price, highest first")]
    do(browser, *steps, Click("button", "Apply"))
    cheap = sorted((each for each in tents if each.price_cents <= limit), key=lambda each: -each.price_cents)
    assert "8 products" in browser.page.text
    assert titles(browser) == [each.title for each in cheap][:6]
    do(browser, Click("link", "Next page"))
    assert titles(browser) == [each.title for each in cheap][6:]


def test_filters_are_kept_together(browser: HttpBrowser, world: World) -> None:
    wanted = [
        each
        for each in world.shop.products.values()
        if each.colour == "blue" and each.stock and each.rating >= 3 and "kettle" in each.title
    ]
    do(browser, Open("http://shop.test/search?q=kettle"), Select("Colour", "blue"), Select("Availability", "In stock"))
    do(browser, Select("Rating at least", "3 stars"), Click("button", "Apply"))
    assert titles(browser) == sorted(each.title for each in wanted)


def test_an_order_goes_from_the_cart_to_the_mailbox(at_shop: HttpBrowser, world: World) -> None:
    product = world.shop.products[in_stock(world)]
    before, stock = set(world.shop.orders), product.stock
    do(at_shop, Open(product.url), Fill("Quantity", "2"), Click("button", "Add to cart"))
    assert "Cart (2)" in at_shop.page.text
    work = world.shop.addresses[world.people.you.handle][1]
    do(at_shop, Click("link", "Go to checkout"), Click("radio", f"Work: {work.lines}"))
    page = do(at_shop, Click("radio", "Express (next day): €12.90"), Click("button", "Review order"))
    assert page.facts["Total"] == euros(2 * product.price_cents + 1290)
    assert set(world.shop.orders) == before
    page = do(at_shop, Click("button", "Place order"))
    (number,) = set(world.shop.orders) - before
    order = world.shop.orders[number]
    assert "Your order has been placed" in page.text
    assert page.facts["State"] == PROCESSING
    assert (order.address, order.shipping, order.total_cents) == (work, "express", 2 * product.price_cents + 1290)
    assert [(line.product, line.quantity) for line in order.lines] == [(product.slug, 2)]
    assert product.stock == stock - 2
    assert "Cart (0)" in do(at_shop, Open("http://shop.test/cart")).text
    (mail,) = [each for each in world.mail.in_folder(world.people.you.handle, "Inbox") if number in each.subject]
    assert euros(order.total_cents) in mail.text


def test_another_address_needs_all_of_its_parts(at_shop: HttpBrowser, world: World) -> None:
    do(at_shop, Open(world.shop.products[in_stock(world)].url), Click("button", "Add to cart"))
    do(at_shop, Click("link", "Go to checkout"), Click("radio", "Another address"), Fill("Full name", "A B"))
    do(at_shop, Click("radio", "Pick-up point: €2.50"), Click("button", "Review order"))
    assert "Fill in the whole address." in at_shop.page.text
    do(at_shop, Fill("Street and number", "Elm 1"), Fill("Postcode", "12345"), Fill("Town", "Lindenau"))
    page = do(at_shop, Click("button", "Review order"))
    assert page.facts["Deliver to"] == "A B, Elm 1, 12345 Lindenau"


def test_a_cart_is_changed_and_belongs_to_its_visitor(browser: HttpBrowser, world: World) -> None:
    product = world.shop.products[in_stock(world)]
    do(browser, Open(product.url), Click("button", "Add to cart"), Fill(f"Quantity of {product.title}", "3"))
    page = do(browser, Click("button", f"Change quantity of {product.title}"))
    assert f"Goods: {euros(3 * product.price_cents)}" in page.text
    other = HttpBrowser(browser.web)
    assert "Your cart is empty" in do(other, Open("http://shop.test/cart")).text
    assert "Your cart is empty" in do(browser, Click("button", f"Remove {product.title}")).text


@pytest.mark.parametrize("quantity", ["0", "-1", "x", "1.5", "", "999999999", "²"])
def test_a_quantity_is_a_number_that_is_in_stock(browser: HttpBrowser, world: World, quantity: str) -> None:
    page = do(browser, Open(world.shop.products[in_stock(world)].url), Fill("Quantity", quantity))
    page = do(browser, Click("button", "Add to cart"))
    assert page.title.startswith("Sorry")
    assert not any(world.shop.carts.values())


def test_nobody_orders_more_than_there_is(browser: HttpBrowser, world: World) -> None:
    product = next(each for each in world.shop.products.values() if each.stock == 3)
    do(browser, Open(product.url), Fill("Quantity", "3"), Click("button", "Add to cart"))
    page = do(browser, Open(product.url), Click("button", "Add to cart"))
    assert "There are only 3" in page.text
    none = next(each for each in world.shop.products.values() if not each.stock)
    assert not do(browser, Open(none.url)).offers("button", "Add to cart")


def test_only_an_order_that_waits_is_cancelled(at_shop: HttpBrowser, world: World) -> None:
    orders = world.shop.orders_of(world.people.you.handle)
    waiting = orders[0]
    waiting.state = PROCESSING
    stock = [world.shop.products[line.product].stock for line in waiting.lines]
    page = do(at_shop, Open(f"http://shop.test/orders/{waiting.number}"), Click("button", "Cancel this order"))
    assert page.facts["State"] == CANCELLED
    after = [world.shop.products[line.product].stock for line in waiting.lines]
    assert after == [count + line.quantity for count, line in zip(stock, waiting.lines, strict=True)]
    orders[1].state = SHIPPED
    page = do(at_shop, Open(f"http://shop.test/orders/{orders[1].number}"))
    assert not page.offers("button", "Cancel this order")
    at_shop.visit("POST", f"http://shop.test/orders/{orders[1].number}/cancel")
    assert at_shop.responses[-1].status == 409
    assert orders[1].state == SHIPPED


def test_a_return_is_taken_for_thirty_days(at_shop: HttpBrowser, world: World) -> None:
    done = [each for each in world.shop.orders_of(world.people.you.handle) if each.state == DELIVERED]
    fresh, old = done[0], done[-1]
    fresh.delivered = TODAY
    line = fresh.lines[0]
    do(at_shop, Open(f"http://shop.test/orders/{fresh.number}"), Click("link", f"Return {line.title}"))
    page = do(at_shop, Click("button", "Request return"))
    assert "Choose a reason." in page.text
    page = do(at_shop, Select("Reason", "Wrong size"), Click("button", "Request return"))
    assert fresh.returned == {line.product: "Wrong size"}
    assert "Return requested: Wrong size" in page.text
    assert not do(at_shop, Open(f"http://shop.test/orders/{old.number}")).offers("link", f"Return {old.lines[0].title}")
    at_shop.visit("POST", f"http://shop.test/orders/{old.number}/return/{old.lines[0].product}", b"reason=Wrong+size")
    assert at_shop.responses[-1].status == 409
    assert old.returned == {}


def test_who_has_bought_a_product_reviews_it_once(at_shop: HttpBrowser, world: World) -> None:
    you = world.people.you.handle
    bought = {line.product for each in world.shop.orders_of(you) if each.state == DELIVERED for line in each.lines}
    product = world.shop.products[sorted(bought)[0]]
    written = [Fill("Title", "Meh"), Fill("Your review", "It <b>leaks</b>.")]
    steps = [Click("radio", "2 stars"), *written, Click("button", "Publish review")]
    page = do(at_shop, Open(f"{product.url}/review"), *steps)
    assert product.reviews[0].stars == 2
    assert "It <b>leaks</b>." in page.text
    assert "already" in do(at_shop, Open(f"{product.url}/review"), *steps).text
    all_of_yours = {line.product for each in world.shop.orders_of(you) for line in each.lines}
    other = next(each for each in world.shop.products.values() if each.slug not in all_of_yours)
    count = len(other.reviews)
    assert "Only who has bought" in do(at_shop, Open(f"{other.url}/review"), *steps).text
    assert len(other.reviews) == count


def test_orders_are_their_customers_alone(at_shop: HttpBrowser, world: World) -> None:
    foreign = next(each for each in world.shop.orders.values() if each.customer != world.people.you.handle)
    do(at_shop, Open(f"http://shop.test/orders/{foreign.number}"))
    assert at_shop.responses[-1].status == 404
    at_shop.visit("POST", f"http://shop.test/orders/{foreign.number}/cancel")
    assert at_shop.responses[-1].status == 404


def test_orders_are_downloaded_as_a_table_by_their_customer(at_shop: HttpBrowser, world: World) -> None:
    do(at_shop, Open("http://shop.test/orders"), Click("link", "Download all of them as a table"))
    response = at_shop.responses[-1]
    assert ("content-disposition", 'attachment; filename="orders.csv"') in response.headers
    rows = list(csv.DictReader(io.StringIO(response.body.decode())))
    orders = world.shop.orders_of(world.people.you.handle)
    assert [row["order"] for row in rows] == [order.number for order in orders]
    assert [round(float(row["total"]) * 100) for row in rows] == [order.total_cents for order in orders]
    assert [row["state"] for row in rows] == [order.state for order in orders]
    assert [row["placed_on"] for row in rows] == [str(order.placed.date()) for order in orders]


def test_nobody_downloads_orders_without_an_account(browser: HttpBrowser) -> None:
    page = do(browser, Open("http://shop.test/orders.csv"))
    assert page.offers("button", "Log in")


def test_an_address_is_saved_under_a_label_of_its_own(at_shop: HttpBrowser, world: World) -> None:
    where = {"Full name": "A B", "Street and number": "Elm 1", "Postcode": "1", "Town": "Lindenau", "Label": "Cabin"}
    steps = [*(Fill(*pair) for pair in where.items()), Click("button", "Save address")]
    do(at_shop, Open("http://shop.test/addresses"), *steps)
    labels = [each.label for each in world.shop.addresses[world.people.you.handle]]
    assert labels == ["Home", "Work", "Parents", "Cabin"]
    assert "You have an address with that label." in do(at_shop, *steps).text
