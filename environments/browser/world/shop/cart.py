"""The cart: by visitor, whether logged in or not."""

from __future__ import annotations

from environments.browser.web.forms import field, grid, hidden, post, submit
from environments.browser.web.html import a, h1, p
from environments.browser.web.messages import Response
from environments.browser.web.routing import Problem, Router
from environments.browser.world.look import notice
from environments.browser.world.money import euros
from environments.browser.world.shop.browse import find_product
from environments.browser.world.shop.data import MAX_QUANTITY, Product
from environments.browser.world.site import Visit, WorldSite, path

router = Router()
DONE = {"added": "Added to your cart.", "changed": "Your cart was changed.", "removed": "Removed from your cart."}


def cart_of(site: WorldSite, visit: Visit) -> dict[str, int]:
    return site.world.shop.carts.get(visit.visitor, {})


def goods_cents(site: WorldSite, cart: dict[str, int]) -> int:
    return sum(site.world.shop.products[slug].price_cents * quantity for slug, quantity in cart.items())


@router.get("/cart")
def show_cart(site: WorldSite, visit: Visit) -> Response:
    shop, cart = site.world.shop, cart_of(site, visit)
    rows = [_row(shop.products[slug], quantity) for slug, quantity in cart.items()]
    if rows:
        content = [
            grid("What is in your cart", ("Product", "Price", "Quantity", "Sum", "Remove"), rows),
            p(f"Goods: {euros(goods_cents(site, cart))}", class_="price"),
            p(a("Go to checkout", href="/checkout")),
        ]
    else:
        content = [p("Your cart is empty.")]
    said = notice(DONE.get(visit.query.get("done", ""), ""))
    return site.page(visit, "Cart", [h1("Your cart"), said, content])


def _row(product: Product, quantity: int) -> tuple[object, ...]:
    quantity_form = post(
        "/cart/update",
        hidden("product", product.slug),
        field(f"Quantity of {product.title}", "quantity", quantity, "number", f"-{product.slug}", min=1),
        submit("Change", aria_label=f"Change quantity of {product.title}"),
    )
    remove_form = post(
        "/cart/remove", hidden("product", product.slug), submit("Remove", aria_label=f"Remove {product.title}")
    )
    link = a(product.title, href=path("product", product.slug))
    return link, euros(product.price_cents), quantity_form, euros(product.price_cents * quantity), remove_form


@router.post("/cart/add")
def add(site: WorldSite, visit: Visit) -> Response:
    slug, quantity = visit.whole_form("product", "quantity")
    product = find_product(site.world.shop, slug)
    before = cart_of(site, visit).get(slug, 0)
    count = _quantity(product, quantity, before)
    site.world.shop.carts.setdefault(visit.remember(), {})[slug] = before + count
    return Response.redirect("/cart?done=added")


@router.post("/cart/update")
def update(site: WorldSite, visit: Visit) -> Response:
    slug, quantity = visit.whole_form("product", "quantity")
    cart = cart_of(site, visit)
    if slug not in cart:
        raise Problem(404, "That is not in your cart.")
    cart[slug] = _quantity(find_product(site.world.shop, slug), quantity)
    return Response.redirect("/cart?done=changed")


@router.post("/cart/remove")
def remove(site: WorldSite, visit: Visit) -> Response:
    (slug,) = visit.whole_form("product")
    if cart_of(site, visit).pop(slug, None) is None:
        raise Problem(404, "That is not in your cart.")
    return Response.redirect("/cart?done=removed")


def _quantity(product: Product, text: str, before: int = 0) -> int:
    """Raises: Problem."""
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) > 0):
        raise Problem(400, "The quantity has to be a whole number from 1 on.")
    if before + int(text) > MAX_QUANTITY:
        raise Problem(400, f"Nobody gets more than {MAX_QUANTITY} of one product.")
    if before + int(text) > product.stock:
        raise Problem(409, f"There are only {product.stock} of {product.title} in stock.")
    return int(text)
