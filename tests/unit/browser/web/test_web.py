"""The web of an episode: finds sites, survives them, and comes back."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from environments.browser.web.messages import MAX_COOKIES, Request, Response, inside
from environments.browser.web.site import Site
from environments.browser.web.web import MAX_BODY, MAX_KEPT_BYTES, Web


class Counting(Site):
    """Counts what is posted, and says how much that is; at `/look` it counts who looks."""

    hosts = ("count.test", "www.count.test")

    def __init__(self) -> None:
        self.count = 0

    def answer(self, request: Request) -> Response:
        if request.path == "/break":
            raise RuntimeError("broken")
        looks = request.path == "/look" and not self.sealed
        if looks or request.method not in ("GET", "HEAD"):
            self.count += int(request.form.get("by", "1"))
            self.version += 1
        return Response.plain(str(self.count), 404 if request.path == "/favicon.ico" else 200)


FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}


def test_a_site_is_found_under_each_of_its_names_and_by_any_scheme_and_port() -> None:
    web = Web([Counting()])
    for url in ("http://count.test/", "https://count.test/", "http://WWW.count.test:80/x?y"):
        assert web.answer(Request("GET", url)).body == b"0"
    assert web.serves("count.test")
    assert not web.serves("x.test")
    assert web.hosts == ("count.test", "www.count.test")


@pytest.mark.parametrize(
    ("url", "status"), [("http://x.test/", 502), ("http://[x/", 400), ("http://", 502), ("x", 502)]
)
def test_what_is_no_site_is_said(url: str, status: int) -> None:
    assert Web([Counting()]).answer(Request("GET", url)).status == status


def test_a_site_that_breaks_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        assert Web([Counting()]).answer(Request("GET", "http://count.test/break")).status == 500


def test_an_icon_that_there_is_not_is_nothing() -> None:
    assert Web([Counting()]).answer(Request("GET", "http://count.test/favicon.ico")).status == 204


def test_what_changed_a_site_is_kept_and_brings_it_back() -> None:
    web = Web([Counting()])
    web.answer(Request("GET", "http://count.test/"))
    web.answer(Request("POST", "http://count.test/", FORM, b"by=3&by=4"))
    web.answer(Request("POST", "http://count.test/", {"content-type": "text/plain"}, b"by=9"))
    assert [change["body"] for change in web.snapshot()] == ["by=3&by=4", "by=9"]
    again = Web([Counting()])
    again.restore(web.snapshot())
    assert again.answer(Request("GET", "http://count.test/")).body == b"4"
    assert again.snapshot() == web.snapshot()


def test_what_is_kept_has_a_limit_and_looking_has_none() -> None:
    web = Web([Counting()])
    post = Request("POST", "http://count.test/", FORM, b"by=1&junk=" + b"x" * 50_000)
    assert [web.answer(post).status for _ in range(7)] == [200] * 5 + [429] * 2
    assert web.answer(Request("GET", "http://count.test/")).body == b"5"
    assert len(web.snapshot()) == 5
    again = Web([Counting()])
    again.restore(web.snapshot())
    assert again.answer(post).status == 429


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "large",
    [
        {"url": f"http://count.test/?{'x' * 10_000}"},
        {"headers": {"cookie": "x" * 10_000}},
        {"headers": {"content-type": "x" * 10_000}},
        {"headers": {"origin": "\x80" * 10_000}},
        {"body": b"\0" * 10_000},
    ],
)
def test_all_that_is_kept_counts_as_it_is_written_down(method: str, large: dict[str, Any]) -> None:
    web = Web([Counting()])
    request = Request(**{"method": method, "url": "http://count.test/", **large})
    assert {web.answer(request).status for _ in range(30)} == {200, 429}
    assert MAX_KEPT_BYTES * 0.7 < len(json.dumps(web.snapshot())) <= MAX_KEPT_BYTES


def test_looking_past_what_can_be_kept_is_answered_and_changes_nothing() -> None:
    web = Web([Counting()])
    for _ in range(30):
        web.answer(Request("GET", "http://count.test/look", {"cookie": "x" * 10_000}))
    assert len(web.snapshot()) == 25
    assert len(json.dumps(web.snapshot())) <= MAX_KEPT_BYTES
    again = Web([Counting()])
    again.restore(web.snapshot())
    for each in (web, again):
        assert each.answer(Request("GET", "http://count.test/")).body == b"25"
        assert each.answer(Request("GET", "http://count.test/look")).body == b"26"  # a small one fits


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_body_that_is_too_large_reaches_no_site(method: str) -> None:
    web = Web([Counting()])
    assert web.answer(Request(method, "http://count.test/", FORM, b"x" * (MAX_BODY + 1))).status == 413
    assert web.answer(Request("GET", "http://count.test/")).body == b"0"
    assert web.answer(Request(method, "http://count.test/", FORM, b"x" * MAX_BODY)).status == 200


def test_a_request_says_what_was_sent() -> None:
    headers = {**FORM, "cookie": 'a=1; b="x y"; a=2', "x": "y"}
    request = Request("POST", "http://H.test/p?q=1&q=2&e=", headers, b"n=%C3%A4+b&n=c")
    assert (request.host, request.path, request.query, request.form) == (
        "h.test",
        "/p",
        {"q": "1", "e": ""},
        {"n": "ä b"},
    )
    assert request.cookies == {"a": "2", "b": '"x y"'}
    kept = Request.of(request.as_json())
    assert (kept.method, kept.url, kept.form, kept.cookies) == ("POST", request.url, request.form, request.cookies)
    assert Request("GET", "http://h.test").path == "/"
    assert Request("POST", "http://h.test/", {}, b"n=1").form == {}
    assert Request("GET", "http://h.test/?" + "&".join(f"a{n}=1" for n in range(2000))).query == {}
    assert Request("GET", "http://h.test/", {"cookie": "\x00;;=; a"}).cookies == {}


@pytest.mark.parametrize(
    ("said", "cookies"),
    [
        ("a=1; b=2", {"a": "1", "b": "2"}),
        (" a = 1 ;b=2;", {"a": "1", "b": "2"}),
        ("a=1=2; b=", {"a": "1=2", "b": ""}),
        ("a; =1; b=2", {"b": "2"}),
        ("a=1; a=2", {"a": "2"}),
        ('a={"b": 1}; login=x', {"a": '{"b": 1}', "login": "x"}),
        ('a="\\134"', {"a": '"\\134"'}),
        ("a=" + "x" * (MAX_COOKIES - 2), {"a": "x" * (MAX_COOKIES - 2)}),
        ("a=" + "x" * (MAX_COOKIES - 1), {}),
        ('a="' + "\\" * 20_000 + '"', {}),
    ],
)
def test_cookies_are_read_as_they_stand_and_too_many_are_none(said: str, cookies: dict[str, str]) -> None:
    assert Request("GET", "http://h.test/", {"cookie": said}).cookies == cookies


def test_the_place_of_a_request_is_its_path_and_query() -> None:
    asked = ("http://h.test", "http://h.test/a?b=c#d", "http://h.test/a?")
    assert [Request("GET", url).place for url in asked] == ["/", "/a?b=c", "/a"]


@pytest.mark.parametrize(
    "place", ["http://evil.test/", "//evil.test/", "/\\evil.test", "/\t/evil.test", "/\n", "", "x"]
)
def test_a_place_elsewhere_is_taken_for_the_start(place: str) -> None:
    assert inside(place) == "/"
    assert inside("/a/b?c=%0A") == "/a/b?c=%0A"


def test_a_response_is_made_for_each_kind_of_content() -> None:
    assert dict(Response.html("ä").headers)["content-type"] == "text/html; charset=utf-8"
    assert Response.html("ä").body == "ä".encode()
    assert Response.json({"a": 1}, 201).body == b'{"a": 1}'
    moved = Response.redirect("/x", (("set-cookie", "a=1"),))
    assert (moved.status, dict(moved.headers)["location"], dict(moved.headers)["set-cookie"]) == (303, "/x", "a=1")
