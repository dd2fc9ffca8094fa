"""A made up shop's database: customers, products, orders that were imported more than once, items and parcels.

Of an order that was imported several times only the last row counts, and the others say something else: who does not
look pays for it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from environments.tools.tasks.tables.files import FOLDER, as_csv

REGIONS = ("North", "South", "East", "West")
CATEGORIES = ("garden", "kitchen", "office", "sport", "toys")
GIVEN = "Ada Bela Cem Dana Emil Fay Gil Hana Ivo Jana Kofi Lena Milo Nora Omar Pia Quin Rosa Sami Tess".split()
FAMILY = "Abel Brandt Costa Duarte Eklund Farkas Gruber Horvat Ito Jansen Kaya Lopez Moreau Novak Okafor Petrov".split()
CUSTOMERS, PRODUCTS, ORDERS = 80, 30, 500
PAID, OTHER = "paid", ("open", "cancelled", "returned")
BEGIN = datetime(2024, 1, 1)
MINUTES = 366 * 24 * 60
LATE_SHARE = 0.2
"""Of orders that were imported twice."""


@dataclass(frozen=True)
class Customer:
    customer_id: int
    name: str
    region: str


@dataclass(frozen=True)
class Product:
    product_id: int
    title: str
    category: str
    price_cents: int
    """A multiple of 20: with a discount of 5, 10, ... percent it is still whole."""


@dataclass(frozen=True)
class Import:
    """A row of `orders`."""

    order_no: int
    customer_id: int
    placed_at: datetime
    status: str
    imported_at: datetime


@dataclass(frozen=True)
class Item:
    order_no: int
    product_id: int
    quantity: int
    discount_percent: int


@dataclass(frozen=True)
class Shop:
    customers: Mapping[int, Customer]
    products: Mapping[int, Product]
    imports: tuple[Import, ...]
    items: tuple[Item, ...]
    parcels: tuple[tuple[int, datetime], ...]
    """Order and when it was sent; an order may go in several."""

    @cached_property
    def orders(self) -> Mapping[int, Import]:
        """By number, the row that counts."""
        return {row.order_no: row for row in sorted(self.imports, key=lambda row: row.imported_at)}

    def cents(self, item: Item) -> int:
        """What was paid for it."""
        return self.products[item.product_id].price_cents * item.quantity * (100 - item.discount_percent) // 100

    def files(self) -> Mapping[str, bytes]:
        """By the name of the table."""
        customers = [(each.customer_id, each.name, each.region) for each in self.customers.values()]
        products = [(each.product_id, each.title, each.category, each.price_cents) for each in self.products.values()]
        orders = [
            (row.order_no, row.customer_id, _written(row.placed_at), row.status, _written(row.imported_at))
            for row in self.imports
        ]
        items = [(each.order_no, each.product_id, each.quantity, each.discount_percent) for each in self.items]
        parcels = [(number, _written(sent)) for number, sent in self.parcels]
        return {
            "customers": as_csv(("customer_id", "name", "region"), customers),
            "products": as_csv(("product_id", "title", "category", "price_cents"), products),
            "orders": as_csv(("order_no", "customer_id", "placed_at", "status", "imported_at"), orders),
            "items": as_csv(("order_no", "product_id", "quantity", "discount_percent"), items),
            "parcels": as_csv(("order_no", "sent_at"), parcels),
        }


def path_of(table: str) -> str:
    """Where the file of a table is."""
    return f"{FOLDER}/tables/{table}.csv"


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M")


def open_shop(rng: random.Random) -> Shop:
    """Another one for each state of `rng`."""
    names = [f"{given} {family}" for given in GIVEN for family in FAMILY]
    customers = {
        number: Customer(number, name, rng.choice(REGIONS))
        for number, name in enumerate(rng.sample(names, CUSTOMERS), 1)
    }
    products = {
        number: Product(number, f"article {number:03}", rng.choice(CATEGORIES), 20 * rng.randint(20, 900))
        for number in range(1, PRODUCTS + 1)
    }
    imports = [row for number in range(1001, 1001 + ORDERS) for row in _imports(rng, number)]
    items = [item for number in range(1001, 1001 + ORDERS) for item in _items(rng, number)]
    parcels = [(row.order_no, sent) for row in _once(imports) for sent in _parcels(rng, row)]
    for rows in (imports, items, parcels):
        rng.shuffle(rows)
    return Shop(customers, products, tuple(imports), tuple(items), tuple(parcels))


def _imports(rng: random.Random, number: int) -> list[Import]:
    """Of one order. What changes from one to the next is its status alone."""
    placed = BEGIN + timedelta(minutes=rng.randrange(MINUTES))
    imported = placed + timedelta(minutes=rng.randint(30, 900))
    customer = rng.randint(1, CUSTOMERS)
    first = Import(number, customer, placed, _status(rng), imported)
    if rng.random() > LATE_SHARE:
        return [first]
    later = imported + timedelta(minutes=rng.randint(1000, 9000))
    return [first, Import(number, customer, placed, _status(rng), later)]


def _status(rng: random.Random) -> str:
    return PAID if rng.random() < 0.7 else rng.choice(OTHER)


def _items(rng: random.Random, number: int) -> list[Item]:
    chosen = rng.sample(range(1, PRODUCTS + 1), rng.randint(1, 4))
    return [Item(number, product, rng.randint(1, 5), 5 * rng.choice((0, 0, 1, 2, 3, 5))) for product in chosen]


def _once(imports: list[Import]) -> list[Import]:
    return list({row.order_no: row for row in imports}.values())


def _parcels(rng: random.Random, row: Import) -> list[datetime]:
    first = row.placed_at + timedelta(minutes=rng.randint(60, 12_000))
    return [first, *(first + timedelta(minutes=rng.randint(60, 9000)) for _ in range(rng.choice((0, 0, 0, 1, 2))))]
