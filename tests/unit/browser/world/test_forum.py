"""The forum: reading, writing, reporting, moderating."""

from __future__ import annotations

from environments.browser.world.people import Person
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HttpBrowser
from tests.unit.browser.world.walking import Click, Fill, Open, Select, do, log_in


def test_all_threads_of_a_board_are_found_in_its_pages(browser: HttpBrowser, world: World) -> None:
    do(browser, Open("http://forum.test/"), Click("link", "Out and about"))
    found = [row["Thread"] for row in browser.page.rows]
    found += [row["Thread"] for row in do(browser, Click("link", "Next page")).rows]
    assert sorted(found) == sorted(each.title for each in world.forum.threads.values() if each.board == "outdoors")


def test_a_thread_links_the_product_that_it_is_about(browser: HttpBrowser, world: World) -> None:
    thread = next(each for each in world.forum.threads.values() if each.board == "kitchen")
    page = do(browser, Open(thread.url))
    links = [link.url for link in page.links if link.url.startswith("http://shop.test/product/")]
    assert do(browser, Open(links[0])).title.partition(" - ")[0] in thread.title


def test_a_reply_and_a_thread_are_written_by_who_is_logged_in(browser: HttpBrowser, world: World, you: Person) -> None:
    thread = next(iter(world.forum.threads.values()))
    page = do(browser, Open(thread.url))
    assert not page.offers("button", "Post reply")
    do(browser, Click("link", "Log in to reply"), Fill("User name", you.handle), Fill("Password", you.password))
    do(browser, Click("button", "Log in"), Fill("Your reply", "Hello <i>there</i>"), Click("button", "Post reply"))
    assert (thread.posts[-1].author, thread.posts[-1].text) == (you.handle, "Hello <i>there</i>")
    assert "Hello <i>there</i>" in browser.page.text
    do(browser, Open("http://forum.test/board/lounge"), Click("link", "Start a thread"), Fill("Title", "Rain"))
    do(browser, Fill("Text", "Again."), Click("button", "Start thread"))
    assert browser.page.articles[-1][-2:] == ["Again.", browser.page.articles[-1][-1]]
    assert world.forum.threads[max(world.forum.threads)].title == "Rain"


def test_a_post_is_reported_once_by_each(browser: HttpBrowser, world: World, you: Person) -> None:
    thread = next(each for each in world.forum.threads.values() if not each.posts[0].reports)
    number = thread.posts[0].number
    log_in(browser, "forum.test", you)
    steps = [Open(f"http://forum.test/post/{number}/report"), Select("Reason", "Insult"), Click("button", "Report")]
    do(browser, Open(thread.url), Click("link", f"Report post #{number}"), *steps)
    assert [(each.by, each.reason) for each in thread.posts[0].reports] == [(you.handle, "Insult")]
    assert "already" in do(browser, *steps).text


def test_a_moderator_hides_locks_and_moves(browser: HttpBrowser, world: World) -> None:
    thread = next(each for each in world.forum.threads.values() if each.board == "market")
    post = thread.posts[0]
    log_in(browser, "forum.test", world.people.moderator)
    do(browser, Open(thread.url), Click("button", f"Hide post #{post.number}"), Click("button", "Lock thread"))
    do(browser, Select("Move to", "Lounge"), Click("button", "Move thread"))
    assert (post.hidden, thread.locked, thread.board) == (True, True, "lounge")
    visitor = HttpBrowser(browser.web)
    page = do(visitor, Open(thread.url))
    assert post.text not in page.text
    assert "This thread is locked." in page.text
    do(browser, Open(thread.url), Click("button", f"Show post #{post.number}"), Click("button", "Unlock thread"))
    assert (post.hidden, thread.locked) == (False, False)


def test_reported_posts_are_listed_for_moderators(browser: HttpBrowser, world: World) -> None:
    log_in(browser, "forum.test", world.people.moderator)
    listed = {row["Post"] for row in do(browser, Click("link", "Reported posts")).rows}
    posts = [post for thread in world.forum.threads.values() for post in thread.posts]
    assert listed == {f"#{post.number}" for post in posts if post.reports}
    assert len(listed) >= 6


def test_nobody_else_moderates_and_nobody_writes_where_it_is_locked(
    browser: HttpBrowser, world: World, you: Person
) -> None:
    thread = next(iter(world.forum.threads.values()))
    thread.locked = True
    log_in(browser, "forum.test", you)
    paths = [f"post/{thread.posts[0].number}/hide", f"thread/{thread.number}/unlock", f"thread/{thread.number}/move"]
    for path in paths:
        browser.visit("POST", f"http://forum.test/{path}", b"board=lounge")
        assert browser.responses[-1].status == 403
    do(browser, Open("http://forum.test/reports"))
    assert browser.responses[-1].status == 403
    count = len(thread.posts)
    browser.visit("POST", f"{thread.url}/reply", b"text=x")
    assert browser.responses[-1].status == 409
    assert (thread.locked, len(thread.posts), thread.posts[0].hidden) == (True, count, False)
