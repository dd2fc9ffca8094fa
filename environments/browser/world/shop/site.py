"""The shop as a site."""

from __future__ import annotations

from environments.browser.web.html import Html, a
from environments.browser.web.routing import Router
from environments.browser.world.look import Brand, search_box
from environments.browser.world.shop import account, browse, cart, checkout
from environments.browser.world.shop.data import HOST
from environments.browser.world.site import Visit, WorldSite, add_login, path


class ShopSite(WorldSite):
    brand = Brand(HOST, "Marn Goods", "#7a3b12", "#fbf3ec", "Marn Goods. Prices include taxes.")
    router = Router()

    def menu(self, visit: Visit) -> list[Html]:
        count = sum(cart.cart_of(self, visit).values())
        categories = [a(each.title, href=path("category", each.slug)) for each in self.world.shop.categories.values()]
        return [
            *categories,
            search_box("/search", "Search the shop"),
            a(f"Cart ({count})", href="/cart"),
            a("Your orders", href="/orders"),
            a("Account", href="/account"),
        ]


for part in (browse.router, cart.router, checkout.router, account.router):
    ShopSite.router.include(part)
add_login(ShopSite.router)
