"""Files: read how they are to be read, then let a program read them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.unit.tools.tasks.gold.desk import Desk, Policy

RECEIPTS = """
import csv, re
total, seen = 0, set()
for row in csv.DictReader(open("receipts.csv", encoding="utf-8")):
    day = row["date"] if "-" in row["date"] else "-".join(reversed(row["date"].split(".")))
    if row["receipt"] in seen or row["note"].lower().startswith("void") or not day.startswith({month!r}):
        continue
    seen.add(row["receipt"])
    if row["town"].replace(" ", "").lower() == {town!r}:
        total += int(re.sub(r"[^0-9]", "", row["amount"]))
print("%d.%02d" % divmod(total, 100))
"""
LATENCY = """
import math, re
times = []
for line in open("access.log"):
    method, path, status, number, unit = re.search(
        r'"(\\w+) ([^? ]+)[^"]*" (\\d+) ([0-9.]+)(us|ms)$', line.strip()
    ).groups()
    if (method, path, status) == ("GET", {path!r}, "200"):
        times.append(round(float(number) * (1000 if unit == "ms" else 1)))
print(sorted(times)[math.ceil({percent} * len(times) / 100) - 1])
"""
STATIONS = """
import csv, json, pathlib
turned = {
    "celsius": lambda value: value,
    "kelvin": lambda value: value - 273.15,
    "fahrenheit": lambda value: (value - 32) / 1.8,
}
means = []
for path in sorted(pathlib.Path(".").glob("station-*")):
    about = json.loads((path / "station.json").read_text())
    rows = [row for row in csv.DictReader((path / "readings.csv").open()) if row["quality"] == "ok"]
    means.append(sum(turned[about["unit"]](float(row["value"]) + about["add"]) for row in rows) / len(rows))
print(max(means))
"""


async def _run(desk: Desk, code: str) -> str:
    observation = await desk.use("python", code=code)
    desk.cited.append(observation["number"])
    return str(observation["content"]).split()[-1]


async def _receipts(desk: Desk) -> str:
    town, month = desk.asked(r"receipts of (.+?) in the month (\S+), in")
    assert "void" in await desk.say("read_file", path="README.txt")
    await desk.say("read_file", path="receipts.csv", first_line=1, last_line=20)
    return desk.conclude(await _run(desk, RECEIPTS.format(town=town.replace(" ", "").lower(), month=month)))


async def _latency(desk: Desk) -> str:
    path, percent = desk.asked(r"for the path (\S+) \(.* what is the (\d+)th")
    await desk.say("read_file", path="access.log", first_line=1, last_line=20)
    return desk.conclude(await _run(desk, LATENCY.format(path=path, percent=percent)))


async def _stations(desk: Desk) -> str:
    assert "station.json" in await desk.say("read_file", path="README.txt")
    assert "station-12/" in await desk.say("list_files")
    return desk.conclude(await _run(desk, STATIONS))


POLICIES: Mapping[str, Policy] = {"receipts": _receipts, "latency": _latency, "stations": _stations}
