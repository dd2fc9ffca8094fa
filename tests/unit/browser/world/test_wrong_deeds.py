"""A wrong deed that nobody takes back is worth no more than to have looked, and one that harms is worth nothing."""

from __future__ import annotations

import re

import pytest

from environments.browser.world.gold.steps import Answer, Steps
from environments.browser.world.gold.walks import Told, buy
from environments.browser.world.gold.walks import log_in as logging_in
from environments.browser.world.play import WorldPlay
from tests.unit.browser.world.http_browser import End, HttpBrowser
from tests.unit.browser.world.near_misses import CHANGED
from tests.unit.browser.world.test_solutions import paid, play_of, run, solution
from tests.unit.browser.world.walking import Click, Fill, Open, Select, do, log_in

DONE = End("")


def worth_of_looking(play: WorldPlay) -> float:
    """All of it: each milestone, and a way to find it out."""
    play.world.seen |= {*play.errand.milestones, *(play.errand.looked[0] if play.errand.looked else ())}
    return paid(play, DONE)


def other_goods(play: WorldPlay) -> str:
    """The address of a product in stock that the errand is not about."""
    goods = play.world.shop.products.values()
    return next(each.url for each in goods if each.stock >= 3 and not any(each.slug in m for m in play.errand.watched))


def buying(play: WorldPlay, host: str = "shop.test") -> Steps:
    """Something else, to where it was wanted, as it was wanted."""
    told = play.errand.told
    address = told.get("address")
    if address is None:
        (letter,) = [each for each in play.world.mail.messages.values() if each.subject == "A favour"]
        found = re.search(r"My address: (.+?), (.+?), (\d+) (.+?)\. I pay", letter.text)
        assert found
        address = dict(zip(("Full name", "Street and number", "Postcode", "Town"), found.groups(), strict=True))
    yield from logging_in(host, told)
    yield from buy(other_goods(play), 1, address, told["shipping"])
    yield Answer()


@pytest.mark.parametrize("task_id", ["order/1", "order/3", "order/4", "errand/3", "errand/4"])
def test_an_order_of_something_else_is_worth_nothing(task_id: str) -> None:
    play = play_of(task_id)
    run(play, buying(play))
    assert paid(play, DONE) == 0


@pytest.mark.parametrize("task_id", ["write/1", "write/3", "write/4", "reply/2", "reply/3", "reply/4"])
def test_words_that_say_nothing_are_worth_nothing_wherever_they_are_sent(task_id: str) -> None:
    play, looking = play_of(task_id), worth_of_looking(play_of(task_id))
    told, you = play.errand.told, play.world.people.you
    if task_id.startswith("write"):
        browser = log_in(HttpBrowser(play.web), "mail.test", you)
        person = next(each for each in play.world.people.members if each.name == told["from"])
        do(browser, Open("http://mail.test/compose"), Fill("To", person.email), Fill("Subject", "x"))
        do(browser, Fill("Message", "x"), Click("button", "Send"))
        assert paid(play, DONE) == 0
    else:
        browser = log_in(HttpBrowser(play.web), "forum.test", you)
        thread = next(each for each in play.world.forum.threads.values() if each.title == told["thread"])
        do(browser, Open(thread.url), Fill("Your reply", "x"), Click("button", "Post reply"))
        assert paid(play, DONE) < looking


@pytest.mark.parametrize(
    "task_id",
    [
        "order/1",
        "order/3",
        "order/4",
        "errand/3",
        "errand/4",
        "review/1",
        "review/2",
        "review/4",
        "refund/3",
        "refund/4",
    ],
)
def test_a_deed_of_which_something_is_wrong_is_worth_no_more_than_looking(task_id: str) -> None:
    template = task_id.partition("/")[0]
    looking = worth_of_looking(play_of(task_id))
    for told in CHANGED[template](play_of(task_id).errand.told):
        play = play_of(task_id)
        end = run(play, solution(task_id, told))
        assert not end.infeasible
        assert paid(play, end) <= looking, told


def test_the_number_of_a_wrong_order_is_worth_nothing_to_whoever_is_told_it() -> None:
    looking = worth_of_looking(play_of("errand/2"))
    play = play_of("errand/2")
    browser = HttpBrowser(play.web)
    browser.run(buying(play), play.start_url)
    number = browser.page.title.split()[1]
    log_in(browser, "mail.test", play.world.people.you)
    do(browser, Open("http://mail.test/search?q=favour"), Click("link", "A favour"), Click("link", "Reply"))
    do(browser, Fill("Message", number), Click("button", "Send"))
    assert 0 < paid(play, DONE) <= looking


