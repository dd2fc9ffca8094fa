"""Whoever guesses, or looks at what does not show it, is not paid; whoever finds it out is, on any way."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from environments.browser.world.gold.walks import buy
from environments.browser.world.money import euros
from environments.browser.world.people import Person
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks import World
from environments.tools.tasks.errands import Errands
from tests.unit.browser.world.http_browser import End, HttpBrowser
from tests.unit.browser.world.test_solutions import (
    IDS,
    MAY_BE_INFEASIBLE,
    paid,
    play_of,
    play_that,
    run,
    seed_that,
    solution,
)
from tests.unit.browser.world.walking import Click, Fill, Open, do, log_in

HOSTS = ("shop.test", "wiki.test", "forum.test", "mail.test", "desk.test")
GIVEN_UP = End("no", infeasible=True)
PLAYS = {task_id: play_of(task_id) for task_id in IDS}
ASKED = [task_id for task_id, play in PLAYS.items() if play.errand.answer is not None]
SEEDS = range(60)


def told_of(rule: Any) -> str:
    """The right answer, as somebody says it."""
    if rule["kind"] == "names":
        return ", ".join(rule["values"])
    if rule["kind"] == "amount":
        return euros(rule["cents"])
    return str(rule["accepted"][0] if rule["kind"] == "text" else rule["value"])


def browsing(play: WorldPlay, *urls: str) -> HttpBrowser:
    browser = HttpBrowser(play.web)
    browser.visit("GET", play.start_url)
    for url in urls:
        browser.visit("GET", f"http://{url}")
    return browser


def right(play: WorldPlay) -> End:
    assert play.errand.answer is not None
    return End(told_of(play.errand.answer))


# Giving up


@pytest.mark.parametrize("task_id", MAY_BE_INFEASIBLE)
def test_who_gives_up_after_a_look_at_nothing_is_paid_nothing(task_id: str) -> None:
    play = play_that(task_id, infeasible=True)
    pages = [
        f"{host}{path}" for host in HOSTS for path in ("/", "/search", "/search?q=", "/search?q=+", "/search?q=qqq")
    ]
    browsing(
        play, *pages, "mail.test/search?q=qqq", "wiki.test/changes", "forum.test/members", "forum.test/board/lounge"
    )
    assert paid(play, GIVEN_UP) == 0


@pytest.mark.parametrize(
    ("task_id", "urls", "pay"),
    [
        ("order/2", ("category/{category}?colour={colour}",), 1),
        ("order/2", ("category/{category}?colour={colour}&stock=yes",), 1),
        ("order/2", ("category/{category}", "category/{category}?page=2", "category/{category}?page=3"), 1),
        ("order/2", ("search?q={noun}&colour={colour}",), 1),
        ("order/2", ("category/{category}?colour={colour}&max=1",), 0),
        ("order/2", ("category/{category}?colour={colour}&maker=Nobody",), 0),
        ("order/2", ("category/{category}?colour={colour}&rating=4",), 0),
        ("order/2", ("category/{category}?stock=yes",), 0),
        ("order/2", ("category/{category}?page=3",), 0),
        ("order/2", ("category/{category}", "category/{category}?page=3"), 0),
        ("order/2", ("category/{category}?page=3", "category/{category}?page=2", "category/{category}"), 1),
        ("order/2", ("search?page=13",), 0),
        (
            "order/2",
            ("category/{category}?page=1", "category/{category}?page=2", "category/{category}?page=3&sort=dear"),
            0,
        ),
    ],
)
def test_of_goods_that_lack_something_all_has_to_be_listed(task_id: str, urls: tuple[str, ...], pay: float) -> None:
    play = play_that(task_id, infeasible=True)
    told = play.errand.told
    category = next(each for each in play.world.shop.categories.values() if each.title == told["category"])
    words = {"category": category.slug, "noun": category.noun.replace(" ", "+"), "colour": told["colour"]}
    browsing(play, *(f"shop.test/{url.format(**words)}" for url in urls))
    assert (paid(play, GIVEN_UP) == 1) == pay


@pytest.mark.parametrize(
    ("urls", "pay"),
    [
        (("search?q={title}",), 1),
        (("search?q={product}",), 1),
        (("search?q={title}+today",), 0),
        (("search?q=walks",), 0),
        (("board/{home}",), 0),
        (tuple(f"board/{board}?page={page}" for board in ("kitchen", "outdoors", "sound-light", "market", "lounge")
               for page in (1, 2)), 1),
    ],
)  # fmt: skip
def test_a_thread_is_missed_by_who_has_looked_where_it_would_be(urls: tuple[str, ...], pay: float) -> None:
    play = play_that("moderate/3", infeasible=True)
    title = play.errand.told["thread"]
    product = next(each for each in play.world.shop.products.values() if each.title in title)
    words = {"title": title.replace(" ", "+").replace("?", "%3F"), "product": product.title.replace(" ", "+")}
    browsing(play, *(f"forum.test/{url.format(**words, home='lounge')}" for url in urls))
    assert (paid(play, GIVEN_UP) == 1) == pay


@pytest.mark.parametrize(
    ("url", "pay"), [("all", 1), ("wiki/{0}", 1), ("search?q={0}", 1), ("search?q={0}+Lowmoor", 0), ("wiki/Lowmoor", 0)]
)
def test_an_article_is_missed_by_who_has_looked_where_it_would_be(url: str, pay: float) -> None:
    play = play_that("correct/2", infeasible=True)
    browsing(play, f"wiki.test/{url.format(play.errand.told['article'])}")
    assert (paid(play, GIVEN_UP) == 1) == pay


def test_a_letter_is_missed_by_who_has_read_the_whole_list_or_searched() -> None:
    for urls, pay in (
        (("search?q={0}",), 1),
        (("search?q={0}+{1}",), 1),
        (("search?q=walk",), 0),
        (("folder/Trash",), 0),
        (("folder/Inbox",), 0),
        (("folder/Inbox?page={2}",), 0),
        (("folder/Inbox?page={2}", "folder/Inbox?page=1", "folder/Inbox?page=2"), 1),
        (("folder/Inbox", "folder/Inbox?page=2", "folder/Inbox?page=3"), 1),
    ):
        play = play_that("write/2", infeasible=True)
        count = len(play.world.mail.in_folder(play.world.people.you.handle, "Inbox"))
        assert 10 < count <= 30
        browser = log_in(browsing(play), "mail.test", play.world.people.you)
        play.world.seen.clear()  # a login leads to the first page
        play.world.pages_shown.clear()
        name = play.errand.told["from"].replace(" ", "+")
        for url in urls:
            words = (name, play.errand.told["subject"].replace(" ", "+"), -(-count // 10))
            do(browser, Open(f"http://mail.test/{url.format(*words)}"))
        assert (paid(play, GIVEN_UP) == 1) == pay, urls


def test_nothing_is_told_by_a_page_that_does_not_show_it() -> None:
    """Each is beside what does show it."""
    for task_id, urls in {
        "cancel/2": ("shop.test/orders?page=2",),
        "review/3": ("shop.test/product/{slug}", "shop.test/orders"),
        "reply/1": ("forum.test/search?q=walks",),
        "revert/2": ("wiki.test/wiki/{article}/history",),
        "errand/1": ("shop.test/search?q=qqq", "shop.test/category/tents?max=1"),
    }.items():
        play = play_that(task_id, infeasible=True)
        told, you = play.errand.told, play.world.people.you
        browser = browsing(play)
        for host in ("shop.test", "wiki.test"):
            log_in(browser, host, you)
        slug = str(told.get("product", "")).lower().replace(" ", "-")
        for url in urls:
            do(browser, Open(f"http://{url.format(slug=slug, article=told.get('article', ''))}"))
        assert paid(play, GIVEN_UP) == 0, task_id


def test_a_product_that_is_out_of_stock_is_missed_among_what_is_in_stock() -> None:
    play = play_that("errand/1", infeasible=True)
    product = next(
        each for each in play.world.shop.products.values() if f"listed {each.slug}" in str(play.errand.looked)
    )
    browser = log_in(browsing(play), "mail.test", play.world.people.you)
    do(browser, Open(f"http://shop.test/search?q={product.title.replace(' ', '+')}&stock=yes"))
    assert paid(play, GIVEN_UP) < 1  # nobody can know that it is meant
    do(browser, Open("http://mail.test/"), Click("link", play.errand.told["subject"]))
    assert paid(play, GIVEN_UP) == 1


def plain(prompt: str, play: WorldPlay) -> str:
    """What is left of it in every world."""
    told = [value for value in play.errand.told.values() if isinstance(value, str) and " " not in value]
    for value in sorted(told, key=len, reverse=True):
        prompt = prompt.replace(value, "_")
    prompt = re.sub(r"'[^']*'", "_", re.sub(r"(piece|star)s\b", r"\1", prompt))
    prompt = re.sub(
        r"\b[A-Z][\w-]*( [A-Z\d][\w-]*)*( kettle| desk lamp| backpack| headphones| tent| toaster)?", "N", prompt
    )
    return re.sub(r"[\w.]+@[\w.]+|\d[\d.,-]*|\d", "#", prompt)


@pytest.mark.parametrize("task_id", MAY_BE_INFEASIBLE)
def test_no_sentence_tells_that_it_cannot_be_done(task_id: str) -> None:
    said: dict[bool, set[str]] = {True: set(), False: set()}
    for seed in range(24):
        play = play_of(task_id, seed)
        said[play.errand.infeasible].add(plain(play.prompt, play))
    assert said[True]
    assert said[True] <= said[False]


def test_which_folders_there_are_depends_on_the_seed() -> None:
    wanted: dict[bool, set[str]] = {True: set(), False: set()}
    for seed in SEEDS:
        errand = play_of("sort/2", seed).errand
        wanted[errand.infeasible].add(errand.told["to"])
    assert wanted[True] == wanted[False]
    assert len(wanted[True]) > 3


def test_a_number_says_nothing_of_whether_its_article_is_there() -> None:
    assert all(play_of("correct/2", seed).errand.told["employees"] % 10 == 0 for seed in range(20))


# Guessing


@pytest.mark.parametrize("task_id", ASKED)
def test_no_answer_is_right_under_many_seeds(task_id: str) -> None:
    said = Counter(told_of(play_of(task_id, seed).errand.answer) for seed in SEEDS)
    assert said.most_common(1)[0][1] / len(SEEDS) < 0.25, said.most_common(3)


@pytest.mark.parametrize("task_id", ASKED)
def test_a_right_answer_that_nobody_has_looked_up_is_paid_nothing(task_id: str) -> None:
    for seed in (1, 2, 3):
        play = play_of(task_id, seed)
        pages = [
            f"{host}{path}" for host in HOSTS for path in ("/", "/search", "/login", "/members", "/changes", "/all")
        ]
        browser = browsing(play, "shop.test/")
        if any(lines[0] == right(play).answer for lines in browser.page.articles):
            continue  # the new goods are shown there, with their prices and stars
        browsing(play, *pages)
        assert paid(play, right(play)) == 0


@pytest.mark.parametrize(
    ("task_id", "url"),
    [
        ("posts/1", "forum.test/board/{board}"),
        ("posts/3", "forum.test/board/{board}"),
        ("posts/4", "forum.test/board/{board}?page=2"),
        ("census/1", "wiki.test/wiki/{region}"),
        ("census/2", "wiki.test/wiki/{region}"),
        ("census/4", "wiki.test/wiki/{region}"),
        ("trail/1", "wiki.test/wiki/{maker}"),
        ("trail/2", "wiki.test/wiki/{maker}"),
        ("trail/4", "wiki.test/wiki/{maker}"),
        ("compare/1", "shop.test/category/{category}"),
        ("compare/4", "shop.test/category/{category}"),
    ],
)
def test_a_right_answer_with_half_a_look_is_paid_as_what_was_seen(task_id: str, url: str) -> None:
    play = play_of(task_id)
    told, world = play.errand.told, play.world
    titles = [told.get("product"), *told.get("products", [])]
    words = {
        "board": next((each.slug for each in world.forum.boards.values() if each.title == told.get("board")), ""),
        "category": next(
            (each.slug for each in world.shop.categories.values() if each.title == told.get("category")), ""
        ),
        "region": str(told.get("region", "")).replace(" ", "_"),
        "maker": next((title.split()[0] for title in titles if title), ""),
    }
    browsing(play, url.format(**words))
    assert paid(play, right(play)) <= 0.5


def test_orders_are_added_up_from_pages_or_where_programs_read_it_from_the_table() -> None:
    """A browser alone downloads it, and never shows it."""
    for task_id in ("spending/1", "spending/2", "spending/3", "spending/4"):
        for tasks, urls, pay in (
            (World(), ("orders", "orders?page=2", "orders?page=3"), 1),
            (World(), ("orders.csv",), 0),
            (Errands(), ("orders.csv",), 1),
            (Errands(), ("account",), 0),
        ):
            play = WorldPlay(tasks.get(task_id), 1)
            browser = log_in(browsing(play), "shop.test", play.world.people.you)
            for url in urls:
                do(browser, Open(f"http://shop.test/{url}"))
            assert (paid(play, right(play)) == 1) == pay, (task_id, tasks.name, urls)


@pytest.mark.parametrize("task_id", ["review/3", "cancel/2"])
def test_a_table_that_nobody_reads_is_no_look(task_id: str) -> None:
    play = play_that(task_id, infeasible=True)
    browser = log_in(browsing(play), "shop.test", play.world.people.you)
    assert browser.ask("GET", "http://shop.test/orders.csv").status == 200
    assert paid(play, GIVEN_UP) == 0


def test_the_pages_of_a_list_that_were_shown_come_back_from_a_snapshot() -> None:
    seed = seed_that("write/2", infeasible=True)
    play, again = play_of("write/2", seed), play_of("write/2", seed)
    browser = log_in(browsing(play), "mail.test", play.world.people.you)
    last = -(-len(play.world.mail.in_folder(play.world.people.you.handle, "Inbox")) // 10)
    for page in range(2, last):
        do(browser, Open(f"http://mail.test/folder/Inbox?page={page}"))
    again.restore(json.loads(json.dumps(play.snapshot())))
    assert again.world == play.world
    browser.web = again.web
    do(browser, Open(f"http://mail.test/folder/Inbox?page={last}"))
    assert paid(again, GIVEN_UP) == 1


def test_an_article_is_read_as_it_is_edited_too_and_not_in_its_history() -> None:
    for after, pay in (("", 1), ("/edit", 1), ("/revision/{0}", 1), ("/history", 0), ("/nothing", 0)):
        play = play_of("census/1")
        world = play.world
        browser = log_in(browsing(play), "wiki.test", world.people.you)
        for town in world.lore.towns.values():
            if town.region == play.errand.told["region"]:
                count = len(world.wiki.articles[town.name].revisions)
                do(browser, Open(f"http://wiki.test/wiki/{town.name}{after.format(count)}"))
        assert (paid(play, right(play)) == 1) == pay, after


def test_what_a_member_wrote_is_on_their_own_page_too() -> None:
    play = play_of("posts/2")
    name = play.errand.told["member"]
    person = next(each for each in play.world.people.members if each.name == name)
    do(browsing(play), Open(f"http://forum.test/member/{person.handle}"))
    assert paid(play, right(play)) == 1


def test_a_product_is_compared_from_any_list_and_its_own_page() -> None:
    for task_id, looks in (("compare/1", ("product/",)), ("compare/4", ("product/",))):
        play = play_of(task_id)
        assert play.errand.answer is not None
        category = next(
            each for each in play.world.shop.categories.values() if each.title == play.errand.told["category"]
        )
        goods = [each for each in play.world.shop.products.values() if each.category == category.slug]
        browser = browsing(play)
        for each in goods:
            for look in looks:
                do(browser, Open(f"http://shop.test/{look}{each.slug}"))
        assert paid(play, right(play)) == 1, task_id


@pytest.mark.parametrize("task_id", ["reply/2", "reply/4"])
def test_the_front_page_of_the_shop_shows_what_a_list_shows(task_id: str) -> None:
    paid_to: list[float] = []
    for seed in range(120):
        play = play_of(task_id, seed)
        browser = log_in(browsing(play), "forum.test", play.world.people.you)
        thread = next(each for each in play.world.forum.threads.values() if each.title == play.errand.told["thread"])
        product = next(each for each in play.world.shop.products.values() if each.title in thread.title)
        if product.title not in do(browser, Open("http://shop.test/")).text:
            continue
        said = euros(product.price_cents) if task_id == "reply/4" else f"{float(product.rating):.1f}"
        do(browser, Open(thread.url), Fill("Your reply", said), Click("button", "Post reply"))
        paid_to.append(paid(play, End("")))
    assert paid_to
    assert set(paid_to) == {1.0}


def test_a_question_of_a_letter_is_answered_by_who_has_looked_it_up() -> None:
    play = play_of("write/4")
    told, you = play.errand.told, play.world.people.you
    order = next(each for each in play.world.shop.orders_of(you.handle) if each.number in play_letter(play))

    def answer(browser: HttpBrowser) -> float:
        page = do(browser, Fill("Search mail", told["from"]), Click("button", "Search"))
        do(browser, Open(page.link(told["subject"])), Click("link", "Reply"))
        do(browser, Fill("Message", euros(order.total_cents)), Click("button", "Send"))
        return paid(play, End(""))

    assert answer(log_in(browsing(play), "mail.test", you)) <= 0.5
    play = play_of("write/4")
    browser = log_in(browsing(play), "mail.test", you)
    page = do(browser, Fill("Search mail", order.number), Click("button", "Search"))
    do(browser, Open(page.link(f"Your order {order.number}")), Open("http://mail.test/"))
    assert answer(browser) == 1


def play_letter(play: WorldPlay) -> str:
    you = play.world.people.you
    inbox = play.world.mail.in_folder(you.handle, "Inbox")
    return next(each.text for each in inbox if each.subject == play.errand.told["subject"])


def test_the_answer_in_a_thread_counts_of_who_has_looked_it_up() -> None:
    play = play_of("reply/4")
    thread = next(each for each in play.world.forum.threads.values() if each.title == play.errand.told["thread"])
    product = next(each for each in play.world.shop.products.values() if each.title in thread.title)
    for look, pay in ((False, False), (True, True)):
        play = play_of("reply/4")
        browser = log_in(browsing(play), "forum.test", play.world.people.you)
        if look:
            do(browser, Open(f"http://shop.test/search?q={product.title.replace(' ', '+')}"))
        do(browser, Open(thread.url), Fill("Your reply", euros(product.price_cents)), Click("button", "Post reply"))
        assert (paid(play, End("")) == 1) == pay


# Marks


def test_who_asks_for_no_more_than_the_head_of_a_page_has_seen_nothing() -> None:
    play = play_that("correct/2", infeasible=True)
    assert browsing(play).ask("HEAD", "http://wiki.test/all").status == 200
    assert play.world.seen == set()


def test_a_page_of_a_list_that_there_is_not_shows_nothing() -> None:
    for task_id, url in (
        ("posts/1", "forum.test/board/{board}?page=99"),
        ("compare/1", "shop.test/category/{category}?page=99"),
        ("spending/1", "shop.test/orders?page=99"),
        ("sort/3", "mail.test/folder/Inbox?page=99"),
        ("tickets/1", "desk.test/tickets?page=99"),
    ):
        play = play_of(task_id)
        told, world = play.errand.told, play.world
        host = url.partition("/")[0]
        person: Person = world.people.agents[0] if host == "desk.test" else world.people.you
        browser = log_in(browsing(play), host, person)
        world.seen.clear()
        board = next((each.slug for each in world.forum.boards.values() if each.title == told.get("board")), "")
        category = next(
            (each.slug for each in world.shop.categories.values() if each.title == told.get("category")), ""
        )
        do(browser, Open(f"http://{url.format(board=board, category=category)}"))
        assert browser.responses[-1].status == 404
        assert world.seen == set(), task_id


@pytest.mark.parametrize("task_id", IDS)
def test_few_marks_are_watched(task_id: str) -> None:
    watched = PLAYS[task_id].errand.watched
    assert 0 < len(watched) <= 60
    assert max(map(len, watched)) <= 100


# Doing and undoing


def test_the_number_of_an_order_that_was_cancelled_again_is_not_the_one_to_tell() -> None:
    play = play_of("errand/2")
    world, you = play.world, play.world.people.you
    browser = log_in(browsing(play), "shop.test", you)
    product = next(each for each in world.shop.products.values() if each.stock >= 3)
    steps = buy(product.url, 1, "Home", "Pick-up point")
    step = next(steps)
    try:
        while True:
            step = steps.send(browser.act(step))
    except StopIteration as end:
        page = end.value
    number = page.title.partition(" - ")[0].removeprefix("Order ")
    do(browser, Click("button", "Cancel this order"))
    end_of_gold = run(play, solution("errand/2", {**play.errand.told, "confirm": False}))
    log_in(browser, "mail.test", you)
    do(browser, Open("http://mail.test/"), Click("link", play.errand.told["subject"]), Click("link", "Reply"))
    do(browser, Fill("Message", number), Click("button", "Send"))
    failed = [check.name for check in play.checks(end_of_gold.answer, infeasible=False) if not check.passed]
    assert failed == ["with the number of the order"]
