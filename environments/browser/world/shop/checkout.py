"""From the cart to an order: address and shipping, a last look, and the order itself."""

from __future__ import annotations

from environments.browser.web.forms import facts, field, grid, post, radios, submit
from environments.browser.web.html import a, h1, h2, p
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.look import problem
from environments.browser.world.mail.sending import SHOP, deliver
from environments.browser.world.money import euros
from environments.browser.world.people import Person
from environments.browser.world.shop.cart import cart_of, goods_cents
from environments.browser.world.shop.data import PROCESSING, SHIPPINGS, Address, Draft, Line, Order
from environments.browser.world.site import Visit, WorldSite, path
from environments.browser.world.world import World

router = Router()
NEW = "new"
MAX_FIELD = 100


@router.get("/checkout")
def show_checkout(site: WorldSite, visit: Visit) -> Response:
    visit.need_login()
    if not cart_of(site, visit):
        return Response.redirect("/cart")
    return _checkout_page(site, visit, "")


def _checkout_page(site: WorldSite, visit: Visit, wrong: str) -> Response:
    saved = site.world.shop.addresses.get(visit.need_login().handle, [])
    choices = [(str(number), f"{each.label}: {each.lines}") for number, each in enumerate(saved)]
    form = post(
        "/checkout",
        radios("Deliver to", "address", [*choices, (NEW, "Another address")], visit.form.get("address", "")),
        h2("Another address"),
        p("Only where you chose it above.", class_="dim"),
        [field(text, name, visit.form.get(name, "")) for text, name in ADDRESS_FIELDS],
        radios(
            "Shipping",
            "shipping",
            [(each.key, f"{each.title}: {euros(each.cents)}") for each in SHIPPINGS.values()],
            visit.form.get("shipping", ""),
        ),
        p("Standard shipping is free from €80.00 on.", class_="dim"),
        submit("Review order"),
    )
    return site.page(visit, "Checkout", [h1("Checkout"), problem(wrong), form], 400 if wrong else 200)


ADDRESS_FIELDS = (("Full name", "name"), ("Street and number", "street"), ("Postcode", "postcode"), ("Town", "town"))


def read_address(visit: Visit, label: str) -> Address | None:
    """None for one that lacks something, or is too long."""
    name, street, postcode, town = (" ".join(visit.form.get(name, "").split()) for _, name in ADDRESS_FIELDS)
    if not all((name, street, postcode, town)) or max(map(len, (name, street, postcode, town, label))) > MAX_FIELD:
        return None
    return Address(label, name, street, postcode, town)


@router.post("/checkout")
def take_checkout(site: WorldSite, visit: Visit) -> Response:
    person = visit.need_login()
    shop = site.world.shop
    chosen, shipping = visit.form.get("address", ""), visit.form.get("shipping", "")
    saved = {str(number): each for number, each in enumerate(shop.addresses.get(person.handle, []))}
    address = read_address(visit, "Another address") if chosen == NEW else saved.get(chosen)
    if address is None:
        wrong = "Fill in the whole address." if chosen == NEW else "Choose where to deliver to."
        return _checkout_page(site, visit, wrong)
    if shipping not in SHIPPINGS:
        return _checkout_page(site, visit, "Choose a shipping method.")
    shop.drafts[person.handle] = Draft(address, shipping)
    return Response.redirect("/checkout/review")


def _draft(site: WorldSite, visit: Visit) -> Draft | None:
    draft = site.world.shop.drafts.get(visit.need_login().handle)
    return draft if draft and cart_of(site, visit) else None


@router.get("/checkout/review")
def review(site: WorldSite, visit: Visit) -> Response:
    draft, cart = _draft(site, visit), cart_of(site, visit)
    if draft is None:
        return Response.redirect("/checkout")
    products = site.world.shop.products
    goods = goods_cents(site, cart)
    shipping = SHIPPINGS[draft.shipping]
    rows = [
        (
            products[slug].title,
            quantity,
            euros(products[slug].price_cents),
            euros(products[slug].price_cents * quantity),
        )
        for slug, quantity in cart.items()
    ]
    content = [
        h1("Review your order"),
        grid("Goods", ("Product", "Quantity", "Price", "Sum"), rows),
        facts(
            "Delivery",
            [
                ("Deliver to", draft.address.lines),
                ("Shipping", shipping.title),
                ("Shipping costs", euros(shipping.price(goods))),
                ("Total", euros(goods + shipping.price(goods))),
            ],
        ),
        post("/checkout/place", submit("Place order")),
        p(a("Change address or shipping", href="/checkout")),
    ]
    return site.page(visit, "Review your order", content)


@router.post("/checkout/place")
def place(site: WorldSite, visit: Visit) -> Response:
    person, draft, cart = visit.need_login(), _draft(site, visit), cart_of(site, visit)
    if draft is None:
        return Response.redirect("/checkout")
    shop = site.world.shop
    for slug, quantity in cart.items():
        if shop.products[slug].stock < quantity:
            raise Problem(409, f"There are only {shop.products[slug].stock} of {shop.products[slug].title} in stock.")
    order = _place(site.world, person, draft, cart)
    del shop.carts[visit.visitor], shop.drafts[person.handle]
    return Response.redirect(path("orders", order.number, done="placed"))


def _place(world: World, person: Person, draft: Draft, cart: dict[str, int]) -> Order:
    shop = world.shop
    lines = tuple(
        Line(slug, shop.products[slug].title, quantity, shop.products[slug].price_cents)
        for slug, quantity in cart.items()
    )
    goods = sum(line.quantity * line.price_cents for line in lines)
    order = Order(
        number=shop.next_number(),
        customer=person.handle,
        placed=world.clock.next(),
        lines=lines,
        address=draft.address,
        shipping=draft.shipping,
        shipping_cents=SHIPPINGS[draft.shipping].price(goods),
        state=PROCESSING,
    )
    shop.orders[order.number] = order
    for slug, quantity in cart.items():
        shop.products[slug].stock -= quantity
    deliver(world, SHOP, person.email, f"Your order {order.number}", confirmation(order), order.placed)
    return order


def confirmation(order: Order) -> str:
    """The mail that says that an order has been placed."""
    goods = "\n".join(
        f"{line.quantity} x {line.title}: {euros(line.quantity * line.price_cents)}" for line in order.lines
    )
    return (
        f"Thank you for your order {order.number}.\n\n{goods}\n"
        f"Shipping: {euros(order.shipping_cents)}\nTotal: {euros(order.total_cents)}\n\n"
        f"We deliver to {order.address.lines}.\n\nMarn Goods, http://shop.test/orders/{order.number}"
    )
