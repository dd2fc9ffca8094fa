"""Questions over SQL: joins, rows that do not count, medians, and runs of days."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import product
from statistics import median

from environments.environment import JsonObject
from environments.tools.tasks.tables.files import as_csv
from environments.tools.tasks.tables.shop import CATEGORIES, PAID, REGIONS, Import, Shop, open_shop, path_of
from environments.tools.tasks.template import (
    CENTS,
    NAME,
    PLACES,
    WHOLE,
    Question,
    Template,
    apart,
    chance,
    draw,
    near,
    numbered,
    text,
)

KITS = ("sql", "calculator")
TOOLS = ("sql",)
ORDERS = (
    "The database is that of a shop. The table orders has a row for each time that an order was imported: of the rows "
    "with the same order_no only the one with the latest imported_at counts."
)
PRICES = "An item costs price_cents * quantity, less its discount_percent."
COUNT = 12
MARKETS = ("Aster", "Birch", "Cedar", "Dahlia")
DAYS = 366


def _revenue(key: str) -> Question:
    def make(rng: random.Random) -> tuple[Shop, str, str, int, int] | None:
        shop, region, category = open_shop(rng), rng.choice(REGIONS), rng.choice(CATEGORIES)
        quarter = rng.randint(1, 4)
        counted = _spent(shop, shop.orders.values(), region, category, quarter).total()
        careless = _spent(shop, shop.imports, region, category, quarter).total()
        return (shop, region, category, quarter, counted) if 0 < counted != careless else None

    shop, region, category, quarter, cents = draw(chance("revenue", key), make)
    months = ("January to March", "April to June", "July to September", "October to December")[quarter - 1]
    prompt = (
        f"{ORDERS} {PRICES} How many euros did customers of the region {region} pay for products of the category "
        f"{category} in orders with the status {PAID} that were placed from {months} 2024? {CENTS}"
    )
    return _asked(shop.files(), prompt, near(cents / 100, 0.004), 3)


def _best_customer(key: str) -> Question:
    def make(rng: random.Random) -> tuple[Shop, str, str, str] | None:
        shop = open_shop(rng)
        for region, category in rng.sample(list(product(REGIONS, CATEGORIES)), len(REGIONS) * len(CATEGORIES)):
            first, second = _spent(shop, shop.orders.values(), region, category).most_common(2)
            careless = _spent(shop, shop.imports, region, category).most_common(1)[0][0]
            if apart((first[1], second[1])) and careless != first[0]:
                return shop, region, category, first[0]
        return None

    shop, region, category, name = draw(chance("best-customer", key), make)
    prompt = (
        f"{ORDERS} {PRICES} Which customer of the region {region} paid the most for products of the category "
        f"{category}, in orders with the status {PAID}? {NAME}"
    )
    return _asked(shop.files(), prompt, text(name), 3)


def _delivery(key: str) -> Question:
    rng = chance("median-delivery", key)
    shop, region = open_shop(rng), rng.choice(REGIONS)
    sent: dict[int, float] = {}
    for number, moment in sorted(shop.parcels, key=lambda parcel: parcel[1]):
        sent.setdefault(number, (moment - shop.orders[number].placed_at).total_seconds() / 3600)
    waits = [sent[row.order_no] for row in shop.orders.values() if _counts(shop, row, region)]
    prompt = (
        f"{ORDERS} An order is sent in one or more parcels. For orders with the status {PAID} of customers of the "
        f"region {region}, take the time from placed_at to the sent_at of the order's first parcel: how many hours is "
        f"its median? {PLACES}"
    )
    return _asked(shop.files(), prompt, near(median(waits), 0.006), 3)


def _counts(shop: Shop, row: Import, region: str, quarter: int | None = None) -> bool:
    when = quarter is None or (row.placed_at.month + 2) // 3 == quarter
    return row.status == PAID and shop.customers[row.customer_id].region == region and when


def _spent(shop: Shop, rows: Iterable[Import], region: str, category: str, quarter: int | None = None) -> Counter[str]:
    """Cents by customer."""
    found: Counter[str] = Counter()
    buyers: dict[int, list[str]] = {}
    for row in rows:
        if _counts(shop, row, region, quarter):
            buyers.setdefault(row.order_no, []).append(shop.customers[row.customer_id].name)
    for item in shop.items:
        if shop.products[item.product_id].category == category:
            for name in buyers.get(item.order_no, ()):
                found[name] += shop.cents(item)
    return found


def _streak(key: str) -> Question:
    def make(rng: random.Random) -> tuple[Mapping[str, Mapping[date, int]], str, int, int] | None:
        visits = {market: _visits(rng) for market in MARKETS}
        market, least = rng.choice(MARKETS), rng.randint(70, 90)
        runs = sorted(_runs(visits[market], least), key=len, reverse=True)
        return (visits, market, least, sum(runs[0])) if len(runs[0]) > len(runs[1]) else None

    visits, market, least, total = draw(chance("streak", key), make)
    rows = [(day.isoformat(), name, count) for name, days in visits.items() for day, count in days.items()]
    chance("streak-order", key).shuffle(rows)
    prompt = (
        f"The table visits counts the visitors of four markets, day by day in 2024; days on which a market was closed "
        f"have no row. Take the longest run of consecutive calendar days on each of which {market} had at least "
        f"{least} visitors: how many visitors did it have during that run, all together? {WHOLE}"
    )
    return _asked({"visits": as_csv(("day", "market", "visitors"), rows)}, prompt, near(total, 0), 3)


def _visits(rng: random.Random) -> dict[date, int]:
    days = (date(2024, 1, 1) + timedelta(days=number) for number in range(DAYS))
    return {day: rng.randint(50, 250) for day in days if rng.random() > 0.03}


def _runs(visits: Mapping[date, int], least: int) -> list[Sequence[int]]:
    """What was counted on each day of the runs that are asked for."""
    runs: list[list[int]] = [[]]
    for number in range(DAYS):
        count = visits.get(date(2024, 1, 1) + timedelta(days=number), -1)
        if count >= least:
            runs[-1].append(count)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _asked(tables: Mapping[str, bytes], prompt: str, answer: JsonObject, par_calls: int) -> Question:
    return Question(
        prompt,
        answer,
        KITS,
        TOOLS,
        par_calls,
        files={path_of(name): data for name, data in tables.items()},
        public={"sql": {"tables": {name: path_of(name) for name in tables}}},
    )


TEMPLATES = (
    Template("revenue", numbered(COUNT), _revenue),
    Template("best-customer", numbered(COUNT), _best_customer),
    Template("median-delivery", numbered(COUNT), _delivery),
    Template("streak", numbered(COUNT), _streak),
)
