"""Errands among the shop's goods: to order the one that fits, to find the one that is asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from environments.browser.world import answers
from environments.browser.world.lore import MAKERS
from environments.browser.world.money import euros
from environments.browser.world.shop.data import SHIPPINGS, Address, Category, Order, Product
from environments.browser.world.shop.goods import COLOURS
from environments.browser.world.tasks.template import (
    MISSING,
    Errand,
    New,
    Template,
    Twins,
    Ways,
    account,
    all_of,
    first_of,
    login,
    pick,
    write,
)
from environments.browser.world.world import World

SHOP = "shop.test"
NAME = "Answer with the full name of the product alone."


# Orders


def ordered(products: Mapping[str, int], address: Address, shipping: str) -> New:
    """One order of exactly these goods."""
    return New(
        "order ",
        {
            "ordered the right goods": lambda order: _goods(order) == products,
            "to the right address": lambda order: order.address.lines == address.lines,
            "by the right shipping": lambda order: order.shipping == shipping,
        },
    )


def _goods(order: Order) -> dict[str, int]:
    return {line.product: line.quantity for line in order.lines}


def _order(world: World, rng: random.Random, wish: str, told: Mapping[str, Any], right: Product) -> Errand:
    you = world.people.you
    address, shipping = rng.choice(world.shop.addresses[you.handle]), rng.choice(list(SHIPPINGS.values()))
    quantity = rng.randint(1, 3)  # what is in stock at all is so three times
    prompt = write(
        f"At shop.test, order {quantity} piece{'s' * (quantity > 1)} of {wish}. Have it delivered to your saved "
        f"address {address.label!r}, by the shipping method {shipping.title!r}.",
        account(you, SHOP),
    )
    deeds = {"quantity": quantity, "address": address.label, "shipping": shipping.title, **login(you), **told}
    return Errand(
        prompt,
        deeds,
        new=(ordered({right.slug: quantity}, address, shipping.key),),
        milestones={f"shop product {right.slug}": "saw the right product"},
    )


def _cheapest(products: list[Product]) -> Product | None:
    return min(products, key=lambda product: product.price_cents, default=None)


def _of(world: World, category: Category) -> list[Product]:
    return [product for product in world.shop.products.values() if product.category == category.slug]


def _categories(world: World) -> list[Category]:
    return list(world.shop.categories.values())


def _in_colours(world: World) -> list[tuple[Category, str, list[Product]]]:
    """What there is of each category in each colour."""
    return [
        (category, colour, [product for product in _of(world, category) if product.colour == colour])
        for category in _categories(world)
        for colour in COLOURS
    ]


def _cheapest_in(category: Category, colour: str) -> str:
    return f"the cheapest {colour} product in the category {category.title} that is in stock"


def _colour(world: World, rng: random.Random) -> Errand | None:
    """The cheapest one is out of stock as often as not; in another colour there is a cheaper one."""
    first = rng.random() < 0.5

    def make(option: tuple[Category, str, list[Product]]) -> Errand | None:
        category, colour, fitting = option
        right = _cheapest([product for product in fitting if product.stock])
        if right is None or (_cheapest(fitting) is right) != first:
            return None
        if _cheapest([product for product in _of(world, category) if product.stock]) is right:
            return None
        told = {"category": category.title, "colour": colour}
        return _order(world, rng, _cheapest_in(category, colour), told, right)

    return first_of(rng, _in_colours(world), make)


def _rating(world: World, rng: random.Random) -> Errand | None:
    """A cheaper one is rated worse."""

    def make(category: Category) -> Errand | None:
        stocked = [product for product in _of(world, category) if product.stock]
        right = _cheapest([product for product in stocked if product.rating >= 4])
        if right is None or _cheapest(stocked) is right:
            return None
        wish = f"the cheapest product in the category {category.title} that is in stock and rated 4 stars or better"
        return _order(world, rng, wish, {"category": category.title, "rating": 4}, right)

    return first_of(rng, _categories(world), make)


def _feature(world: World, rng: random.Random) -> Errand | None:
    """What has to be opened product by product. A cheaper one has less."""

    def make(category: Category) -> Errand | None:
        feature = category.features[0]
        least = rng.choice(feature.values[1:])
        stocked = [product for product in _of(world, category) if product.stock]
        right = _cheapest([product for product in stocked if product.features[feature.name] >= least])
        if right is None or _cheapest(stocked) is right:
            return None
        wish = (
            f"the cheapest product in the category {category.title} that is in stock and for which the shop gives "
            f"{feature.name!r} as {least} {feature.unit} or more"
        )
        return _order(world, rng, wish, {"category": category.title, "feature": feature.name, "least": least}, right)

    return first_of(rng, _categories(world), make)


def _nothing(world: World, rng: random.Random) -> Errand | None:
    """There are some in that colour, but each is out of stock."""

    def make(option: tuple[Category, str, list[Product]]) -> Errand | None:
        category, colour, fitting = option
        if not fitting or any(product.stock for product in fitting):
            return None
        told = {"category": category.title, "colour": colour}
        errand = _order(world, rng, _cheapest_in(category, colour), told, fitting[0])
        listed = all_of(*(f"shop listed {product.slug}" for product in _of(world, category)))
        sought = replace(fitting[0], slug="", title=category.noun, maker="", stock=1, reviews=[])
        return Errand(errand.prompt, errand.told, looked=MISSING + listed, infeasible=True, sought=sought)

    return first_of(rng, _in_colours(world), make)


ORDER = Template(
    "order",
    "Order what fits the conditions, as asked.",
    (SHOP,),
    (_colour, _rating, _feature, Twins(_colour, _nothing)),
)


# Comparisons


def _named(question: str, told: Mapping[str, Any], ranked: list[Product], category: Category, looked: Ways) -> Errand:
    """The first is right, the second is what one comes to who overlooks something."""
    right, decoy = ranked
    return Errand(
        write(question, NAME),
        told,
        answer=answers.product(right.title, category.noun),
        decoys=(decoy.title,),
        milestones={f"shop category {category.slug}": "saw the category"},
        looked=looked,
    )


def _opened(right: Product, others: list[Product]) -> Ways:
    """What is asked for stands on their own pages alone."""
    return _compared("product", right, others)


def _compared(shown: str, right: Product, others: list[Product]) -> Ways:
    """It, and at least one other to compare it with."""
    marks = [f"shop {shown} {each.slug}" for each in others if each is not right]
    return tuple(frozenset({f"shop {shown} {right.slug}", mark}) for mark in marks)


def _best(products: list[Product], value: Callable[[Product], Any]) -> Product | None:
    """The one with the highest value; None where two have it."""
    ranked = sorted(products, key=value, reverse=True)
    if not ranked or (len(ranked) > 1 and value(ranked[0]) == value(ranked[1])):
        return None
    return ranked[0]


def _most_of_maker(world: World, rng: random.Random) -> Errand | None:
    """Among all makers another one has more."""

    def make(option: tuple[Category, str]) -> Errand | None:
        category, maker = option
        feature = rng.choice(category.features)
        own = [product for product in _of(world, category) if product.maker == maker]
        right = _best(own, lambda product: product.features[feature.name])
        decoy = max(_of(world, category), key=lambda product: product.features[feature.name])
        if right is None or len(own) < 3 or decoy.maker == maker:
            return None
        question = (
            f"At shop.test, for which product by {maker} in the category {category.title} does the shop give the "
            f"highest number as {feature.name!r}?"
        )
        told = {"category": category.title, "maker": maker, "feature": feature.name}
        return _named(question, told, [right, decoy], category, _opened(right, own))

    return first_of(rng, [(category, maker) for category in _categories(world) for maker in MAKERS], make)


def _best_rated(world: World, rng: random.Random) -> Errand | None:
    """The best one of all costs more."""

    def make(category: Category) -> Errand | None:
        prices = sorted(product.price_cents for product in _of(world, category))
        limit = prices[rng.randint(5, 9)]
        cheap = [product for product in _of(world, category) if product.price_cents <= limit]
        right = _best(cheap, lambda product: product.rating)
        decoy = max(_of(world, category), key=lambda product: product.rating)
        if right is None or not right.rating or decoy.price_cents <= limit:
            return None
        question = (
            f"At shop.test, which product in the category {category.title} has the best rating of those that cost "
            f"{euros(limit)} at most?"
        )
        told = {"category": category.title, "most": euros(limit)}
        return _named(question, told, [right, decoy], category, _compared("listed", right, cheap))

    return first_of(rng, _categories(world), make)


BARGAINS = {
    "tents": "each person that it sleeps (its price divided by the number given as 'Sleeps')",
    "backpacks": "each litre (its price divided by the number given as 'Volume')",
    "kettles": "each millilitre (its price divided by the number given as 'Capacity')",
}


def _per_unit(world: World, rng: random.Random) -> Errand | None:
    """The cheapest one is not the best bargain, and the largest one is as often as not."""
    largest = rng.random() < 0.5

    def make(slug: str) -> Errand | None:
        category = world.shop.categories[slug]
        feature = category.features[0]

        def price(product: Product) -> float:
            return product.price_cents / product.features[feature.name]

        ranked = sorted(_of(world, category), key=price)
        decoy = _cheapest(ranked)
        if decoy is None or ranked[0] is decoy or price(ranked[1]) < 1.03 * price(ranked[0]):
            return None
        most = max(product.features[feature.name] for product in ranked)
        if (ranked[0].features[feature.name] == most) != largest:
            return None
        told = {"category": category.title, "feature": feature.name}
        question = f"At shop.test, which product in the category {category.title} costs least for {BARGAINS[slug]}?"
        return _named(question, told, [ranked[0], decoy], category, _opened(ranked[0], ranked))

    return first_of(rng, list(BARGAINS), make)


def _worst_reviews(world: World, rng: random.Random) -> Errand | None:
    """Another one has more reviews altogether."""

    def make(option: tuple[Category, int]) -> Errand | None:
        category, stars = option

        def count(product: Product) -> int:
            return sum(review.stars == stars for review in product.reviews)

        right = _best(_of(world, category), count)
        decoy = pick(rng, [each for each in _of(world, category) if right and len(each.reviews) > len(right.reviews)])
        if right is None or decoy is None or count(right) < 2:
            return None
        question = f"At shop.test, which product in the category {category.title} has the most {stars}-star reviews?"
        told = {"category": category.title, "stars": stars}
        return _named(question, told, [right, decoy], category, _opened(right, _of(world, category)))

    return first_of(rng, [(category, stars) for category in _categories(world) for stars in (1, 2, 5)], make)


COMPARE = Template(
    "compare",
    "Find the product that is best in one respect.",
    (SHOP,),
    (_most_of_maker, _best_rated, _per_unit, _worst_reviews),
)
