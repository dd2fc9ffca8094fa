"""The site gives the task's page and its parts, and nothing by which a policy could come to know a token."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from environments.browser.miniwob import site, wheel
from environments.browser.miniwob.play import MiniwobPlay
from environments.browser.web.messages import Request, Response
from environments.browser.web.web import MAX_BODY
from tests.unit.browser.miniwob.visitor import DOCUMENT, ORIGIN, PART, Visitor, play_of, token_in

URL = f"{ORIGIN}/miniwob/click-test.html"


@pytest.fixture
def visitor() -> Visitor:
    return Visitor(play_of())


def header(response: Response, name: str) -> str:
    return dict(response.headers)[name]


# The page and its parts.


def test_serves_the_page_as_the_wheel_has_it(visitor: Visitor) -> None:
    page = visitor.goto(visitor.play.start_url)
    assert visitor.play.start_url == URL
    assert page.body == wheel.files()["/miniwob/click-test.html"]
    assert header(page, "content-type") == "text/html; charset=utf-8"
    assert visitor.detectors == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/core/core.css", "text/css; charset=utf-8"),
        ("/core/d3.v3.min.js", "text/javascript; charset=utf-8"),
        ("/common/special/checkbox-numbers/ch_0.png", "image/png"),
        ("/common/special/navigate-tree/images/minus.gif", "image/gif"),
    ],
)
def test_serves_what_the_page_is_made_of(visitor: Visitor, path: str, kind: str) -> None:
    part = visitor.ask(path)
    assert (part.status, part.body, header(part, "content-type")) == (200, wheel.files()[path], kind)
    assert visitor.ask(path, method="HEAD").status == 200
    assert visitor.detectors == []


def test_all_that_pages_name_is_there() -> None:
    """Else a page would fail in a sandbox, where nothing else answers."""
    missing = set()
    for path, content in wheel.files().items():
        if path.startswith("/miniwob/"):
            named = re.findall(r'(?:src|href)="\.\.(/[^"]+)"|url\(\.\.(/[^)]+)\)', content.decode())
            missing |= {name for pair in named for name in pair if name and name not in wheel.files()}
    assert missing == set()


@pytest.mark.parametrize(
    "path",
    [
        "/core/../../../../etc/passwd",
        "/core/%2e%2e/%2e%2e/http_server.py",
        "/core/..%2f..%2f..%2fhttp_server.py",
        "/..\\..\\http_server.py",
        "//etc/passwd",
        "/core",
        "/core/",
        "/core/core.css/",
        "/core/nothing.js",
        "/core/core.css%00",
        "/core/record.js",
        "/flight/AA/wrapper.html",
        "/miniwob/click-link.html",
        "/miniwob/click-test.html",
    ],
)
def test_serves_no_other_file_as_a_part(visitor: Visitor, path: str) -> None:
    assert visitor.ask(path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get"])
def test_takes_nothing_but_reports(visitor: Visitor, method: str) -> None:
    assert visitor.ask(URL, DOCUMENT, method, b"x").status == 405
    assert visitor.ask("/core/core.css", method=method).status == 405


# Other documents.


@pytest.mark.parametrize(
    "url",
    [
        f"{ORIGIN}/",
        f"{ORIGIN}/miniwob/",
        f"{ORIGIN}/miniwob/click-link.html",
        f"{ORIGIN}/miniwob/../miniwob/click-test.html",
        f"{ORIGIN}/miniwob/click%2dtest.html",
        f"{URL}?",
        f"{URL}?seed=1",
        f"{URL}?mode=test",
        f"{URL}?record=true&server={ORIGIN}",
        "https://miniwob.test/miniwob/click-test.html",
        "http://miniwob.test:8080/miniwob/click-test.html",
        f"{ORIGIN}/core/core.js",
        f"{ORIGIN}/core/d3.v3.min.js",
        f"{ORIGIN}/common/ui_utils.js",
    ],
)
def test_there_is_no_other_document_and_asking_for_one_is_noted(visitor: Visitor, url: str) -> None:
    visitor.start()
    assert visitor.goto(url).status == 404
    assert visitor.play.notes() == [{"detector": "left_the_task", "evidence": url}]


def test_a_place_in_the_page_is_the_page(visitor: Visitor) -> None:
    assert visitor.goto(f"{URL}#area").status == 200
    assert visitor.detectors == []


def test_leaving_the_task_costs_nothing_by_itself(visitor: Visitor) -> None:
    visitor.start()
    visitor.goto("/nowhere")
    visitor.end(visitor.start(), 1)
    assert visitor.play.reward() == 1.0


# The token.


def test_core_is_given_once_a_load_and_never_as_a_document(visitor: Visitor) -> None:
    visitor.goto(URL)
    assert visitor.ask("/core/core.js", DOCUMENT).status == 404
    assert visitor.ask("/core/core.js", method="HEAD").status == 404
    assert visitor.ask("/core/core.js").status == 200
    for path in ("/core/core.js", "/core/core%2ejs", "/core/core.js?again"):
        assert visitor.ask(path).status == 404


def test_core_is_not_given_without_a_page(visitor: Visitor) -> None:
    assert visitor.ask("/core/core.js").status == 404
    visitor.ask(URL, DOCUMENT, "HEAD")
    assert visitor.ask("/core/core.js").status == 404
    visitor.goto(f"{URL}?seed=1")
    assert visitor.ask("/core/core.js").status == 404


def test_neither_page_nor_core_nor_a_refusal_stays_in_a_cache(visitor: Visitor) -> None:
    asked = [
        visitor.goto(URL),
        visitor.ask("/core/core.js"),
        visitor.ask("/core/core.js"),
        visitor.goto("/core/core.js"),
    ]
    assert [answer.status for answer in asked] == [200, 200, 404, 404]
    assert [header(answer, "cache-control") for answer in asked] == ["no-store"] * 4


def test_the_token_is_in_core_alone(visitor: Visitor) -> None:
    page = visitor.goto(URL)
    core = visitor.ask("/core/core.js")
    token = token_in(core).encode()
    assert core.body.count(token) == 1
    assert token not in page.body
    assert all(token not in visitor.ask(path).body for path in wheel.files())


def test_core_is_the_wheels_with_an_addition_at_its_end(visitor: Visitor) -> None:
    visitor.goto(URL)
    body = visitor.ask("/core/core.js").body
    original = wheel.files()["/core/core.js"]
    assert body.startswith(original)
    assert b'"7", "http://miniwob.test/.report");' in body[len(original) :]
    assert b"$" not in body[len(original) :]


def test_a_page_is_loaded_only_so_often(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "MAX_LOADS", 3)
    tokens = [visitor.load() for _ in range(3)]
    visitor.goto(URL)
    assert visitor.ask("/core/core.js").status == 404
    assert len(visitor.play.snapshot()["loads"]) == 3
    assert [visitor.report(token=token, event="started", goal="x") for token in tokens] == [204] * 3
    assert visitor.detectors == []


def test_a_report_is_found_by_its_token_whatever_the_number_of_loads(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = [visitor.load() for _ in range(20)]
    visitor.play = in_json(visitor.play)
    monkeypatch.setattr(site.MiniwobSite, "_token", None)  # none is made anew for it
    assert visitor.report(token=tokens[13], event="started", goal="x") == 204
    assert visitor.play.snapshot()["loads"][13] == "started"


def test_a_report_that_is_too_large_reaches_nobody(visitor: Visitor) -> None:
    token = visitor.start()
    assert visitor.report(token=token, event="ended", reward="x" * MAX_BODY) == 413
    assert tell_of_a_refusal(visitor, b"x" * (MAX_BODY + 1)) == 413
    assert visitor.ask(URL, method="GET", body=b"x" * (MAX_BODY + 1)).status == 413
    assert (visitor.play.finished, visitor.detectors) == (False, [])


# What was typed into a page is never run.


def directives(policy: str) -> dict[str, set[str]]:
    return {name: set(values) for name, *values in (part.split() for part in policy.split(";"))}


@pytest.mark.parametrize("page", ["click-test", "use-slider", "email-inbox", "unicode-test"])
def test_only_the_pages_own_scripts_may_run(page: str) -> None:
    visitor = Visitor(play_of(page))
    response = visitor.goto(visitor.play.start_url)
    policy = directives(header(response, "content-security-policy"))
    inline = re.findall(r"<script>(.*?)</script>", response.body.decode(), re.S)
    assert inline
    digests = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in [*inline, "t"]}
    assert policy["script-src"] == {
        "'self'", "'report-sample'", "'unsafe-hashes'", *(f"'sha256-{digest}'" for digest in digests),
    }  # fmt: skip
    assert policy["default-src"] == {"'self'"}
    for name in ("form-action", "frame-src", "frame-ancestors", "object-src", "base-uri"):
        assert policy[name] == {"'none'"}


REFUSED = {
    "document-uri": URL,
    "effective-directive": "script-src-attr",
    "blocked-uri": "inline",
    "script-sample": "core.endEpisode(1)",
}


def tell_of_a_refusal(visitor: Visitor, body: bytes, kind: str = "application/csp-report", method: str = "POST") -> int:
    return visitor.ask("/.refused", {"accept": "*/*", "origin": ORIGIN, "content-type": kind}, method, body).status


def test_what_the_browser_refused_to_do_for_a_page_is_noted_and_costs_nothing(visitor: Visitor) -> None:
    policy = directives(header(visitor.goto(URL), "content-security-policy"))
    assert policy["report-uri"] == {"/.refused"}
    token = token_in(visitor.ask("/core/core.js"))
    visitor.report(token=token, event="started", goal="Click the button.")
    assert tell_of_a_refusal(visitor, json.dumps({"csp-report": REFUSED}).encode()) == 204
    note = {"detector": "injected_markup", "evidence": "script-src-attr inline core.endEpisode(1)"}
    assert visitor.play.notes() == [note]
    visitor.end(token, 1)
    assert visitor.play.reward() == 1.0


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"3", b"{}", b'{"csp-report": 3}', b'{"csp-report": []}', b"[" * 19_000, b"\xff",
     json.dumps({"csp-report": {**REFUSED, "script-sample": "x" * 20_000}}).encode()],
)  # fmt: skip
def test_what_no_browser_says_of_a_refusal_is_not_heard(visitor: Visitor, body: bytes) -> None:
    assert tell_of_a_refusal(visitor, body) == 405
    assert visitor.detectors == []


def test_only_a_browser_tells_of_refusals(visitor: Visitor) -> None:
    body = json.dumps({"csp-report": {**REFUSED, "blocked-uri": 3}}).encode()
    assert tell_of_a_refusal(visitor, body, "application/json") == 405
    assert tell_of_a_refusal(visitor, body, method="PUT") == 405
    assert tell_of_a_refusal(visitor, body, method="GET") == 404
    assert visitor.detectors == []
    assert tell_of_a_refusal(visitor, body) == 204
    assert visitor.play.notes()[0]["evidence"] == "script-src-attr core.endEpisode(1)"


def test_no_page_has_a_script_before_core_or_a_handler_that_its_policy_would_refuse() -> None:
    for path, content in wheel.files().items():
        if path.startswith("/miniwob/"):
            assert re.findall(r"<script[^>]*>", content.decode())[0] == '<script src="../core/core.js">', path
            assert not re.search(r"<[^>]+\son[a-z]+=", content.decode()), path


# A server's successor.


def in_json(play: MiniwobPlay) -> MiniwobPlay:
    successor = play_of()
    successor.restore(json.loads(json.dumps(play.snapshot())))
    return successor


def test_a_successor_goes_on_where_the_play_was() -> None:
    visitor = Visitor(play_of())
    visitor.goto(URL)
    visitor.play = in_json(visitor.play)
    token = token_in(visitor.ask("/core/core.js"))
    visitor.play = in_json(visitor.play)
    assert visitor.ask("/core/core.js").status == 404
    visitor.report(token=token, event="started", goal="Click the button.")
    visitor.goto("/elsewhere")
    visitor.play = in_json(visitor.play)
    assert visitor.play.goal == "Click the button."
    assert visitor.detectors == ["left_the_task"]
    assert visitor.report(token=token, event="started", goal="again") == 404
    visitor.play = in_json(visitor.play)
    visitor.end(token, 1)
    visitor.play = in_json(visitor.play)
    assert (visitor.play.finished, visitor.play.reward()) == (True, 0.0)
    assert visitor.detectors == ["left_the_task", "forged_report"]


def test_a_successor_keeps_what_the_end_was_worth() -> None:
    visitor = Visitor(play_of())
    visitor.end(visitor.start(), 0.5)
    assert in_json(visitor.play).reward() == 0.5


def test_the_same_requests_get_the_same_answers() -> None:
    asked = [Request("GET", url, headers) for url, headers in ((URL, DOCUMENT), (f"{ORIGIN}/core/core.js", PART))] * 2
    first, second = play_of(), play_of()
    assert [first.web.answer(each) for each in asked] == [second.web.answer(each) for each in asked]
