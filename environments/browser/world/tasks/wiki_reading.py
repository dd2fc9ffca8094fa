"""Questions whose answers lie several pages apart, or have to be put together from many."""

from __future__ import annotations

import random

from environments.browser.world import answers
from environments.browser.world.lore import REGIONS, Maker, Town
from environments.browser.world.shop.data import Product
from environments.browser.world.tasks.template import Errand, Template, Told, Ways, all_of, first_of, write
from environments.browser.world.world import World

SHOP, WIKI = "shop.test", "wiki.test"
START = "Begin at shop.test; its product pages lead to articles at wiki.test."


def _maker_of(world: World, product: Product) -> Maker:
    return world.lore.makers[product.maker]


# Along a trail


def _articles(*titles: str) -> Ways:
    return all_of(*(f"wiki {title}" for title in titles))


def _trail(
    product: Product, question: str, told: Told, answer: dict[str, object], decoy: object, looked: Ways
) -> Errand:
    return Errand(
        write(question, START),
        told,
        answer=answer,
        decoys=(str(decoy),),
        milestones={
            f"shop product {product.slug}": "saw the product",
            f"wiki {product.maker}": "saw the article on its maker",
        },
        looked=looked,
    )


def _charter_of_birthplace(world: World, rng: random.Random) -> Errand | None:
    """Not that of the seat."""
    product = rng.choice(list(world.shop.products.values()))
    maker = _maker_of(world, product)
    born = world.lore.towns[world.lore.founders[maker.founder].birthplace]
    seat = world.lore.towns[maker.seat]
    if born is seat:
        return None
    question = (
        f"In which year was the town granted its charter in which the founder of the company was born that makes the "
        f"{product.title}? Answer with the year alone."
    )
    looked = _articles(maker.founder, born.name)
    told = {"product": product.title, "ask": "charter"}
    return _trail(product, question, told, answers.whole(born.chartered), seat.chartered, looked)


def _people_at_the_seat(world: World, rng: random.Random) -> Errand | None:
    product = rng.choice(list(world.shop.products.values()))
    town = world.lore.towns[_maker_of(world, product).seat]
    birthplace = world.lore.towns[world.lore.founders[_maker_of(world, product).founder].birthplace]
    if birthplace is town:
        return None
    question = (
        f"What is the population of the town where the maker of the {product.title} has its seat? Answer with the "
        "number alone."
    )
    right = answers.whole(town.population)
    told = {"product": product.title, "ask": "population"}
    return _trail(product, question, told, right, birthplace.population, _articles(town.name))


def _birth_year(world: World, rng: random.Random) -> Errand | None:
    """The first product of a list is by somebody else."""
    category = rng.choice(list(world.shop.categories.values()))
    goods = [product for product in world.shop.products.values() if product.category == category.slug]
    cheapest = min(goods, key=lambda product: product.price_cents)
    first = min(goods, key=lambda product: product.title)
    founder, other = (world.lore.founders[_maker_of(world, each).founder] for each in (cheapest, first))
    if founder is other or founder.born == other.born:
        return None
    question = (
        f"In which year was the founder of the company born that makes the cheapest product (in stock or not) in the "
        f"category {category.title} at shop.test? Answer with the year alone."
    )
    looked = all_of(f"shop listed {cheapest.slug}", f"wiki {founder.name}")
    told = {"category": category.title}
    return _trail(cheapest, question, told, answers.whole(founder.born), other.born, looked)


def _older_maker(world: World, rng: random.Random) -> Errand | None:
    """Of two products; the older maker is the smaller one as often as not."""
    first, second = rng.sample(list(world.shop.products.values()), 2)
    makers = [_maker_of(world, first), _maker_of(world, second)]
    older, younger = sorted(makers, key=lambda maker: maker.founded)
    if older is younger:
        return None
    question = (
        f"Which company was founded earlier: the maker of the {first.title} or the maker of the {second.title}? How "
        "many employees does that older company have? Answer with the number of employees alone."
    )
    told = {"products": [first.title, second.title]}
    looked = _articles(older.name, younger.name)
    return _trail(first, question, told, answers.whole(older.employees), younger.employees, looked)


TRAIL = Template(
    "trail",
    "Answer a question whose answer lies several pages away.",
    (SHOP, WIKI),
    (_charter_of_birthplace, _people_at_the_seat, _birth_year, _older_maker),
)