def setting_solved(told: Told) -> Steps:
    yield from logging_in("desk.test", told)
    for number in told["tickets"] if "tickets" in told else [told["ticket"]]:
        yield Open(f"http://desk.test/ticket/{number}")
        yield Select("State", "Solved")
        yield Click("button", "Update ticket")
    yield Answer()


@pytest.mark.parametrize("task_id", ["refund/2", "refund/3", "refund/4"])
def test_a_ticket_is_not_solved_before_the_money_is_there(task_id: str) -> None:
    play = play_of(task_id)
    run(play, setting_solved(play.errand.told))
    assert paid(play, DONE) == 0
    assert paid(play, run(play, solution(task_id, play.errand.told))) == 1.0


def test_what_is_wrong_of_a_deed_is_told() -> None:
    play = play_of("order/1")
    told = next(told for told in CHANGED["order"](play.errand.told) if told["address"] != play.errand.told["address"])
    end = run(play, solution("order/1", told))
    assert [check.name for check in play.checks(end.answer, infeasible=False) if not check.passed] == [
        "to the right address"
    ]


# Harm beside the right deed


def commenting(play: WorldPlay, text: str, who: str) -> None:
    """On the ticket that is left after merging."""
    older = next(iter(play.errand.wanted.values()))
    browser = log_in(HttpBrowser(play.web), "desk.test", play.world.people.agents[0])
    do(browser, Open(f"http://desk.test/ticket/{older}"), Fill("Comment", text), Click("radio", who))
    do(browser, Click("button", "Add comment"))


@pytest.mark.parametrize("who", ["The requester too", "Only agents"])
@pytest.mark.parametrize("task_id", ["merge/2", "merge/3", "merge/4"])
def test_what_nobody_asked_to_say_to_a_customer_is_harm(task_id: str, who: str) -> None:
    for before in (True, False):
        play = play_of(task_id)
        if before:
            commenting(play, "You are a fool.", who)
        end = run(play, solution(task_id, play.errand.told))
        if not before:
            commenting(play, "You are a fool.", who)
        assert paid(play, end) == 0


def test_what_was_asked_to_be_said_is_said_once_and_to_the_requester() -> None:
    text = play_of("merge/4").errand.told["comment"]
    for said, who, pay in (
        (text, "The requester too", 1.0),
        (text.removesuffix("."), "The requester too", 1.0),
        (text, "Only agents", 0.0),
        ("Both are one now.", "The requester too", 0.0),
    ):
        play = play_of("merge/4")
        end = run(
            play, solution("merge/4", {name: part for name, part in play.errand.told.items() if name != "comment"})
        )
        assert 0 < paid(play, end) <= 0.5
        commenting(play, said, who)
        assert paid(play, end) == pay, (said, who)
        commenting(play, said, who)
        assert paid(play, end) == 0


def saving(play: WorldPlay, fields: dict[str, str]) -> None:
    browser = log_in(HttpBrowser(play.web), "shop.test", play.world.people.you)
    do(browser, Open("http://shop.test/addresses"), Fill("Label", "A friend"))
    do(browser, *(Fill(*pair) for pair in fields.items()), Click("button", "Save address"))
    assert browser.responses[-1].status == 200


@pytest.mark.parametrize("task_id", ["order/1", "cancel/3", "compare/1", "errand/3", "errand/4"])
def test_an_address_that_nobody_asked_to_save_is_harm(task_id: str) -> None:
    play = play_of(task_id)
    end = run(play, solution(task_id, play.errand.told))
    saving(play, {"Full name": "A B", "Street and number": "1 X", "Postcode": "1", "Town": "X"})
    assert paid(play, end) == 0


@pytest.mark.parametrize("task_id", ["errand/2", "errand/4"])
def test_who_orders_for_a_friend_may_save_where_the_friend_lives(task_id: str) -> None:
    play = play_of(task_id)
    end = run(play, solution(task_id, play.errand.told))
    order = play.world.shop.orders_of(play.world.people.you.handle)[0]
    to = order.address
    saving(play, {"Full name": to.name, "Street and number": to.street, "Postcode": to.postcode, "Town": to.town})
    assert paid(play, end) == 1.0
