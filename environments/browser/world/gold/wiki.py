"""Solutions at the encyclopaedia."""

from __future__ import annotations

from environments.browser.world.gold.page import Page, Row
from environments.browser.world.gold.steps import Answer, Click, Fill, Infeasible, Open, Steps, Walk
from environments.browser.world.gold.walks import Told, find_product, list_products, log_in, number

WIKI = "wiki.test"


def _article(title: str) -> Walk[Page]:
    return (yield Open(f"http://wiki.test/wiki/{title.replace(' ', '_')}"))


def _maker_of(title: str) -> Walk[Page]:
    """The article that the product's page leads to."""
    page = yield from find_product(title)
    return (yield Click("link", page.facts["Maker"]))


def trail(told: Told) -> Steps:
    if "products" in told:
        yield from _older(told["products"])
        return
    title = told.get("product")
    if title is None:
        cards = yield from list_products(told["category"], {"Sort by": "Price, lowest first"})
        title = cards[0].title
    maker = yield from _maker_of(title)
    if told.get("ask") == "population":
        page = yield Click("link", maker.facts["Seat"])
        yield Answer(page.facts["Population"])
        return
    founder = yield Open(maker.link(maker.facts["Founder"]))
    if "category" in told:
        yield Answer(founder.facts["Born"])
        return
    town = yield Open(founder.link(founder.facts["Birthplace"]))
    yield Answer(town.facts["Chartered"])


def _older(titles: list[str]) -> Steps:
    makers = []
    for title in titles:
        page = yield from _maker_of(title)
        makers.append((number(page.facts["Founded"]), page.facts["Employees"]))
    yield Answer(min(makers)[1])


def census(told: Told) -> Steps:
    if "town" in told:
        yield from _founders(told)
        return
    page = yield from _article(told["region"])
    towns = [town for town in (yield from _linked(page)) if town.facts.get("Region") == told["region"]]
    if "higher" in told:
        high = [town for town in towns if number(town.facts["Elevation"]) > told["higher"]]
        yield Answer(str(sum(number(town.facts["Population"]) for town in high)))
        return
    seats = {town.title.partition(" - ")[0] for town in towns}
    makers = [page for page in (yield from _makers()) if page.facts["Seat"] in seats]
    if told["ask"] == "staff":
        yield Answer(str(sum(number(page.facts["Employees"]) for page in makers)))
    else:
        yield Answer(max(makers, key=lambda page: number(page.facts["Employees"])).title.partition(" - ")[0])


def _all_articles() -> Walk[list[Page]]:
    return (yield from _linked((yield Open("http://wiki.test/all"))))


def _linked(page: Page) -> Walk[list[Page]]:
    pages = []
    for link in page.links:
        if link.url.startswith("http://wiki.test/wiki/"):
            pages.append((yield Open(link.url)))  # noqa: PERF401  # no yield can stand in a comprehension
    return pages


def _makers() -> Walk[list[Page]]:
    return [page for page in (yield from _all_articles()) if "Seat" in page.facts]


def _founders(told: Told) -> Steps:
    pages = yield from _all_articles()
    names = [
        page.title.partition(" - ")[0]
        for page in pages
        if page.facts.get("Birthplace") == told["town"] and number(page.facts["Born"]) < told["before"]
    ]
    yield Answer(", ".join(names))


def revert(told: Told) -> Steps:
    yield from log_in(WIKI, told)
    titles = [told["article"]] if "article" in told else (yield from _changed_by(told["by"]))
    for title in titles:
        yield from _article(title)
        page = yield Click("link", "History")
        before = _before(page.rows, told["by"])
        page = yield Click("button", f"Restore revision {before.split()[1]}")
        if "protected" in page.text:
            yield Infeasible("The article is protected.")
            return
    yield Answer()


def _changed_by(name: str) -> Walk[list[str]]:
    page = yield Open("http://wiki.test/changes")
    today = [row for row in page.rows if row["When"].startswith("2031-03-14")]
    return list(dict.fromkeys(row["Article"] for row in today if row["Author"] == name))


def _before(rows: list[Row], name: str | None) -> str:
    """The newest revision before their first change, or before the last one of all."""
    first = 0 if name is None else max(at for at, row in enumerate(rows) if row["Author"] == name)
    return rows[first + 1]["Revision"]


def correct(told: Told) -> Steps:
    yield from log_in(WIKI, told)
    yield Fill("Search Openleaf", told["article"])
    page = yield Click("button", "Search")
    if not page.offers("link", told["article"]):
        yield Infeasible("There is no such article.")
        return
    yield Click("link", told["article"])
    page = yield Click("link", "Edit")
    yield Fill("Text of the article", _corrected(page.value("Text of the article"), told))
    yield Fill("Summary of your change", "As asked")
    yield Click("button", "Save")
    yield Answer()


def _corrected(text: str, told: Told) -> str:
    lines = text.split("\n")
    if "employees" in told:
        return "\n".join(
            f"| Employees = {told['employees']}" if line.startswith("| Employees") else line for line in lines
        )
    if "founded" in told:
        old = next(line for line in lines if line.startswith("| Founded")).split()[-1]
        return text.replace(old, str(told["founded"]))
    at = next(at for at, line in enumerate(lines) if line.startswith("| Chartered"))
    return "\n".join([*lines[: at + 1], f"| Mayor = {told['mayor']}", *lines[at + 1 :]])