# Over many articles


def _towns_of(world: World, region: str) -> list[Town]:
    return [town for town in world.lore.towns.values() if town.region == region]


def _makers_of(world: World, region: str) -> list[Maker]:
    towns = {town.name for town in _towns_of(world, region)}
    return [maker for maker in world.lore.makers.values() if maker.seat in towns]


def _census(question: str, told: Told, answer: dict[str, object], decoy: str, seen: str, looked: Ways) -> Errand:
    return Errand(
        write("Use the encyclopaedia at wiki.test.", question),
        told,
        answer=answer,
        decoys=(decoy,),
        milestones={f"wiki {seen}": f"saw the article on {seen}"},
        looked=looked,
    )


def _staff_in_region(world: World, rng: random.Random) -> Errand | None:
    """Not all of its towns have a maker, and some have several."""
    region = rng.choice(REGIONS)
    makers = _makers_of(world, region)
    one_each = {maker.seat: maker.employees for maker in makers}
    if len(makers) < 2 or len(one_each) in (len(makers), len(_towns_of(world, region))):
        return None
    question = (
        f"How many employees do all makers of goods that have their seat in a town of the region {region} have "
        "together? Answer with the number alone."
    )
    right = answers.whole(sum(maker.employees for maker in makers))
    looked = _articles(*(maker.name for maker in makers))
    told = {"region": region, "ask": "staff"}
    return _census(question, told, right, str(sum(one_each.values())), region, looked)


def _people_of_region(world: World, rng: random.Random) -> Errand | None:
    """Only towns above a height count, which lies between any two of them."""
    region = rng.choice(REGIONS)
    towns = _towns_of(world, region)
    heights = sorted(town.elevation_m for town in towns)
    below = rng.randrange(len(heights) - 1)
    least = rng.randint(heights[below], heights[below + 1] - 1)
    high = [town for town in towns if town.elevation_m > least]
    question = (
        f"How many people live in all towns of the region {region} together that lie higher than {least} m? Answer "
        "with the number alone."
    )
    decoy = str(sum(town.population for town in towns))
    right = answers.whole(sum(town.population for town in high))
    looked = _articles(*(town.name for town in towns))
    return _census(question, {"region": region, "higher": least}, right, decoy, region, looked)


def _largest_maker(world: World, rng: random.Random) -> Errand | None:
    """The oldest one is another."""
    region = rng.choice(REGIONS)
    makers = _makers_of(world, region)
    if len(makers) < 2:
        return None
    largest = max(makers, key=lambda maker: maker.employees)
    decoy = min(makers, key=lambda maker: maker.founded)
    if decoy is largest:
        return None
    question = (
        f"Which maker with its seat in a town of the region {region} has the most employees? Answer with the name of "
        "the maker alone."
    )
    looked = _articles(*(maker.name for maker in makers))
    told = {"region": region, "ask": "largest"}
    return _census(question, told, answers.text(largest.name), decoy.name, region, looked)


def _founders_before(world: World, rng: random.Random) -> Errand | None:
    """From one town; at least one other was born there later, and how many counts differs."""

    def make(town: Town) -> Errand | None:
        born_there = [founder for founder in world.lore.founders.values() if founder.birthplace == town.name]
        years = sorted(founder.born for founder in born_there)
        if len(years) < 3:  # of two the first would always be right
            return None
        count = rng.randrange(1, len(years))
        if years[count - 1] == years[count]:
            return None
        limit = rng.randint(years[count - 1] + 1, years[count])
        early = [founder.name for founder in born_there if founder.born < limit]
        question = (
            f"Which founders of companies were born in {town.name} before the year {limit}? Answer with their full "
            "names alone, separated by commas."
        )
        decoy = ", ".join(founder.name for founder in born_there)
        looked = _articles(*(founder.name for founder in born_there))
        told = {"town": town.name, "before": limit}
        return _census(question, told, answers.names(early), decoy, early[0], looked)

    return first_of(rng, list(world.lore.towns.values()), make)


CENSUS = Template(
    "census",
    "Count or compare over many articles of the encyclopaedia.",
    (WIKI,),
    (_staff_in_region, _people_of_region, _largest_maker, _founders_before),
)
