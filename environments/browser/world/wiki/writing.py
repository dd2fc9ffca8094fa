"""The articles as the story finds them: what is true of the world, in the words of several hands."""

from __future__ import annotations

import random
from datetime import timedelta

from environments.browser.world.clock import days_ago, moment_on
from environments.browser.world.lore import REGIONS, Founder, Lore, Maker, Town
from environments.browser.world.people import Person
from environments.browser.world.shop.data import ShopData
from environments.browser.world.wiki.data import Article, Revision, WikiData

SUMMARIES = ("new article", "more links", "typo", "a source", "shortened", "clearer", "split a sentence")


def write_articles(rng: random.Random, lore: Lore, shop: ShopData, members: tuple[Person, ...]) -> WikiData:
    texts = {
        **{maker.name: _maker(maker, lore, shop) for maker in lore.makers.values()},
        **{founder.name: _founder(founder, lore) for founder in lore.founders.values()},
        **{town.name: _town(town, lore) for town in lore.towns.values()},
        **{region: _region(region, lore) for region in REGIONS},
    }
    return WikiData({title: _article(rng, title, text, members) for title, text in texts.items()})


def _article(rng: random.Random, title: str, text: str, members: tuple[Person, ...]) -> Article:
    """Earlier revisions lack some of its paragraphs."""
    paragraphs = text.split("\n\n")
    count = rng.randint(2, 4)
    time = moment_on(days_ago(rng.randint(100, 900)), rng.randint(0, 1400))
    revisions = []
    for number in range(1, count + 1):
        kept = paragraphs[: max(1, len(paragraphs) - (count - number))]
        revisions.append(Revision(number, rng.choice(members).name, time, rng.choice(SUMMARIES), "\n\n".join(kept)))
        time += timedelta(minutes=rng.randint(700, 30_000))
    return Article(title, revisions)


def _maker(maker: Maker, lore: Lore, shop: ShopData) -> str:
    kinds = sorted(
        {shop.categories[each.category].title for each in shop.products.values() if each.maker == maker.name}
    )
    makes = f"It makes {' and '.join(kind.lower() for kind in kinds)}." if kinds else "It sells nothing at present."
    return (
        f"| Founded = {maker.founded}\n| Founder = [[{maker.founder}]]\n| Seat = [[{maker.seat}]]\n"
        f"| Employees = {maker.employees}\n\n"
        f"{maker.name} is a maker of household and outdoor goods with its seat in [[{maker.seat}]]. {makes}\n\n"
        f"== History ==\n\n"
        f"The company was founded by [[{maker.founder}]] in {maker.founded}. Its first workshop stood in "
        f"[[{lore.founders[maker.founder].birthplace}]].\n\n"
        f"== Shops ==\n\n"
        f"Its goods are sold at [http://shop.test/search?q={maker.name} Marn Goods]."
    )


def _founder(founder: Founder, lore: Lore) -> str:
    maker = next(maker for maker in lore.makers.values() if maker.founder == founder.name)
    return (
        f"| Born = {founder.born}\n| Birthplace = [[{founder.birthplace}]]\n| Known for = [[{maker.name}]]\n\n"
        f"{founder.name} was {founder.trade} from [[{founder.birthplace}]] who founded [[{maker.name}]].\n\n"
        f"== Life ==\n\n"
        f"Born in {founder.born}, {founder.name.split()[0]} moved to [[{maker.seat}]] as a young adult and opened a "
        f"workshop there."
    )


def _town(town: Town, lore: Lore) -> str:
    seats = [f"[[{maker.name}]]" for maker in lore.makers.values() if maker.seat == town.name]
    trade = f"{', '.join(seats)} {'has its' if len(seats) == 1 else 'have their'} seat here." if seats else (
        "No maker of note has its seat here."
    )  # fmt: skip
    return (
        f"| Region = [[{town.region}]]\n| Population = {town.population}\n| Elevation = {town.elevation_m} m\n"
        f"| River = {town.river}\n| Chartered = {town.chartered}\n\n"
        f"{town.name} is a town on the {town.river} in [[{town.region}]]. It was granted its charter in "
        f"{town.chartered}.\n\n"
        f"== Trade ==\n\n{trade}"
    )


def _region(region: str, lore: Lore) -> str:
    towns = sorted(town.name for town in lore.towns.values() if town.region == region)
    listed = ", ".join(f"[[{town}]]" for town in towns)
    return f"{region} is one of the four regions of the country.\n\n== Towns ==\n\nIts towns are {listed}."
