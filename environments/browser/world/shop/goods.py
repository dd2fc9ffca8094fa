"""What the shop sells, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from environments.browser.world.clock import days_ago
from environments.browser.world.lore import MAKERS
from environments.browser.world.people import Person
from environments.browser.world.shop.data import Category, Feature, Product, Review

COLOURS = ("black", "white", "red", "blue", "green", "sand")
MODELS = (
    "Arc Bolt Cirrus Dune Echo Flint Grove Halo Iris Jetty Koto Lumen Mica Nova Orbit Pike Quill Ridge Slate Terra "
    "Umbra Vista Wren Xylo Yarrow Zephyr"
).split()
PER_CATEGORY = 13
CATEGORIES = (
    Category(
        "kettles", "Kettles", "kettle",
        (Feature("Capacity", "ml", (800, 1000, 1200, 1500, 2000)), Feature("Power", "W", (1200, 1800, 2200, 3000))),
        (19, 120),
    ),
    Category(
        "lamps", "Desk lamps", "desk lamp",
        (Feature("Brightness", "lm", (300, 450, 600, 800, 1100)), Feature("Height", "cm", (28, 35, 42, 50, 61))),
        (15, 180),
    ),
    Category(
        "backpacks", "Backpacks", "backpack",
        (Feature("Volume", "l", (15, 20, 25, 30, 40, 55)), Feature("Weight", "g", (480, 700, 950, 1300, 1700))),
        (29, 210),
    ),
    Category(
        "headphones", "Headphones", "headphones",
        (Feature("Battery life", "h", (12, 18, 24, 30, 45, 60)), Feature("Weight", "g", (140, 190, 230, 280))),
        (25, 320),
    ),
    Category(
        "tents", "Tents", "tent",
        (Feature("Sleeps", "people", (1, 2, 3, 4, 6)), Feature("Weight", "g", (1200, 1900, 2600, 4100, 6500))),
        (79, 520),
    ),
    Category(
        "toasters", "Toasters", "toaster",
        (Feature("Slots", "slices", (1, 2, 4)), Feature("Power", "W", (700, 900, 1100, 1500))),
        (18, 110),
    ),
)  # fmt: skip
PRAISE = ("Just right", "Would buy again", "Very happy", "Better than expected", "Solid piece")
BLAME = ("Disappointed", "Broke too soon", "Not for me", "Overpriced", "Sent it back")
MIXED = ("It is fine", "Does the job", "Nothing special", "Good with flaws")
REMARKS = (
    "Arrived well packed and a day early.",
    "The finish could be better for the price.",
    "I use it every day and it has not let me down.",
    "The manual is hard to follow.",
    "My sister has the larger one and likes it too.",
    "Lighter than the one I had before.",
    "After three weeks a part came loose.",
    "Looks exactly like the pictures.",
    "Customer service answered within a day.",
    "It makes a faint noise that I got used to.",
)


def make_products(rng: random.Random, people: Sequence[Person]) -> dict[str, Product]:
    """In each category prices differ, and no maker has two of one model name."""
    products = [product for category in CATEGORIES for product in _in_category(rng, category)]
    for product in products:
        for person in rng.sample(people, rng.choice((0, 1, 2, 3, 3, 4, 5, 6))):
            product.reviews.append(_review(rng, person))
        product.reviews.sort(key=lambda review: (review.day, review.author), reverse=True)
    return {product.slug: product for product in products}


def _in_category(rng: random.Random, category: Category) -> list[Product]:
    models = rng.sample(MODELS, PER_CATEGORY)
    makers = rng.sample(MAKERS, 5)
    low, high = category.price_euros
    prices = rng.sample(range(low, high), PER_CATEGORY)
    return [_product(rng, category, rng.choice(makers), *pair) for pair in zip(models, prices, strict=True)]


def _product(rng: random.Random, category: Category, maker: str, model: str, price: int) -> Product:
    number = rng.choice((10, 20, 100, 200, 300, 500, 700))
    title = f"{maker} {model} {number} {category.noun}"
    return Product(
        slug=title.lower().replace(" ", "-"),
        title=title,
        category=category.slug,
        maker=maker,
        price_cents=price * 100 + rng.choice((0, 49, 90, 95, 99)),
        colour=rng.choice(COLOURS),
        features={feature.name: rng.choice(feature.values) for feature in category.features},
        stock=rng.choice((0, 3, 5, 8, 12, 20, 40)),
        added=days_ago(rng.randint(20, 900)),
    )


def _review(rng: random.Random, person: Person) -> Review:
    stars = rng.choice((1, 2, 3, 3, 4, 4, 4, 5, 5, 5))
    title = rng.choice(BLAME if stars < 3 else MIXED if stars == 3 else PRAISE)
    return Review(person.handle, stars, title, " ".join(rng.sample(REMARKS, 2)), days_ago(rng.randint(3, 400)))
