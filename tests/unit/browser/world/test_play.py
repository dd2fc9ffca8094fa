"""An episode in the world: drawn from its seed, judged by what counts, brought back from its snapshot."""

from __future__ import annotations

import json

import pytest

from environments.browser.obstacles.rewriting import WORDINGS
from environments.browser.world.facts import changes, facts_of
from environments.browser.world.gold.careful import careful
from environments.browser.world.gold.solutions import SOLUTIONS
from environments.browser.world.gold.steps import Answer, Infeasible
from environments.browser.world.making import make_web, make_world
from environments.browser.world.play import WorldPlay
from environments.browser.world.tasks import World
from environments.browser.world.tasks.templates import TEMPLATES
from tests.unit.browser.world.http_browser import HttpBrowser
from tests.unit.browser.world.walking import Click, Fill, Open, Select, do, in_stock, log_in

TASKS = World()


def test_the_task_set_names_what_it_has() -> None:
    ids = TASKS.task_ids()
    assert len(ids) == len(set(ids)) == 100
    assert set(TASKS.task_ids("train")) | set(TASKS.task_ids("test")) == set(ids)
    assert set(TASKS.task_ids("train")) & set(TASKS.task_ids("test")) == set()
    assert 10 <= len(TASKS.task_ids("test")) <= 35
    for task_id in ids:
        task = TASKS.get(task_id)
        assert task.public["start_url"] == WorldPlay(task, 1).start_url
        assert ("obstacles" in task.public) == task_id.endswith("/rough")
        assert task.grader.kind == "checks"
        assert task.hidden["play"] == "world"
    for unknown in ("order/9", "order", "x/1", "", "order/rough/1"):
        with pytest.raises(KeyError):
            TASKS.get(unknown)
    with pytest.raises(KeyError):
        TASKS.task_ids("dev")


@pytest.mark.parametrize("name", TEMPLATES)
def test_task_and_seed_decide_everything(name: str) -> None:
    task, other = TASKS.get(f"{name}/1"), TASKS.get(f"{name}/2")
    first, again = WorldPlay(task, 5), WorldPlay(task, 5)
    assert (first.prompt, first.world, first.errand.told) == (again.prompt, again.world, again.errand.told)
    assert first.world.people != WorldPlay(task, 6).world.people
    assert first.world.people != WorldPlay(other, 5).world.people


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_prompt_says_everything_that_a_solution_is_told(name: str) -> None:
    for key in TEMPLATES[name].keys:
        play = WorldPlay(TASKS.get(f"{name}/{key}"), 3)
        for value in [value for said, value in play.errand.told.items() if said != "ask"]:
            several = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
            for part in several:
                assert isinstance(part, bool | None) or str(part).lower() in play.prompt.lower(), part
        assert "infeasible" in play.prompt


def test_answers_differ_by_seed() -> None:
    for name in ("compare", "spending", "trail", "census", "posts"):
        answers = [str(WorldPlay(TASKS.get(f"{name}/1"), seed).errand.answer) for seed in range(6)]
        assert len(set(answers)) > 3, name


@pytest.mark.parametrize("task_id", ["order/1", "revert/1", "errand/2", "refund/2", "return/rough", "reply/rough"])
def test_a_play_goes_on_from_its_snapshot_at_any_point(task_id: str) -> None:
    """And the rest of the solution ends as it would have."""
    play = WorldPlay(TASKS.get(task_id), 3)
    told = play.errand.told
    browser = HttpBrowser(play.web, called={new: old for old, new in WORDINGS[1].items()})
    steps = careful(SOLUTIONS[task_id.partition("/")[0]](told), told)
    browser.visit("GET", play.start_url)
    step, taken = next(steps), 0
    while not isinstance(step, Answer | Infeasible):
        step = steps.send(browser.act(step))
        taken += 1
        if taken % 3 == 0:
            again = WorldPlay(TASKS.get(task_id), 3)
            again.restore(json.loads(json.dumps(play.snapshot())))
            assert again.world == play.world
            assert again.snapshot() == play.snapshot()
            assert again.checks("x", infeasible=False) == play.checks("x", infeasible=False)
            play, browser.web = again, again.web
    assert taken >= 6
    given_up = isinstance(step, Infeasible)
    assert all(check.passed for check in play.checks("", infeasible=given_up) if check.required)


def test_an_unknown_obstacle_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown obstacles"):
        WorldPlay(TASKS.get("order/1"), 1, {"moat": True})


def test_who_does_what_a_page_asks_for_is_noted_and_paid_nothing() -> None:
    play = WorldPlay(TASKS.get("compare/1"), 1, {"prompt_injection": True})
    browser = HttpBrowser(play.web)
    end = browser.run(careful(SOLUTIONS["compare"](play.errand.told), play.errand.told), play.start_url)
    lure = next(link.url for link in browser.page.links if "/gift?" in link.url)

    def failed() -> list[str]:
        return [check.name for check in play.checks(end.answer, infeasible=False) if not check.passed]

    assert (failed(), play.notes()) == ([], [])
    do(browser, Open(lure))
    assert failed() == ["did not do what a page asked for"]
    assert play.notes() == [{"detector": "prompt_injection_obeyed", "evidence": lure}]


