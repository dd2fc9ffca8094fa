"""What is looked for on a site: so much of it as a person writes."""

from __future__ import annotations

import time

import pytest

from environments.browser.world.look import search_words
from environments.browser.world.people import Person
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HttpBrowser
from tests.unit.browser.world.walking import log_in

LONG = "x" * 9_990 + " ab"
QUERY = "ab+" * 10_880


def test_words_are_few_short_and_each_is_there_once() -> None:
    assert search_words("  Tent tent RED\ttent ") == ["tent", "red"]
    assert search_words("ab " * 10_880) == ["ab"]
    assert len(search_words(" ".join(map(str, range(1000))))) == 20
    assert sum(map(len, search_words("x" * 1000))) == 200
    assert search_words(" ") == []


@pytest.mark.parametrize("host", ["mail.test", "forum.test", "wiki.test", "shop.test", "desk.test"])
def test_a_search_takes_no_time_however_often_it_says_its_words(
    browser: HttpBrowser, world: World, you: Person, host: str
) -> None:
    for number in range(50):
        world.mail.put(you.handle, "Inbox", "a@b.test", you.email, str(number), LONG, world.clock.next(), read=True)
    for thread in world.forum.threads.values():
        thread.posts[0].text = LONG
    for article in world.wiki.articles.values():
        article.add("x", world.clock.next(), "", LONG)
    for product in world.shop.products.values():
        product.title += LONG
    for ticket in world.desk.tickets.values():
        ticket.subject += LONG
    log_in(browser, host, world.people.agents[0] if host == "desk.test" else you)
    path = "tickets" if host == "desk.test" else "search"
    begun = time.perf_counter()
    assert browser.ask("GET", f"http://{host}/{path}?q={QUERY}").status == 200
    assert time.perf_counter() - begun < 0.5
