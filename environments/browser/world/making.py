"""A whole world from a seed, and the web that it is seen through."""

from __future__ import annotations

import random

from environments.browser.web.web import Web
from environments.browser.world.clock import Clock
from environments.browser.world.desk.cases import open_cases
from environments.browser.world.desk.site import DeskSite
from environments.browser.world.forum.site import ForumSite
from environments.browser.world.forum.talk import start_talk
from environments.browser.world.lore import make_lore
from environments.browser.world.mail.letters import write_letters
from environments.browser.world.mail.site import MailSite
from environments.browser.world.people import make_people
from environments.browser.world.shop.data import ShopData
from environments.browser.world.shop.goods import CATEGORIES, make_products
from environments.browser.world.shop.history import add_orders, make_addresses
from environments.browser.world.shop.site import ShopSite
from environments.browser.world.wiki.site import WikiSite
from environments.browser.world.wiki.writing import write_articles
from environments.browser.world.world import World


def make_world(seed: str) -> World:
    """The same for the same seed, in every process."""
    rng = random.Random(f"world {seed}")
    people, lore = make_people(rng), make_lore(rng)
    shop = ShopData(
        categories={category.slug: category for category in CATEGORIES},
        products=make_products(rng, people.members),
        orders={},
        addresses={person.handle: make_addresses(rng, person, ("Home",)) for person in people.members},
    )
    shop.addresses[people.you.handle] = make_addresses(rng, people.you, ("Home", "Work", "Parents"))
    add_orders(rng, shop, people.you, people.members)
    return World(
        seed=seed,
        clock=Clock(),
        people=people,
        lore=lore,
        shop=shop,
        wiki=write_articles(rng, lore, shop, people.members),
        forum=start_talk(rng, shop, people.members),
        desk=open_cases(rng, people, shop),
        mail=write_letters(rng, people, shop),
    )


def make_web(world: World) -> Web:
    return Web([site(world) for site in (ShopSite, WikiSite, ForumSite, MailSite, DeskSite)])