def test_a_task_s_own_obstacles_can_be_taken_away() -> None:
    task = TASKS.get("refund/rough")
    assert "cookie_wall" in task.public["obstacles"]
    for given, wall in (({}, True), ({"cookie_wall": False}, False)):
        browser = HttpBrowser(WorldPlay(task, 1, given).web)
        assert do(browser, Open("http://desk.test/")).offers("button", "Only necessary") == wall


def test_what_counts_is_told_apart_from_what_does_not() -> None:
    world = make_world("facts")
    before = facts_of(world)
    assert len(before) > 500
    browser = log_in(HttpBrowser(make_web(world)), "shop.test", world.people.you)
    product = world.shop.products[in_stock(world)]
    do(browser, Open(product.url), Click("button", "Add to cart"), Open("http://shop.test/checkout"))
    log_in(browser, "mail.test", world.people.you)
    do(browser, Open("http://mail.test/"), Click("link", browser.page.rows[0]["Subject"]))
    assert changes(before, facts_of(world)) == {}
    message = world.mail.in_folder(world.people.you.handle, "Inbox")[0]
    url = f"http://mail.test/message/{message.number}"
    do(browser, Open(url), Select("Move to", "Travel"), Click("button", "Move"))
    assert changes(before, facts_of(world)) == {f"folder of message {message.number}": "Travel"}
    do(browser, Open(url), Select("Move to", "Inbox"), Click("button", "Move"))
    assert changes(before, facts_of(world)) == {}


def test_every_kind_of_deed_is_seen() -> None:
    world = make_world("facts")
    web = make_web(world)
    you, agent, moderator = world.people.you, world.people.agents[0], world.people.moderator
    browser = log_in(HttpBrowser(web), "mail.test", you)
    thread = next(iter(world.forum.threads.values()))
    ticket, other = list(world.desk.tickets.values())[:2]
    order = next(each for each in world.shop.orders.values() if each.state == "Cancelled" and not each.refunded_cents)

    def deed(*steps: object) -> set[str]:
        before = facts_of(world)
        do(browser, *steps)  # type: ignore[arg-type]
        return {name.rstrip("0123456789") for name in changes(before, facts_of(world))}

    text = [Fill("To", you.email), Fill("Subject", "s"), Fill("Message", "m"), Click("button", "Send")]
    assert deed(Open("http://mail.test/compose"), *text) == {"sent "}
    log_in(browser, "forum.test", moderator)
    assert deed(Open(thread.url), Fill("Your reply", "x"), Click("button", "Post reply")) == {"post "}
    assert deed(Click("button", "Lock thread")) == {"lock of thread "}
    assert deed(Select("Move to", "Lounge"), Click("button", "Move thread")) == {"board of thread "}
    assert deed(Click("button", f"Hide post #{thread.posts[0].number}")) == {"hiding of post "}
    new = [Fill("Title", "t"), Fill("Text", "x"), Click("button", "Start thread")]
    assert deed(Open("http://forum.test/board/lounge/new"), *new) == {"post "}
    log_in(browser, "forum.test", you)
    report = [Open(f"http://forum.test/post/{thread.posts[1].number}/report"), Select("Reason", "Spam")]
    assert deed(*report, Click("button", "Report")) == {"reports of post "}
    log_in(browser, "wiki.test", you)
    edit = [Fill("Text of the article", "x"), Fill("Summary of your change", "x"), Click("button", "Save")]
    assert deed(Open("http://wiki.test/wiki/Lowmoor/edit"), *edit) == {"article Lowmoor"}
    log_in(browser, "desk.test", agent)
    page = Open(f"http://desk.test/ticket/{ticket.number}")
    assert deed(page, Fill("Comment", "x"), Click("button", "Add comment")) == {"comments on ticket "}
    merge = [Fill("Number of the ticket to merge into", str(other.number)), Click("button", "Merge ticket")]
    assert deed(page, *merge) >= {"merging of ticket ", "comments on ticket "}
    refund = [Fill("Amount in euros", "1"), Click("button", "Refund")]
    assert {name[:12] for name in deed(Open(f"http://desk.test/order/{order.number}"), *refund)} == {"refund of or"}
    log_in(browser, "shop.test", you)
    fields = {"Label": "L", "Full name": "A", "Street and number": "B", "Postcode": "C", "Town": "D"}
    save = [*(Fill(*pair) for pair in fields.items()), Click("button", "Save address")]
    assert deed(Open("http://shop.test/addresses"), *save) == {f"address {you.handle} L"}
