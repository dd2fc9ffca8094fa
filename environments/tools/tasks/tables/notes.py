"""Questions over files as they are found: written by several hands, in several units, with what does not count."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from environments.environment import JsonObject
from environments.tools.tasks.tables.files import FOLDER, as_csv
from environments.tools.tasks.template import (
    CENTS,
    PLACES,
    WHOLE,
    Question,
    Template,
    chance,
    draw,
    near,
    numbered,
    whole,
)

KITS = ("files", "python")
TOOLS = (("python", "bash"),)
COUNT = 12

TOWNS = ("Elmford", "Northwick", "Oakham Vale", "Port Lind")
RECEIPTS = 240
RULES = """\
receipts.csv was typed in by several people.

- date: either 2024-03-31 or 31.03.2024.
- town: capitals and spaces mean nothing.
- amount: in euros, with a decimal point or a decimal comma; thousands may be set apart by the other of the two or by a
  space. There may be a currency sign before or behind it.
- receipt: some receipts were typed in twice. Rows with the same receipt number are one receipt, and say the same.
- note: a row whose note says void does not count.
"""

PATHS = ("/cart", "/items", "/login", "/search", "/status")
METHODS = ("GET", "GET", "GET", "POST")
REQUESTS = 1500
PERCENTILES = (90, 95, 99)

STATIONS, READINGS = 12, 48
UNITS = ("celsius", "fahrenheit", "kelvin")
SENSORS = """\
A folder for each station: station.json says which unit its sensor reports in and what has to be added to a reading, in
that unit, to correct it. readings.csv has the readings; those with a quality other than ok are wrong and do not count.
"""


def _receipts(key: str) -> Question:
    rng = chance("receipts", key)
    town, month = rng.choice(TOWNS), rng.randint(1, 12)
    rows: list[tuple[object, ...]] = []
    cents = 0
    for number in rng.sample(range(10_000, 99_999), RECEIPTS):
        where, amount = rng.choice(TOWNS), rng.randint(500, 900_000)
        day = date(2024, month if rng.random() < 0.4 else rng.randint(1, 12), rng.randint(1, 28))
        void = rng.random() < 0.12
        if (where, day.month) == (town, month) and not void:
            cents += amount
        for _ in range(2 if rng.random() < 0.15 else 1):
            note = (
                rng.choice(("void", "VOID", "void: wrong customer")) if void else rng.choice(("", "", "paid in cash"))
            )
            rows.append((number, _day(rng, day), _town(rng, where), _money(rng, amount), note))
    rng.shuffle(rows)
    return _asked(
        {
            "receipts.csv": as_csv(("receipt", "date", "town", "amount", "note"), rows),
            "README.txt": RULES.encode(),
        },
        f"/workspace/receipts.csv holds a shop's receipts; README.txt beside it says how to read them. What is the "
        f"total of the receipts of {town} in the month 2024-{month:02}, in euros and cents? {CENTS}",
        near(cents / 100, 0.004),
    )


def _day(rng: random.Random, day: date) -> str:
    return day.isoformat() if rng.random() < 0.6 else day.strftime("%d.%m.%Y")


def _town(rng: random.Random, town: str) -> str:
    written = rng.choice((town, town.upper(), town.lower(), town.replace(" ", "")))
    return rng.choice((written, f" {written}", f"{written} "))


def _money(rng: random.Random, cents: int) -> str:
    """One of the ways in which the notes say that an amount is written."""
    point, between = rng.choice(((".", ""), (",", ""), (".", ","), (",", "."), (".", " "), (",", " ")))
    whole_part = f"{cents // 100:,}".replace(",", between)
    text = f"{whole_part}{point}{cents % 100:02}"
    return rng.choice((text, text, f"\u20ac{text}", f"{text} EUR"))


def _latency(key: str) -> Question:
    rng = chance("latency", key)
    path, percentile = rng.choice(PATHS[:4]), rng.choice(PERCENTILES)
    moment = datetime(2024, 5, rng.randint(1, 28), rng.randint(0, 12))
    lines, times = [], []
    for _ in range(REQUESTS):
        moment += timedelta(milliseconds=rng.randint(5, 9000))
        asked, method, status = rng.choice(PATHS), rng.choice(METHODS), rng.choice((200, 200, 200, 200, 404, 500, 503))
        micros = round(math.exp(rng.gauss(10.5, 0.8)))
        query = rng.choice(("", "", f"?page={rng.randint(1, 9)}", f"?from=/{rng.choice(PATHS)[1:]}"))
        shown = f"{micros}us" if rng.random() < 0.5 else f"{micros / 1000:.3f}ms"
        lines.append(f'{moment.isoformat(timespec="milliseconds")} "{method} {asked}{query} HTTP/1.1" {status} {shown}')
        if (asked, method, status) == (path, "GET", 200):
            times.append(micros)
    rank = math.ceil(percentile * len(times) / 100)
    return _asked(
        {"access.log": "".join(f"{line}\n" for line in lines).encode()},
        f"/workspace/access.log has a line for each request to a server, which ends with how long it took. Of the GET "
        f"requests for the path {path} (with whatever query string) that were answered with status 200, what is the "
        f"{percentile}th percentile of that time, by nearest rank: of n times in ascending order, the one with the "
        f"number ceil({percentile} * n / 100), counted from 1? Give it in whole microseconds. {WHOLE}",
        whole(sorted(times)[rank - 1]),
    )


def _stations(key: str) -> Question:
    def make(rng: random.Random) -> tuple[str, float] | None:
        means = {}
        for number in range(STATIONS):
            name = f"station-{number + 1:02}"
            unit, added = rng.choice(UNITS), rng.randint(-30, 30) / 10
            base = rng.uniform(8, 24)
            true = [base + 9 * math.sin(hour / 24 * math.tau) + rng.gauss(0, 3) for hour in range(READINGS)]
            means[name] = _station(rng, files, name, unit, added, true)
        ordered = sorted(means, key=lambda name: means[name])
        warmest, next_warmest = ordered[-1], ordered[-2]
        return (warmest, means[warmest]) if means[warmest] - means[next_warmest] > 0.3 else None

    files: dict[str, bytes] = {}
    _, mean = draw(chance("stations", key), make)
    return _asked(
        {**files, "README.txt": SENSORS.encode()},
        f"/workspace holds the readings of {STATIONS} weather stations; README.txt says how to read them. Of the "
        f"stations' mean temperatures, corrected and in degrees Celsius, how much is the highest? {PLACES}",
        near(mean, 0.02),
    )


def _station(
    rng: random.Random, files: dict[str, bytes], name: str, unit: str, added: float, true: list[float]
) -> float:
    """Writes a station's files; its mean by what they say, in degrees Celsius."""
    rows, good = [], []
    for hour, celsius in enumerate(true):
        quality = "ok" if rng.random() < 0.85 else rng.choice(("frozen", "suspect"))
        shown = round(_from_celsius(unit, celsius + (25 if quality != "ok" else 0)) - added, 2)
        stamp = (datetime(2024, 6, 1) + timedelta(hours=hour)).isoformat(timespec="minutes")
        rows.append((stamp, shown, quality))
        if quality == "ok":
            good.append(_to_celsius(unit, shown + added))
    files[f"{name}/station.json"] = json.dumps({"name": name, "unit": unit, "add": added}).encode()
    files[f"{name}/readings.csv"] = as_csv(("time", "value", "quality"), rows)
    return sum(good) / len(good)


def _from_celsius(unit: str, value: float) -> float:
    return {"celsius": value, "fahrenheit": value * 9 / 5 + 32, "kelvin": value + 273.15}[unit]


def _to_celsius(unit: str, value: float) -> float:
    return {"celsius": value, "fahrenheit": (value - 32) * 5 / 9, "kelvin": value - 273.15}[unit]


def _asked(files: Mapping[str, bytes], prompt: str, answer: JsonObject) -> Question:
    paths = {f"{FOLDER}/{name}": data for name, data in files.items()}
    return Question(prompt, answer, KITS, TOOLS, par_calls=5, files=paths)


TEMPLATES = (
    Template("receipts", numbered(COUNT), _receipts),
    Template("latency", numbered(COUNT), _latency),
    Template("stations", numbered(COUNT), _stations),
)
