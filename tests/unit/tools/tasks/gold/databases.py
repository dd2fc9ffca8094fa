"""Databases: one query each, which lets only the rows count that do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from tests.unit.tools.tasks.gold.desk import Desk, Policy

LATEST = """
WITH ranked AS (
    SELECT *, row_number() OVER (PARTITION BY order_no ORDER BY imported_at DESC) AS place FROM orders
), counted AS (SELECT ranked.*, name, region FROM ranked JOIN customers USING (customer_id) WHERE place = 1)
"""
COST = "price_cents * quantity * (100 - discount_percent) / 100.0"
QUARTERS = {"January": "01 03", "April": "04 06", "July": "07 09", "October": "10 12"}


async def rows(desk: Desk, query: str) -> list[list[str]]:
    """The cells of a text table."""
    observation = await desk.use("sql", query=query)
    desk.cited.append(observation["number"])
    lines = observation["content"].splitlines()[2:]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines if not line.startswith("(")]


async def _revenue(desk: Desk) -> str:
    await desk.say("tables")
    region, category, first = desk.asked(r"region (\w+) pay .* category (\w+) .* placed from (\w+) to")
    begin, end = QUARTERS[first].split()
    ((cents,),) = await rows(
        desk,
        f"{LATEST} SELECT sum({COST}) FROM counted JOIN items USING (order_no) JOIN products USING (product_id) "
        f"WHERE region = '{region}' AND category = '{category}' AND status = 'paid' "
        f"AND substr(placed_at, 1, 7) BETWEEN '2024-{begin}' AND '2024-{end}'",
    )
    return desk.conclude(f"{float(cents) / 100:.2f}")


async def _best_customer(desk: Desk) -> str:
    region, category = desk.asked(r"region (\w+) paid the most .* category (\w+), in")
    ((name, _),) = await rows(
        desk,
        f"{LATEST} SELECT name, sum({COST}) AS spent FROM counted JOIN items USING (order_no) "
        f"JOIN products USING (product_id) WHERE region = '{region}' AND category = '{category}' AND status = 'paid' "
        "GROUP BY customer_id ORDER BY spent DESC LIMIT 1",
    )
    return desk.conclude(name)


async def _delivery(desk: Desk) -> str:
    (region,) = desk.asked(r"customers of the region (\w+), take")
    ((hours,),) = await rows(
        desk,
        f"{LATEST}, first AS (SELECT order_no, min(sent_at) AS sent_at FROM parcels GROUP BY order_no), "
        "waits AS (SELECT (julianday(sent_at) - julianday(placed_at)) * 24 AS hours FROM counted JOIN first "
        f"USING (order_no) WHERE region = '{region}' AND status = 'paid'), "
        "placed AS (SELECT hours, row_number() OVER (ORDER BY hours) AS place, count(*) OVER () AS n FROM waits) "
        "SELECT avg(hours) FROM placed WHERE place IN ((n + 1) / 2, (n + 2) / 2)",
    )
    return desk.conclude(f"{float(hours):.3f}")


async def _streak(desk: Desk) -> str:
    market, least = desk.asked(r"each of which (\w+) had at least (\d+)")
    found = await rows(
        desk,
        "WITH good AS (SELECT day, visitors, julianday(day) - row_number() OVER (ORDER BY day) AS run FROM visits "
        f"WHERE market = '{market}' AND visitors >= {least}) "
        "SELECT count(*) AS days, sum(visitors), min(day) FROM good GROUP BY run ORDER BY days DESC LIMIT 1",
    )
    assert date.fromisoformat(found[0][2]).year == 2024
    assert re.fullmatch(r"\d+", found[0][1])
    return desk.conclude(found[0][1])


POLICIES: Mapping[str, Policy] = {
    "revenue": _revenue,
    "best-customer": _best_customer,
    "median-delivery": _delivery,
    "streak": _streak,
}
