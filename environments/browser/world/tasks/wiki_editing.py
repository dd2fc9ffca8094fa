"""Errands at the encyclopaedia: to undo what somebody has spoiled, to put something right."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime

from environments.browser.world.lore import Maker
from environments.browser.world.people import Person
from environments.browser.world.tasks.template import (
    MISSING,
    Errand,
    Template,
    Told,
    Twins,
    account,
    any_of,
    login,
    write,
)
from environments.browser.world.wiki.data import Article, Revision
from environments.browser.world.wiki.markup import made_even
from environments.browser.world.world import World

WIKI = "wiki.test"
EARLY = datetime(2031, 3, 14, 7, 0)
NONSENSE = (
    "This whole article is made up.",
    "Everybody here eats nothing but turnips.",
    "Buy my book about it.",
    "Lorem ipsum is better than this.",
)
GOOD_SUMMARIES = ("updated", "better wording", "typo", "corrected a number")


def _spoil(rng: random.Random, article: Article, person: Person, minute: int) -> None:
    """With a summary as anybody writes it."""
    lines = article.text.split("\n")
    at = rng.randrange(len(lines))
    spoiled = "\n".join([*lines[:at], rng.choice(NONSENSE), *lines[at + 1 :]])
    article.add(person.name, EARLY.replace(minute=minute), rng.choice(GOOD_SUMMARIES), spoiled)


def _kept(article: Article) -> dict[str, object]:
    return {f"article {article.title}": made_even(article.text)}


# Undoing


def _undoing(world: World, what: str, told: Told, wanted: Mapping[str, object], seen: str) -> Errand:
    you = world.people.you
    return Errand(
        write(f"At wiki.test, {what}", account(you, WIKI)),
        {**login(you), **told},
        wanted=wanted,
        milestones={f"wiki history {seen}": "saw the history"},
    )


def _last_change(world: World, rng: random.Random) -> Errand | None:
    article = rng.choice(list(world.wiki.articles.values()))
    person = rng.choice(world.people.members)
    wanted = _kept(article)
    _spoil(rng, article, person, 5)
    what = f"undo the last change to the article {article.title!r}: it has spoiled it."
    return _undoing(world, what, {"article": article.title, "by": None}, wanted, article.title)


def _two_changes(world: World, rng: random.Random) -> Errand | None:
    """Undoing one of them is not enough."""
    article = rng.choice(list(world.wiki.articles.values()))
    person = rng.choice(world.people.members)
    if any(revision.author == person.name for revision in article.revisions):
        return None
    wanted = _kept(article)
    for minute in (5, 20):
        _spoil(rng, article, person, minute)
    what = (
        f"{person.name} has spoiled the article {article.title!r}. Bring it back to how it was before {person.name} "
        "changed it for the first time."
    )
    return _undoing(world, what, {"article": article.title, "by": person.name}, wanted, article.title)


def _everywhere(world: World, rng: random.Random) -> Errand | None:
    """Somebody else has changed other articles today, and well."""
    vandal, other = rng.sample(world.people.members, 2)
    articles = rng.sample(list(world.wiki.articles.values()), 5)
    if any(revision.author == vandal.name for article in articles for revision in article.revisions):
        return None
    wanted: dict[str, object] = {}
    for minute, article in enumerate(articles[:3], 5):
        wanted |= _kept(article)
        _spoil(rng, article, vandal, minute)
    for minute, article in enumerate(articles[3:], 20):
        text = f"{article.text}\n\nSee also [[Lowmoor]]."
        article.add(other.name, EARLY.replace(minute=minute), rng.choice(GOOD_SUMMARIES), text)
    what = (
        f"{vandal.name} has spoiled several articles today, on 2031-03-14. Bring each of them back to how it was "
        "before. The page of recent changes shows which."
    )
    return _undoing(world, what, {"by": vandal.name}, wanted, articles[0].title)


def _protected(world: World, rng: random.Random) -> Errand | None:
    article = rng.choice(list(world.wiki.articles.values()))
    _spoil(rng, article, rng.choice(world.people.members), 5)
    article.protected = True
    you = world.people.you
    what = f"undo the last change to the article {article.title!r}: it has spoiled it."
    return Errand(
        write(f"At wiki.test, {what}", account(you, WIKI)),
        {**login(you), "article": article.title, "by": None},
        looked=any_of(f"wiki protection of {article.title}"),
        infeasible=True,
    )


REVERT = Template(
    "revert",
    "Undo what somebody has spoiled.",
    (WIKI,),
    (_last_change, _two_changes, _everywhere, Twins(_last_change, _protected)),
)


# Putting right


def _correcting(world: World, what: str, told: Told, article: Article, text: str) -> Errand:
    you = world.people.you
    return Errand(
        write(f"At wiki.test, {what}", "Leave the rest of the article exactly as it is.", account(you, WIKI)),
        {**login(you), "article": article.title, **told},
        wanted={f"article {article.title}": made_even(text)},
        milestones={f"wiki {article.title}": "saw the article"},
    )


def _maker(world: World, rng: random.Random) -> tuple[Maker, Article]:
    maker = rng.choice(list(world.lore.makers.values()))
    return maker, world.wiki.articles[maker.name]


def _staff(maker: Maker, rng: random.Random) -> int:
    return maker.employees + rng.choice((-30, -10, 10, 20, 40, 110))


def _employees(world: World, rng: random.Random) -> Errand | None:
    maker, article = _maker(world, rng)
    staff = _staff(maker, rng)
    what = f"the article {article.title!r} is out of date: the company now has {staff} employees. Correct it."
    old, new = f"| Employees = {maker.employees}", f"| Employees = {staff}"
    return _correcting(world, what, {"employees": staff}, article, article.text.replace(old, new))


def _year(world: World, rng: random.Random) -> Errand | None:
    """It stands in two places."""
    maker, article = _maker(world, rng)
    year = maker.founded + rng.choice((-3, -2, -1, 1, 2))
    old, new = str(maker.founded), str(year)
    if article.text.count(old) != 2:
        return None
    what = (
        f"the article {article.title!r} has the wrong year: the company was founded in {year}. Correct it wherever the "
        "article gives that year."
    )
    return _correcting(world, what, {"founded": year}, article, article.text.replace(old, new))


def _new_line(world: World, rng: random.Random) -> Errand | None:
    town = rng.choice(list(world.lore.towns.values()))
    article, mayor = world.wiki.articles[town.name], rng.choice(world.people.members).name
    old = f"| Chartered = {town.chartered}"
    new = f"{old}\n| Mayor = {mayor}"
    what = (
        f"add a line to the box of facts in the article {article.title!r}: it is called 'Mayor', says {mayor!r}, and "
        "stands directly below the line 'Chartered'."
    )
    return _correcting(world, what, {"mayor": mayor}, article, article.text.replace(old, new))


def _no_such_article(world: World, rng: random.Random) -> Errand | None:
    """It has been deleted, though others still link it."""
    (maker, article), you = _maker(world, rng), world.people.you
    staff = _staff(maker, rng)
    del world.wiki.articles[article.title]
    what = f"the article {article.title!r} is out of date: the company now has {staff} employees. Correct it."
    return Errand(
        write(f"At wiki.test, {what}", "Leave the rest of the article exactly as it is.", account(you, WIKI)),
        {**login(you), "article": article.title, "employees": staff},
        looked=MISSING,
        infeasible=True,
        sought=Article(article.title, [Revision(1, "", EARLY, "", "")]),
    )


CORRECT = Template(
    "correct",
    "Change an article as asked, and nothing else in it.",
    (WIKI,),
    (_employees, _year, _new_line, Twins(_employees, _no_such_article)),
)
