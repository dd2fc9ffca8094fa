"""What agents see of the shop's orders, and how they give money back."""

from __future__ import annotations

from environments.browser.web.forms import facts, field, get, grid, post, submit
from environments.browser.web.html import a, h1, h2, p
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.clock import day
from environments.browser.world.desk.data import Refund
from environments.browser.world.look import notice
from environments.browser.world.mail.sending import SHOP, deliver
from environments.browser.world.money import cents_of, euros
from environments.browser.world.shop.data import CANCELLED, DELIVERED, Order
from environments.browser.world.site import Visit, WorldSite, path

router = Router()
DONE = {"refunded": "The money is on its way."}


@router.get("/orders")
def find(site: WorldSite, visit: Visit) -> Response:
    visit.need_login()
    asked = visit.query.get("number", "").strip()
    if asked in site.world.shop.orders:
        return Response.redirect(path("order", asked))
    content = [
        h1("Find an order"),
        p("There is no order of that number.", role="alert", class_="problem") if asked else None,
        get("/orders", field("Order number", "number", asked), submit("Find")),
    ]
    return site.page(visit, "Find an order", content, 404 if asked else 200)


def _order(site: WorldSite, visit: Visit, number: str) -> Order:
    """Raises: Problem, LoginNeeded."""
    visit.need_login()
    if number not in site.world.shop.orders:
        raise Problem(404, "There is no order of that number.")
    return site.world.shop.orders[number]


@router.get("/order/<number>")
def show(site: WorldSite, visit: Visit, number: str) -> Response:
    order = _order(site, visit, number)
    site.note_seen(f"desk order {number}")
    customer = site.world.people.everybody[order.customer]
    tickets = [each for each in site.world.desk.tickets.values() if each.order == number]
    left = order.total_cents - order.refunded_cents
    content = [
        h1(f"Order {number}"),
        notice(DONE.get(visit.query.get("done", ""), "")),
        facts(
            "Order",
            [
                ("Customer", customer.name),
                ("Placed on", day(order.placed)),
                ("State", order.state),
                ("Total", euros(order.total_cents)),
                ("Refunded", euros(order.refunded_cents)),
            ],
        ),
        grid(
            "Goods",
            ("Product", "Quantity", "Price"),
            [(line.title, line.quantity, euros(line.price_cents)) for line in order.lines],
        ),
        p("Tickets: ", [[a(f"#{each.number}", href=path("ticket", str(each.number))), " "] for each in tickets]),
        h2("Refund"),
        post(path("order", number, "refund"), field("Amount in euros", "amount"), submit("Refund"))
        if left and order.state in (CANCELLED, DELIVERED)
        else p("Nothing can be refunded."),
    ]
    return site.page(visit, f"Order {number}", content)


@router.post("/order/<number>/refund")
def refund(site: WorldSite, visit: Visit, number: str) -> Response:
    order = _order(site, visit, number)
    (amount,) = visit.whole_form("amount")
    cents, person = cents_of(amount), visit.need_login()
    if order.state not in (CANCELLED, DELIVERED):
        raise Problem(409, "Only what was cancelled or delivered can be refunded.")
    if not cents or cents > order.total_cents - order.refunded_cents:
        raise Problem(400, "That is not an amount that is left to refund.")
    order.refunded_cents += cents
    site.world.desk.refunds.append(Refund(number, cents, person.handle))
    to = site.world.people.everybody[order.customer].email
    text = f"We have refunded {euros(cents)} of your order {number}.\n\nMarn Goods"
    deliver(site.world, SHOP, to, f"Refund for order {number}", text, site.world.clock.next())
    return Response.redirect(path("order", number, done="refunded"))
