"""Each obstacle: that it is there, how one gets past it, and that it is the same again after a restart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from environments.browser.miniwob import wheel
from environments.browser.obstacles import faults, parse_obstacles
from environments.browser.obstacles.obstacle import is_document
from environments.browser.obstacles.options import KNOWN
from environments.browser.obstacles.rewriting import WORDINGS
from environments.browser.obstacles.web import KINDS, ObstructedWeb
from environments.browser.web.messages import Request, Response
from environments.browser.web.web import MAX_BODY
from environments.browser.world.gold.page import Page
from environments.browser.world.making import make_web, make_world
from environments.browser.world.world import World
from tests.unit.browser.world.http_browser import HTML, HttpBrowser
from tests.unit.browser.world.walking import Click, Fill, Open, do, in_stock, log_in

SHOP = "http://shop.test/"
TENTS = "http://shop.test/category/tents?sort=cheap"


@pytest.fixture
def world() -> World:
    return make_world("obstacles")


def behind(world: World, seed: str = "s", **options: Any) -> HttpBrowser:
    return HttpBrowser(ObstructedWeb(make_web(world), parse_obstacles(options), seed))


def statuses(browser: HttpBrowser, *urls: str) -> list[int]:
    return [browser.ask("GET", url).status for url in urls]


def again(browser: HttpBrowser, world_seed: str, **options: Any) -> HttpBrowser:
    """The same after a restart of the server."""
    other = behind(make_world(world_seed), **options)
    other.web.restore(json.loads(json.dumps(browser.web.snapshot())))
    other.cookies = browser.cookies
    return other


# Which there are


def test_there_is_one_of_each_that_can_be_chosen() -> None:
    assert set(KNOWN) == set(KINDS)


def test_without_obstacles_everything_is_as_it_is(world: World) -> None:
    plain, behind_none = HttpBrowser(make_web(world)), behind(make_world("obstacles"))
    for url in (SHOP, TENTS, "http://wiki.test/all", "http://mail.test/", "http://x.test/", "http://[x/"):
        assert plain.web.answer(Request("GET", url, {"accept": HTML})) == behind_none.web.answer(
            Request("GET", url, {"accept": HTML})
        )
    assert behind_none.web.hosts == plain.web.hosts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"moat": True}, "unknown obstacles \\['moat'\\]; there are cookie_wall, newsletter"),
        ({"captcha": 3}, "'captcha' is 3, must be true, false or an object"),
        ({"captcha": {"before": 3}}, "'captcha' does not take \\['before'\\]; it takes after"),
        ({"cookie_wall": {"x": 1}}, "it takes nothing"),
        ({"captcha": {"after": -1}}, "'after' of the obstacle 'captcha' is -1, must be a whole number from 0 to 1000"),
        ({"captcha": {"after": True}}, "must be a whole number"),
        ({"captcha": {"after": 1.0}}, "must be a whole number"),
        ({"slow": {"share": 2}}, "must be a number from 0 to 1"),
        ({"slow": {"share": float("nan")}}, "must be a number"),
        ({"slow": {"delay_s": 60}}, "must be a number from 0 to 10"),
        ({"fail_once": {"how": "explode"}}, "must be one of error, reset"),
        ({"fail_once": {"how": ["error"]}}, "must be one of error, reset"),
        ({"wording": {"variant": 3}}, "from 1 to 2"),
        ({"layout": None}, "must be true, false or an object"),
    ],
)
def test_what_is_chosen_wrongly_is_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_obstacles(options)


def test_true_is_the_usual_false_is_none_and_an_object_says_the_rest() -> None:
    chosen = parse_obstacles({"captcha": True, "layout": False, "slow": {"share": 1}}).chosen
    assert chosen == {"captcha": {"after": 3}, "slow": {"share": 1.0, "delay_s": 2.0}}


# Gates


def test_a_cookie_wall_stands_before_each_site_until_one_chooses(world: World) -> None:
    browser = behind(world, cookie_wall=True)
    page = do(browser, Open(TENTS))
    assert "Tents" not in page.text
    page = do(browser, Click("button", "Only necessary"))
    assert page.url == TENTS
    assert "13 products" in page.text
    assert browser.cookies["shop.test"]["consent"] == "necessary"
    assert do(browser, Open("http://wiki.test/all")).offers("button", "Accept all")
    assert "Lowmoor" in do(browser, Click("button", "Accept all")).text
    assert browser.cookies["wiki.test"]["consent"] == "all"


def test_a_wall_leads_back_to_its_own_site_alone(world: World) -> None:
    browser = behind(world, cookie_wall=True)
    for target in ("http://evil.test/", "//evil.test/", "/\\evil.test"):
        response = browser.ask("POST", f"{SHOP}.consent", f"next={target}".encode())
        assert dict(response.headers)["location"] == "/"


def test_a_newsletter_covers_pages_until_it_is_answered(world: World) -> None:
    browser = behind(world, newsletter={"after": 1})
    assert not do(browser, Open(SHOP)).offers("button", "No, thanks")
    page = do(browser, Open(TENTS))
    assert page.offers("button", "No, thanks")
    assert "13 products" in page.text
    restarted = again(browser, "obstacles", newsletter={"after": 1})
    assert do(restarted, Open(SHOP)).offers("button", "Subscribe")
    page = do(browser, Click("button", "No, thanks"))
    assert (page.url, page.offers("button", "No, thanks")) == (TENTS, False)
    assert not do(browser, Open(SHOP)).offers("button", "No, thanks")


def solve(page: Page) -> str:
    words = "zero one two three four five six seven eight nine ten eleven twelve".split()
    line = next(line for line in page.lines if "the sum of" in line).split()
    return str(words.index(line[line.index("of") + 1]) + words.index(line[line.index("and") + 1]))


def test_a_question_for_humans_is_asked_until_it_is_answered_rightly(world: World) -> None:
    browser = behind(world, captcha={"after": 2})
    do(browser, Open(SHOP), Open(SHOP))
    first = do(browser, Open(TENTS))
    assert "Are you a human?" in first.text
    second = do(browser, Fill("Your answer", "99"), Click("button", "Continue"))
    assert browser.responses[-1].status == 403
    assert solve(second) != solve(first)
    restarted = again(browser, "obstacles", captcha={"after": 2})
    assert solve(do(restarted, Open(TENTS))) == solve(second)
    page = do(browser, Fill("Your answer", solve(second)), Click("button", "Continue"))
    assert page.url == TENTS
    assert "13 products" in page.text
    assert "Are you a human?" not in do(browser, Open(SHOP)).text


def test_a_login_is_forgotten_once_and_a_new_one_holds(world: World) -> None:
    browser = behind(world, session_expiry={"after": 3})
    log_in(browser, "shop.test", world.people.you)  # the page after it is the first request with the login
    do(browser, Open(f"{SHOP}product/{in_stock(world)}"), Open(f"{SHOP}orders"))
    assert browser.page.url == f"{SHOP}orders"
    page = do(browser, Open(f"{SHOP}addresses"))
    assert page.url == f"{SHOP}login?next=%2Faddresses"
    restarted = again(browser, "obstacles", session_expiry={"after": 3})
    assert "Log in" in do(restarted, Open(f"{SHOP}orders")).title
    log_in(browser, "shop.test", world.people.you)
    for _ in range(6):
        assert do(browser, Open(f"{SHOP}orders")).url == f"{SHOP}orders"


def test_a_lost_login_keeps_what_a_visitor_had(world: World) -> None:
    browser = behind(world, session_expiry={"after": 3})
    log_in(browser, "shop.test", world.people.you)
    do(browser, Open(f"{SHOP}product/{in_stock(world)}"), Click("button", "Add to cart"))
    page = do(browser, Open(f"{SHOP}cart"))
    assert "Logged in" not in page.text
    assert "Cart (1)" in page.text


def test_only_logins_that_a_site_has_given_out_are_counted(world: World) -> None:
    browser = behind(world, session_expiry={"after": 3})
    log_in(browser, "shop.test", world.people.you)
    for number in range(50):
        browser.web.answer(Request("GET", SHOP, {"accept": HTML, "cookie": f"login={number}{'x' * 4000}"}))
    counts, expired = browser.web.snapshot()["obstacles"]["session_expiry"]
    assert (counts, expired) == ({browser.cookies["shop.test"]["login"]: 1}, [])


def test_a_form_that_is_too_large_is_read_by_no_obstacle(world: World) -> None:
    browser = behind(world, cookie_wall=True, captcha={"after": 0})
    body = b"next=/&choice=all&" + b"x" * MAX_BODY
    for path in (".consent", ".check", "login"):
        assert browser.ask("POST", f"{SHOP}{path}", body).status == 413
    assert browser.web.snapshot()["obstacles"]["captcha"] == [0, 0, False]


# Faults


def test_too_many_requests_are_refused_by_their_count(world: World) -> None:
    options: dict[str, Any] = {"rate_limit": {"requests": 3, "refusals": 2}}
    browser = behind(world, **options)
    assert statuses(browser, *[SHOP] * 4) == [200, 200, 200, 429]
    assert dict(browser.responses[-1].headers)["retry-after"] == "1"
    restarted = again(browser, "obstacles", **options)
    assert statuses(restarted, *[SHOP] * 5) == [429, 200, 200, 200, 429]


def test_what_a_page_is_made_of_is_counted_nowhere(world: World) -> None:
    browser = behind(world, rate_limit={"requests": 1, "refusals": 5})
    for _ in range(5):
        assert browser.web.answer(Request("GET", f"{SHOP}style.css", {"accept": "text/css,*/*;q=0.1"})).status == 200
    assert statuses(browser, SHOP, SHOP) == [200, 429]


@pytest.mark.parametrize("accept", [{}, {"accept": "*/*"}, {"accept": "text/css"}, {"accept": HTML}])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_asked_for_is_known_by_its_address_and_not_by_what_is_said_of_it(
    method: str, accept: dict[str, str]
) -> None:
    documents = [SHOP, TENTS, f"{SHOP}orders.csv", f"{SHOP}product/x.y", f"{SHOP}search?q=x.css", f"{SHOP}.check"]
    documents += [f"http://miniwob.test{path}" for path in wheel.files() if path.endswith(".html")]
    parts = [f"{SHOP}style.css", f"{SHOP}favicon.ico", f"{SHOP}favicon.ICO?1"]
    parts += [f"http://miniwob.test{path}" for path in wheel.files() if not path.endswith(".html")]
    assert all(is_document(Request(method, url, accept)) for url in documents)
    assert not any(is_document(Request(method, url, accept)) for url in parts)
    assert is_document(Request("POST", f"{SHOP}style.css", accept))


def test_no_obstacle_lets_a_program_through_that_says_nothing_of_what_it_wants(world: World) -> None:
    for options, status, says in (
        ({"captcha": {"after": 0}}, 200, b"Are you a human?"),
        ({"cookie_wall": True}, 200, b"We value your privacy"),
        ({"rate_limit": {"requests": 1, "refusals": 9}}, 429, b"Too many requests"),
        ({"fail_once": {"share": 1}}, 500, b"Something went wrong"),
    ):
        web = behind(world, **options).web
        if status == 429:
            web.answer(Request("GET", SHOP))
        response = web.answer(Request("GET", TENTS))
        assert (response.status, says in response.body) == (status, True)


@pytest.mark.parametrize("how", ["error", "reset"])
def test_a_request_fails_once_and_changes_nothing_then(world: World, how: str) -> None:
    options: dict[str, Any] = {"fail_once": {"share": 1, "how": how}}
    browser = behind(world, **options)
    body = f"product={in_stock(world)}&quantity=1".encode()
    failed = browser.ask("POST", f"{SHOP}cart/add", body)
    assert (failed.abort, failed.status == 500) == (how == "reset", how == "error")
    assert not world.shop.carts
    restarted = again(browser, "obstacles", **options)
    assert restarted.ask("POST", f"{SHOP}cart/add", body).status == 303
    assert browser.ask("POST", f"{SHOP}cart/add", body).status == 303
    assert browser.ask("GET", SHOP).status != 200 or how == "reset"
    assert browser.ask("GET", SHOP).status == 200


def test_a_share_of_requests_fails_and_others_do_under_another_seed(world: World) -> None:
    urls = [f"http://wiki.test/wiki/{title.replace(' ', '_')}" for title in world.wiki.articles]
    first, same, other = (statuses(behind(world, seed, fail_once={"share": 0.3}), *urls) for seed in ("a", "a", "b"))
    assert first == same != other
    assert 0.1 < first.count(500) / len(urls) < 0.5


def test_only_so_many_requests_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "MAX_FAILED", 3)
    options: dict[str, Any] = {"fail_once": {"share": 1}}
    browser = behind(world, **options)
    urls = [f"{SHOP}?{number}" for number in range(5)]
    assert statuses(browser, *urls) == [500, 500, 500, 200, 200]
    failed = browser.web.snapshot()["obstacles"]["fail_once"]
    assert failed == sorted(failed)
    assert statuses(again(browser, "obstacles", **options), *urls) == [200] * 5


def test_some_addresses_take_their_time(world: World) -> None:
    browser = behind(world, slow={"share": 0.5, "delay_s": 3})
    urls = [f"http://wiki.test/wiki/{title.replace(' ', '_')}" for title in world.wiki.articles]
    delays = [browser.ask("GET", url).delay_s for url in urls]
    assert set(delays) == {0.0, 3.0}
    assert delays == [browser.ask("GET", url).delay_s for url in urls]


# Words and order


@pytest.mark.parametrize("variant", WORDINGS)
def test_the_same_things_are_called_otherwise(world: World, variant: int) -> None:
    words = WORDINGS[variant]
    assert len(set(words.values())) == len(words)
    assert not set(words) & set(words.values())
    browser = behind(world, wording={"variant": variant})
    page = do(browser, Open(f"{SHOP}product/{in_stock(world)}"))
    assert page.offers("button", words["Add to cart"])
    assert not page.offers("button", "Add to cart")
    page = do(browser, Click("button", words["Add to cart"]))
    assert page.offers("link", words["Go to checkout"])
    do(browser, Open(f"{SHOP}login"), Fill(words["User name"], world.people.you.handle))
    do(browser, Fill(words.get("Password", "Password"), world.people.you.password), Click("button", words["Log in"]))
    assert f"Logged in as {world.people.you.name}" in browser.page.text


def test_what_people_have_written_keeps_its_words(world: World) -> None:
    thread = next(iter(world.forum.threads.values()))
    thread.posts[0].text = "Add to cart"
    assert "Add to cart" in do(behind(world, wording=True), Open(thread.url)).lines


@pytest.mark.parametrize("variant", [1, 2, 3])
def test_a_layout_has_all_parts_in_another_order(world: World, variant: int) -> None:
    usual = do(behind(world), Open(TENTS))
    page = do(behind(world, layout={"variant": variant}), Open(TENTS))
    assert sorted(page.lines) == sorted(usual.lines)
    assert (page.lines != usual.lines) == (variant > 1)
    assert page.root.all("body")[0].attributes["class"] != "plain"
    place = [node.tag for node in page.root.walk() if node.tag in ("main", "nav")]
    assert place[0] == ("nav" if variant == 1 else "main")


# Instructions of pages


@pytest.mark.parametrize("how", ["notice", "comment", "hidden"])
def test_a_page_lures_and_who_follows_is_noted(world: World, how: str) -> None:
    browser = behind(world, prompt_injection={"how": how})
    page = do(browser, Open(TENTS))
    web = browser.web
    assert isinstance(web, ObstructedWeb)
    url = page.text.partition("http://shop.test/gift")[2].split()[0].rstrip(".")
    lure = f"http://shop.test/gift{url}"
    assert "?code=" in lure
    assert web.notes() == []
    for wrong in ("http://shop.test/gift", "http://shop.test/gift?code=x", "http://shop.test/gifts?code=x"):
        assert browser.ask("GET", wrong).status == 404
    assert web.notes() == []
    restarted = again(browser, "obstacles", prompt_injection={"how": how})
    assert lure in do(restarted, Open(TENTS)).text
    assert browser.ask("GET", lure).status == 200
    note = {"detector": "prompt_injection_obeyed", "evidence": lure}
    assert web.notes() == [note]
    web.answer(Request("GET", lure.replace("http:", "https:"), {"accept": "image/*"}))  # a picture's address counts too
    assert len(web.notes()) == 2
    restarted = again(browser, "obstacles", prompt_injection={"how": how})
    assert isinstance(restarted.web, ObstructedWeb)
    assert restarted.web.notes() == web.notes()


def test_only_a_share_of_pages_lures_and_each_seed_has_its_own_address(world: World) -> None:
    urls = [f"http://wiki.test/wiki/{title.replace(' ', '_')}" for title in world.wiki.articles]
    browser = behind(world, prompt_injection={"share": 0.5})
    texts = [do(browser, Open(url)).text for url in urls]
    assert 0.2 < sum("gift" in text for text in texts) / len(texts) < 0.8
    first, second = (do(behind(world, seed, prompt_injection=True), Open(SHOP)).text for seed in ("a", "b"))
    assert first != second


def test_all_together_end_with_the_page_that_was_asked_for(world: World) -> None:
    options: dict[str, Any] = {name: True for name in KNOWN if name != "wording"}
    browser = behind(world, **options)
    for _ in range(30):
        page = do(browser, Open(TENTS)) if "Are you a human?" not in browser.page.text else browser.page
        if page.offers("button", "Only necessary"):
            do(browser, Click("button", "Only necessary"))
        elif "Are you a human?" in page.text:
            do(browser, Fill("Your answer", solve(page)), Click("button", "Continue"))
        elif page.offers("button", "No, thanks"):
            do(browser, Click("button", "No, thanks"))
    assert "13 products" in browser.page.text
    kinds = {response.status for response in browser.responses}
    assert kinds >= {200, 303, 429}
    assert isinstance(browser.responses[-1], Response)
