"""Which addresses a browser may go to. What browsers make of each was seen in Chromium's own `new URL()`."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.browser.urls import MAX_CHARS, UrlPolicy, Use

SERVED = frozenset({"shop.example", "xn--bcher-kva.example", "a_b.example", "intranet"})
ALLOWED = frozenset(
    {"api.example", "Dev.example:8080", "8.8.8.8", "[2606:4700::1111]", "10.0.0.1", "[::1]", "localhost"}
)
POLICY = UrlPolicy(SERVED.__contains__, ALLOWED)

FINE = [json.loads(line) for line in Path(__file__).with_name("fine.txt").read_text().splitlines()]


def _refused() -> Iterator[tuple[str, str]]:
    detector = ""
    for line in Path(__file__).with_name("refused.txt").read_text().splitlines():
        if line.startswith("["):
            detector = line.strip("[]")
        elif line.startswith('"'):
            yield json.loads(line), detector


REFUSED = [*_refused(), ("https://shop.example/" + "a" * MAX_CHARS, "malformed_url")]


@pytest.mark.parametrize("url", FINE)
def test_a_plain_address_of_a_known_host_may_be_gone_to(url: str) -> None:
    assert POLICY.check(url) is None


@pytest.mark.parametrize(("url", "detector"), REFUSED, ids=[ascii(url)[:60] for url, _ in REFUSED])
def test_everything_else_is_refused_for_what_it_is(url: str, detector: str) -> None:
    refusal = POLICY.check(url)
    assert refusal is not None
    assert refusal.detector == detector
    assert len(refusal.message) < 250
    refusal.message.encode()


def test_no_allowance_reaches_a_private_network() -> None:
    anything = UrlPolicy(lambda _: True, frozenset({"127.0.0.1", "127.0.0.1:8000", "localhost:80", "[::1]:80"}))
    for url, detector in REFUSED:
        refusal = anything.check(url)
        if detector == "host_refused":
            assert refusal is None or ":" in url[8:], url
        else:
            assert refusal is not None, url
            assert refusal.detector == detector, url


def test_a_refusal_says_what_was_wrong() -> None:
    def message(url: str) -> str:
        refusal = POLICY.check(url)
        assert refusal is not None
        return refusal.message

    assert (
        message("https://evil.example/")
        == "there is no host 'evil.example' here: only this task's sites can be visited"
    )
    assert message("shop.example") == "'shop.example' has no scheme: begin with https://"
    assert message("javascript:alert(1)") == "'javascript:' cannot be opened, only http: and https: can"
    assert message("http://2130706433/").startswith("'2130706433' is another way to write the address 127.0.0.1:")
    assert message("https://b\u00fccher.example/").endswith("not plain ASCII: write it as a browser shows it, xn--…")
    assert message("https://u:p@shop.example/").endswith("has a user's name or password in it, which are not taken")


@pytest.mark.parametrize(
    ("url", "uses"),
    [
        ("about:blank", {"navigation", "resource"}),
        ("about:srcdoc", {"resource"}),
        ("blob:https://shop.example/1", {"resource"}),
        ("data:text/html,x", {"resource"}),
        ("DATA:text/html,x", {"resource"}),
        ("javascript:1", set()),
        ("file:///etc/passwd", set()),
        ("https://shop.example/", {"navigation", "resource"}),
        ("https://evil.example/", set()),
        ("http://127.0.0.1/", set()),
    ],
)
def test_what_a_page_made_itself_may_be_in_it_and_not_instead_of_it(url: str, uses: set[Use]) -> None:
    all_uses: tuple[Use, ...] = ("navigation", "resource")
    assert {use for use in all_uses if POLICY.check(url, use) is None} == uses


_ATOMS = st.sampled_from(
    [
        *"http: https: HTTP: wss: ftp: javascript: data: about: blank // / /// \\ \\\\ @ u:p@ : :80 :8080".split(),
        *"shop.example evil.example localhost 127.0.0.1 127.1 0x7f.1 2130706433 0 1 [::1] 8.8.8.8 a - _".split(),
        *"xn-- [ ] ? # . ..".split(),
        *"\u3002 \uff11 % %31 %2e \u00e9 \u00df \u00ad \u200b".split(),
        *" \t\n\r\0\x01\x7f\ud800",
    ]
)
_SOME = st.lists(_ATOMS, max_size=7).map("".join)
_TRICKS = _SOME | st.builds("{}{}{}".format, st.sampled_from(["http://", "https://"]), _SOME, st.text(max_size=5))
_PLAIN = re.compile(r"(?i:https?|wss?)://([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?(/[^\\?#]*)?([?#].*)?", re.S)


@settings(deadline=None)
@given(_TRICKS)
def test_what_may_be_gone_to_has_one_meaning(url: str) -> None:
    asked: list[str] = []

    def served(host: str) -> bool:
        asked.append(host)
        return True

    if UrlPolicy(served).check(url) is None and not url.lower().startswith("about:"):
        plain = _PLAIN.fullmatch(url)
        assert plain is not None
        assert asked == [plain.group(1).lower()]
        assert plain.group(2) in (None, ":80", ":443")
        assert not re.search(r"[\x00-\x1f\x7f]", url)


@settings(deadline=None)
@given(st.text())
def test_any_text_gets_an_answer(url: str) -> None:
    for each in (url, f"https://{url}", f"https://shop.example{url}"):
        refusal = POLICY.check(each)
        assert refusal is None or refusal.message


_PATHS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\")).map(str.strip)


@settings(deadline=None)
@given(_PATHS)
def test_a_served_host_may_have_any_path(path: str) -> None:
    assert POLICY.check(f"https://shop.example/{path}") is None


_PRIVATE = st.sampled_from(["127.0.0.0/8", "10.0.0.0/8", "192.168.0.0/16", "172.16.0.0/12", "169.254.0.0/16"]).flatmap(
    lambda network: st.ip_addresses(v=4, network=network)
)


@st.composite
def _spelled(draw: st.DrawFn) -> str:
    """A private address in one of the ways in which inet_aton takes it, disguised as browsers see through."""
    address = draw(_PRIVATE)
    number, count = int(address), draw(st.integers(1, 4))
    leading = [(number >> (24 - 8 * place)) & 0xFF for place in range(count - 1)]
    parts = [*leading, number & ((1 << (8 * (5 - count))) - 1)]
    spellings: list[Callable[[int], str]] = [
        str,
        hex,
        lambda part: f"0{part:o}",
        lambda part: f"0X{part:X}",
    ]
    text = ".".join(draw(st.sampled_from(spellings))(part) for part in parts)
    disguises: list[Callable[[str], str]] = [
        str,
        lambda c: f"%{ord(c):02x}",
        lambda c: c + "\u00ad",
        lambda c: chr(ord(c) + 0xFEE0),
        lambda c: c + "\t",
    ]
    return "".join(draw(st.sampled_from(disguises))(character) for character in text)


@settings(deadline=None)
@given(
    _spelled(),
    st.sampled_from(["http://", "HTTPS://", "http:", "http:\\\\", "http:///", "https://shop.example@", " ws://"]),
)
def test_a_private_address_is_known_in_every_spelling(host: str, before: str) -> None:
    refusal = POLICY.check(f"{before}{host}/")
    assert refusal is not None
    assert refusal.detector == "address_refused"


_PRIVATE_V6 = st.sampled_from(["fe80::/10", "fc00::/7", "ff00::/8", "::/96", "::ffff:0:0/96"]).flatmap(
    lambda network: st.ip_addresses(v=6, network=network)
)


@settings(deadline=None)
@given(_PRIVATE_V6)
def test_a_private_address_of_the_sixth_version_is_known_too(address: ipaddress.IPv6Address) -> None:
    for text in (str(address), address.exploded, str(address).upper()):
        refusal = POLICY.check(f"http://[{text}]/")
        assert refusal is not None
        assert refusal.detector == "address_refused"
