"""The encyclopaedia: reading, editing, undoing."""

from __future__ import annotations

import pytest

from environments.browser.world.gold.page import Page
from environments.browser.world.people import Person
from environments.browser.world.wiki.markup import made_even, read_facts, render
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HttpBrowser
from tests.unit.browser.world.walking import Click, Fill, Open, do, log_in


def read(text: str) -> Page:
    return Page("http://wiki.test/wiki/T", render("T", text, {"Known"}))


def test_an_article_tells_what_is_true(browser: HttpBrowser, world: World) -> None:
    maker = world.lore.makers["Kovari"]
    page = do(browser, Open("http://wiki.test/"), Fill("Search Openleaf", "kovari"), Click("button", "Search"))
    page = do(browser, Click("link", "Kovari"))
    assert page.facts == {
        "Founded": str(maker.founded),
        "Founder": maker.founder,
        "Seat": maker.seat,
        "Employees": str(maker.employees),
    }
    page = do(browser, Click("link", maker.founder))
    assert page.facts["Birthplace"] == world.lore.founders[maker.founder].birthplace
    page = do(browser, Click("link", page.facts["Birthplace"]))
    town = world.lore.towns[page.facts["Region"] and world.lore.founders[maker.founder].birthplace]
    assert page.facts["Population"] == str(town.population)
    assert town.name in do(browser, Click("link", town.region)).text


def test_a_change_is_saved_and_undone(browser: HttpBrowser, world: World, you: Person) -> None:
    article = world.wiki.articles["Lindenau"]
    before, count = article.text, len(article.revisions)
    log_in(browser, "wiki.test", you)
    do(browser, Open("http://wiki.test/wiki/Lindenau"), Click("link", "Edit"))
    assert browser.page.value("Text of the article") == before
    do(browser, Fill("Text of the article", before + "\n\nIt is quiet."), Click("button", "Save"))
    assert "Write a text and a summary." in browser.page.text
    assert browser.page.value("Text of the article").endswith("It is quiet.")
    do(browser, Fill("Summary of your change", "quiet"), Click("button", "Save"))
    assert article.text == before + "\n\nIt is quiet."
    assert article.revisions[-1].author == you.name
    page = do(browser, Click("link", "History"))
    assert page.rows[0]["Summary"] == "quiet"
    assert page.rows[0]["Restore"] == "This is how the article is now"
    do(browser, Click("button", f"Restore revision {count}"))
    assert (article.text, len(article.revisions)) == (before, count + 2)


def test_what_another_has_changed_meanwhile_is_not_overwritten(browser: HttpBrowser, world: World, you: Person) -> None:
    article = world.wiki.articles["Lindenau"]
    log_in(browser, "wiki.test", you)
    do(browser, Open("http://wiki.test/wiki/Lindenau/edit"), Fill("Text of the article", "Mine."))
    article.add("Other", world.clock.next(), "theirs", "Theirs.")
    do(browser, Fill("Summary of your change", "x"), Click("button", "Save"))
    assert browser.responses[-1].status == 409
    assert article.text == "Theirs."


def test_a_protected_article_is_only_read(browser: HttpBrowser, world: World, you: Person) -> None:
    article = world.wiki.articles["Lindenau"]
    article.protected = True
    log_in(browser, "wiki.test", you)
    assert "only moderators" in do(browser, Open("http://wiki.test/wiki/Lindenau/edit")).text
    browser.visit("POST", "http://wiki.test/wiki/Lindenau/restore", b"revision=1")
    assert browser.responses[-1].status == 403
    before = len(article.revisions)
    log_in(browser, "wiki.test", world.people.moderator)
    do(browser, Open("http://wiki.test/wiki/Lindenau/history"), Click("button", "Restore revision 1"))
    assert len(article.revisions) == before + 1


def test_markup_makes_facts_headings_and_links() -> None:
    text = "| A = [[Known]]\n| B = 2\n\nSee [[Other|that one]] and [http://shop.test/x the shop].\n\n== More ==\n\nEnd."
    page = read(text)
    assert read_facts(text) == [("A", "[[Known]]"), ("B", "2")]
    assert page.facts == {"A": "Known", "B": "2"}
    assert [(link.name, link.url) for link in page.links] == [
        ("Known", "http://wiki.test/wiki/Known"),
        ("that one", "http://wiki.test/wiki/Other"),
        ("the shop", "http://shop.test/x"),
    ]
    assert [node.words for node in page.root.all("h2")] == ["More"]
    assert "See that one and the shop." in page.text


def test_what_is_read_alike_is_made_even() -> None:
    text = "| A = 1\n|B=[[X|y]] = 2\n  |C  =  \n\nProse  =  |  as it is.\n| no fact"
    assert made_even(text) == "| A = 1\n| B = [[X|y]] = 2\n| C = \n\nProse  =  |  as it is.\n| no fact"
    assert read_facts(made_even(text)) == read_facts(text)
    assert made_even(made_even(text)) == made_even(text)


ODD = (
    "a [ b",
    "a [[ b",
    "[javascript:alert(1) x]",
    "[http://evil.test/ x]",
    "[" * 8_000,
    "[[" + "x" * 5_000 + "]]",
    "[x" * 9_000 + "]",
    "<script>alert(1)</script>",
)


@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_what_is_no_link_stays_as_it_is_written(text: str) -> None:
    page = read(text)
    assert page.root.raw.strip() == text
    assert page.links == []
    assert not page.root.all("script")
