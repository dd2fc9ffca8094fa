"""No rule that never reads the question is right for most seeds: what is asked decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence

import pytest

from environments.browser.world.lore import Founder, Town
from environments.browser.world.play import WorldPlay
from environments.browser.world.shop.data import Product
from environments.browser.world.shop.goods import COLOURS
from tests.unit.browser.world.test_solutions import play_of

SEEDS = range(100)
MOST = 0.62
"""Of the seeds, with some room for chance."""


def answered(play: WorldPlay) -> object:
    assert play.errand.answer is not None
    return play.errand.answer.get("value", play.errand.answer.get("values"))


def smaller_maker(play: WorldPlay) -> Sequence[object]:
    makers = [play.world.lore.makers[title.split()[0]] for title in play.errand.told["products"]]
    return sorted(maker.employees for maker in makers)


def highest_towns(play: WorldPlay) -> Sequence[object]:
    """How many live in the highest one, in the two highest, and so on."""
    towns: list[Town] = [
        town for town in play.world.lore.towns.values() if town.region == play.errand.told["region"]
    ]  # fmt: skip
    towns.sort(key=lambda town: -town.elevation_m)
    return [sum(town.population for town in towns[:count]) for count in range(1, len(towns) + 1)]


def founders_of(play: WorldPlay) -> list[Founder]:
    born_there = [each for each in play.world.lore.founders.values() if each.birthplace == play.errand.told["town"]]
    return sorted(born_there, key=lambda each: each.born)


def first_founders(play: WorldPlay) -> Sequence[object]:
    names = [founder.name for founder in founders_of(play)]
    return [names[:count] for count in range(1, len(names) + 1)]


def all_but_the_last_founders(play: WorldPlay) -> Sequence[object]:
    names = [founder.name for founder in founders_of(play)]
    return [names[:-count] for count in range(1, len(names))]


@pytest.mark.parametrize(
    ("task_id", "rules"),
    [
        ("trail/4", smaller_maker),
        ("census/1", highest_towns),
        ("census/3", first_founders),
        ("census/3", all_but_the_last_founders),
    ],
)
def test_no_fixed_rule_answers_a_question(task_id: str, rules: Callable[[WorldPlay], Sequence[object]]) -> None:
    right: dict[int, int] = {}
    for seed in SEEDS:
        play = play_of(task_id, seed)
        said = answered(play)
        for number, value in enumerate(rules(play)):
            same = (
                sorted(value) == sorted(said) if isinstance(value, list) and isinstance(said, list) else value == said
            )
            right[number] = right.get(number, 0) + same
    assert max(right.values()) / len(SEEDS) <= MOST, right


def test_how_many_are_owed_money_depends_on_the_seed() -> None:
    owed = [sum(name.startswith("refund") for name in play_of("refund/2", seed).errand.wanted) for seed in SEEDS]
    assert set(owed) == {1, 2}
    assert max(owed.count(count) for count in (1, 2)) / len(SEEDS) <= MOST


def beside(play: WorldPlay, right: Product, colours: Collection[str] = COLOURS) -> list[Product]:
    """Its category's goods in these colours, the cheapest first."""
    goods = [each for each in play.world.shop.products.values() if each.category == right.category]
    return sorted((each for each in goods if each.colour in colours), key=lambda each: each.price_cents)


def most_frequent(found: list[object]) -> float:
    return max(Counter(found).values()) / len(found)


def test_the_cheapest_product_is_in_stock_as_often_as_not() -> None:
    ranks: dict[str, list[object]] = {"order/1": [], "write/1": []}
    for seed in SEEDS:
        for task_id, found in ranks.items():
            play = play_of(task_id, seed)
            slugs = [mark.removeprefix("shop product ") for mark in play.errand.milestones]
            slugs += [mark.removeprefix("shop listed ") for way in play.errand.looked for mark in way]
            right = next(play.world.shop.products[slug] for slug in slugs if slug in play.world.shop.products)
            colours = (right.colour,) if task_id == "order/1" else COLOURS
            found.append(beside(play, right, colours).index(right))
    assert {task_id: share for task_id, found in ranks.items() if (share := most_frequent(found)) > MOST} == {}


def test_the_best_bargain_is_the_largest_as_often_as_not() -> None:
    found: list[object] = []
    for seed in SEEDS:
        play = play_of("compare/3", seed)
        assert play.errand.answer is not None
        feature = play.errand.told["feature"]
        right = next(each for each in play.world.shop.products.values() if each.title in play.errand.answer["accepted"])
        found.append(right.features[feature] == max(each.features[feature] for each in beside(play, right)))
    assert most_frequent(found) <= MOST
