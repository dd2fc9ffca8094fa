"""The web of an episode: finds sites, survives them, and comes back."""

from __future__ import annotations

import logging

import pytest

from environments.browser.web.messages import Request, Response
from environments.browser.web.site import Site
from environments.browser.web.web import Web


class Counting(Site):
    """Counts what is posted, and says how much that is."""

    hosts = ("count.test", "www.count.test")

    def __init__(self) -> None:
        self.count = 0

    def answer(self, request: Request) -> Response:
        if request.path == "/break":
            raise RuntimeError("broken")
        if request.method == "POST":
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
    post = Request("POST", "http://count.test/", FORM, b"by=1&junk=" + b"x" * 100_000)
    assert [web.answer(post).status for _ in range(4)] == [200, 200, 429, 429]
    assert web.answer(Request("GET", "http://count.test/")).body == b"2"
    assert len(web.snapshot()) == 2
    again = Web([Counting()])
    again.restore(web.snapshot())
    assert again.answer(post).status == 429


def test_a_request_says_what_was_sent() -> None:
    headers = {**FORM, "cookie": 'a=1; b="x y"; a=2', "x": "y"}
    request = Request("POST", "http://H.test/p?q=1&q=2&e=", headers, b"n=%C3%A4+b&n=c")
    assert (request.host, request.path, request.query, request.form) == (
        "h.test",
        "/p",
        {"q": "1", "e": ""},
        {"n": "ä b"},
    )
    assert request.cookies == {"a": "2", "b": "x y"}
    kept = Request.of(request.as_json())
    assert (kept.method, kept.url, kept.form, kept.cookies) == ("POST", request.url, request.form, request.cookies)
    assert Request("GET", "http://h.test").path == "/"
    assert Request("POST", "http://h.test/", {}, b"n=1").form == {}
    assert Request("GET", "http://h.test/?" + "&".join(f"a{n}=1" for n in range(2000))).query == {}
    assert Request("GET", "http://h.test/", {"cookie": "\x00;;=; a"}).cookies == {}


def test_a_response_is_made_for_each_kind_of_content() -> None:
    assert dict(Response.html("ä").headers)["content-type"] == "text/html; charset=utf-8"
    assert Response.html("ä").body == "ä".encode()
    assert Response.json({"a": 1}, 201).body == b'{"a": 1}'
    moved = Response.redirect("/x", (("set-cookie", "a=1"),))
    assert (moved.status, dict(moved.headers)["location"], dict(moved.headers)["set-cookie"]) == (303, "/x", "a=1")
