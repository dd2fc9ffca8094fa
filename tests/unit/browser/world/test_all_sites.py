"""What holds for every site: nothing breaks it, nothing is believed, everything is escaped and repeated."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.browser.web.messages import Request
from environments.browser.world.gold.page import Page
from environments.browser.world.making import make_web, make_world
from environments.browser.world.people import Person
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HttpBrowser
from tests.unit.browser.world.walking import Click, Fill, Open, do, in_stock, log_in

HOSTS = ("shop.test", "wiki.test", "forum.test", "mail.test", "desk.test")
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&<!--more-->"


def person_of(world: World, host: str) -> Person:
    return {"desk.test": world.people.agents[0], "forum.test": world.people.moderator}.get(host, world.people.you)


def crawl(browser: HttpBrowser, host: str, most: int = 500) -> dict[str, Page]:
    """All pages of a site that links lead to."""
    waiting, pages = [f"http://{host}/"], dict[str, Page]()
    while waiting and len(pages) < most:
        url = waiting.pop()
        if url in pages:
            continue
        pages[url] = do(browser, Open(url))
        assert browser.responses[-1].status == 200, (url, pages[url].text)
        waiting += [link.url for link in pages[url].links if link.url.startswith(f"http://{host}/")]
    return pages


@pytest.mark.parametrize("host", HOSTS)
def test_every_link_leads_somewhere_and_every_field_has_its_own_label(
    browser: HttpBrowser, world: World, host: str
) -> None:
    log_in(browser, host, person_of(world, host))
    pages = crawl(browser, host)
    assert len(pages) > 30
    outside = set()
    for url, page in pages.items():
        outside |= {link.url for link in page.links if not link.url.startswith(f"http://{host}/")}
        ids = [node.attributes["id"] for node in page.root.walk() if "id" in node.attributes]
        assert len(ids) == len(set(ids)), url
        labelled = {node.attributes.get("for") for node in page.root.all("label")}
        for node in page.root.all("input", "select", "textarea"):
            hidden = node.attributes.get("type") == "hidden"
            assert hidden or node.attributes.get("id") in labelled or "aria-label" in node.attributes, url
    visitor = HttpBrowser(browser.web)
    for url in sorted(outside):
        do(visitor, Open(url))
        assert visitor.responses[-1].status == 200, url


@pytest.mark.parametrize("host", HOSTS)
def test_https_shows_the_same(browser: HttpBrowser, host: str) -> None:
    assert do(browser, Open(f"https://{host}/")).text == do(browser, Open(f"http://{host}/")).text
    assert browser.responses[-1].status == 200


@pytest.mark.parametrize("host", HOSTS)
def test_what_there_is_not_is_a_404(browser: HttpBrowser, world: World, host: str) -> None:
    log_in(browser, host, person_of(world, host))
    for path in ("x", "product/x", "category/x", "orders/x", "wiki/x", "thread/0", "board/x", "message/0", "ticket/0"):
        do(browser, Open(f"http://{host}/{path}"))
        assert browser.responses[-1].status == 404, path
    for method, status in (("DELETE", 405), ("POST", 405)):
        assert browser.ask(method, f"http://{host}/").status == status
    assert browser.ask("GET", f"http://{host}/{'x' * 2000}").status == 414


def test_head_is_answered_as_get(browser: HttpBrowser) -> None:
    assert browser.ask("HEAD", "http://shop.test/").status == 200


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("GET", "http://shop.test/category/tents?page=0", b""),
        ("GET", "http://shop.test/category/tents?page=x", b""),
        ("GET", "http://shop.test/category/tents?max=x", b""),
        ("GET", "http://shop.test/category/tents?rating=9", b""),
        ("POST", "http://shop.test/cart/add", b""),
        ("POST", "http://shop.test/cart/add", b"\xff\xfe"),
        ("POST", "http://shop.test/login", b"user=x"),
        ("POST", "http://forum.test/login", b"password=x&user=%00"),
    ],
)
def test_what_is_malformed_changes_nothing(browser: HttpBrowser, method: str, url: str, body: bytes) -> None:
    assert browser.ask(method, url, body).status == 400
    assert browser.web.snapshot() == []


def test_a_form_that_is_not_sent_as_one_says_nothing(browser: HttpBrowser, world: World) -> None:
    slug = in_stock(world)
    request = Request(
        "POST", "http://shop.test/cart/add", {"content-type": "text/plain"}, f"product={slug}&quantity=1".encode()
    )
    assert browser.web.answer(request).status == 400


def test_a_login_leads_to_no_other_site(browser: HttpBrowser, you: Person) -> None:
    for target in ("http://evil.test/", "//evil.test/", "/\\evil.test/", "evil"):
        do(browser, Open(f"http://shop.test/login?{urlencode({'next': target})}"))
        do(browser, Fill("User name", you.handle), Fill("Password", you.password), Click("button", "Log in"))
        assert browser.page.url == "http://shop.test/"


def test_a_wrong_password_and_a_made_up_cookie_let_nobody_in(browser: HttpBrowser, you: Person) -> None:
    do(browser, Open("http://mail.test/login"), Fill("User name", you.handle), Fill("Password", you.password + "x"))
    assert "wrong" in do(browser, Click("button", "Log in")).text
    browser.cookies["mail.test"] = {"login": "0" * 24, "visitor": "0" * 24}
    assert do(browser, Open("http://mail.test/")).url.startswith("http://mail.test/login")


def test_a_logout_ends_the_login_itself(at_mail: HttpBrowser) -> None:
    cookies = dict(at_mail.cookies["mail.test"])
    do(at_mail, Click("button", "Log out"))
    at_mail.cookies["mail.test"] = cookies
    assert do(at_mail, Open("http://mail.test/")).url.startswith("http://mail.test/login")


def test_what_anybody_writes_is_shown_as_text(browser: HttpBrowser, world: World) -> None:
    you, text = world.people.you, HOSTILE
    thread = next(iter(world.forum.threads.values()))
    log_in(browser, "forum.test", you)
    pages = [do(browser, Open(thread.url), Fill("Your reply", text), Click("button", "Post reply"))]
    pages += [do(browser, Open("http://forum.test/board/lounge/new"), Fill("Title", text), Fill("Text", text))]
    pages += [do(browser, Click("button", "Start thread"))]
    log_in(browser, "wiki.test", you)
    do(
        browser,
        Open("http://wiki.test/wiki/Lindenau/edit"),
        Fill("Text of the article", f"| {text} = {text}\n\n[[{text}]]"),
    )
    pages += [do(browser, Fill("Summary of your change", text), Click("button", "Save"))]
    pages += [do(browser, Click("link", "History")), do(browser, Open("http://wiki.test/wiki/Lindenau/edit"))]
    log_in(browser, "mail.test", you)
    do(browser, Open("http://mail.test/compose"), Fill("To", you.email), Fill("Subject", text), Fill("Message", text))
    pages += [do(browser, Click("button", "Send")), do(browser, Click("link", text))]
    query = urlencode({"q": text, "max": "1", "sort": text, "done": text, "next": text, "maker": text})
    pages += [
        do(browser, Open(f"http://{host}{path}?{query}")) for host in HOSTS for path in ("/", "/search", "/login")
    ]
    pages += [do(browser, Open(f"http://shop.test/{text}"))]
    shown = 0
    for page in pages:
        assert not page.root.all("script", "img"), page.url
        assert sum(node.tag == "main" for node in page.root.walk()) == 1
        shown += "<script>alert(1)</script>" in page.text
    assert shown >= 7


def walk_about(seed: str) -> tuple[HttpBrowser, World]:
    world = make_world(seed)
    browser = log_in(HttpBrowser(make_web(world)), "shop.test", world.people.you)
    do(browser, Open(f"http://shop.test/product/{in_stock(world)}"), Click("button", "Add to cart"))
    do(browser, Click("link", "Go to checkout"), Click("radio", "Pick-up point: €2.50"))
    home = world.shop.addresses[world.people.you.handle][0]
    do(browser, Click("radio", f"Home: {home.lines}"), Click("button", "Review order"), Click("button", "Place order"))
    log_in(browser, "mail.test", world.people.you)
    do(browser, Open("http://mail.test/"), Click("link", browser.page.rows[0]["Subject"]))
    return browser, world


def test_the_same_requests_get_the_same_answers() -> None:
    (first, _), (second, _) = walk_about("a"), walk_about("a")
    assert first.responses == second.responses
    assert walk_about("b")[0].responses != first.responses


def test_a_web_comes_back_from_its_snapshot() -> None:
    browser, world = walk_about("a")
    again = make_world("a")
    web = make_web(again)
    web.restore(browser.web.snapshot())
    assert again == world
    assert web.snapshot() == browser.web.snapshot()
    assert len(browser.web.snapshot()) == 6  # two logins, cart, checkout, order, a first reading
    other = HttpBrowser(web, cookies=browser.cookies)
    for url in ("http://shop.test/orders", "http://mail.test/", "http://shop.test/cart"):
        assert do(other, Open(url)).text == do(browser, Open(url)).text


def test_looking_around_changes_nothing(browser: HttpBrowser) -> None:
    crawl(browser, "shop.test", 60)
    crawl(browser, "wiki.test", 60)
    assert browser.web.snapshot() == []


def test_past_what_is_kept_looking_is_answered_and_leaves_the_world_as_it_comes_back() -> None:
    world = make_world("full")
    world.watched = frozenset(("forum board lounge", "mail folder Trash"))
    browser = log_in(HttpBrowser(make_web(world)), "mail.test", world.people.you)
    unread = next(each for each in world.mail.in_folder(world.people.you.handle, "Inbox") if not each.read)
    body = urlencode({"to": "a@b.test", "subject": "s", "text": "x" * 7_000}).encode()
    statuses = [browser.ask("POST", "http://mail.test/send", body).status for _ in range(60)]
    assert (set(statuses), statuses[-1]) == ({303, 429}, 429)
    long = "x" * 20_000  # more than the room that is left
    for path in (f"mail.test/message/{unread.number}", "mail.test/folder/Trash", "forum.test/board/lounge"):
        assert browser.ask("GET", f"http://{path}?{long}").status == 200
    assert (unread.read, world.seen) == (False, set())
    again = make_world("full")
    again.watched = world.watched
    web = make_web(again)
    web.restore(browser.web.snapshot())
    assert again == world


def test_a_form_that_is_too_large_is_refused_by_each_site_and_method(browser: HttpBrowser) -> None:
    for host in HOSTS:
        for method in ("GET", "POST", "PUT"):
            assert browser.ask(method, f"http://{host}/login", b"user=x&" + b"x" * 60_000).status == 413


def test_a_form_is_read_only_where_it_is_needed(browser: HttpBrowser) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    request = Request("POST", "http://shop.test/nowhere", headers, b"a=1")
    assert browser.web.answer(request).status == 404
    assert "form" not in vars(request)


@pytest.mark.parametrize("host", HOSTS)
def test_an_address_of_any_site_that_somebody_writes_is_a_link(
    browser: HttpBrowser, world: World, you: Person, host: str
) -> None:
    url = f"http://{host}/"
    post = next(iter(world.forum.threads.values())).posts[0]
    post.text = f"See {url} and\n{url}x not http://evil.test/ or http://{host}.evil.test/"
    note = world.mail.put(you.handle, "Inbox", "a@b.test", you.email, "s", post.text, world.clock.next(), read=False)
    world.wiki.articles["Lindenau"].add("x", world.clock.next(), "", f"[{url} one] [{url}x two] [http://evil.test/ x]")
    log_in(browser, "mail.test", you)
    for page in (
        next(iter(world.forum.threads.values())).url,
        f"http://mail.test/message/{note.number}",
        "http://wiki.test/wiki/Lindenau",
    ):
        links = {link.url for link in do(browser, Open(page)).links}
        assert {url, f"{url}x"} <= links, page
        assert not any("evil" in link for link in links), page


def test_a_world_is_the_same_in_every_process() -> None:
    code = "from environments.browser.world.making import make_world; print(repr(make_world('x')))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert len(said.pop()) > 100_000


_FUZZED = make_web(make_world("fuzz"))
_PARTS = st.sampled_from(
    "cart add orders product category tents wiki Lindenau edit history restore thread post report hide board lounge "
    "new message 1 move ticket 7001 merge update login search checkout place review send folder Inbox %00 .. ²".split()
)
_NAMES = st.sampled_from(
    "q page max rating sort product quantity user password next text title summary base revision board to subject "
    "folder from m1 m² state priority assignee into who amount number reason stars done".split()
)
_FIELDS = st.dictionaries(_NAMES, st.text(max_size=20), max_size=6)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    host=st.sampled_from(HOSTS),
    method=st.sampled_from(("GET", "POST", "HEAD", "PUT")),
    parts=st.lists(_PARTS, max_size=4),
    query=_FIELDS,
    form=_FIELDS,
    cookie=st.text(max_size=30),
    known=st.booleans(),
)
def test_nothing_that_is_asked_breaks_a_site(
    host: str, method: str, parts: list[str], query: dict[str, str], form: dict[str, str], cookie: str, known: bool
) -> None:
    world = make_world("fuzz")
    web = make_web(world) if known else _FUZZED
    browser = HttpBrowser(web)
    if known:
        log_in(browser, host, person_of(world, host))
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies[host].items())
    url = f"http://{host}/{'/'.join(parts)}?{urlencode(query, errors='replace')}"
    headers = {"cookie": cookie, "content-type": "application/x-www-form-urlencoded"}
    response = web.answer(Request(method, url, headers, urlencode(form, errors="replace").encode()))
    assert response.status in (200, 303, 400, 403, 404, 405, 409, 413, 414)
    Page(url, response.body.decode())
