"""One rule for every address: what a policy asks for, what a page requests, redirects to, opens or is moved to.

An address is read as a browser reads it (the URL Standard of WHATWG), and refused wherever a browser would have to
repair it first: what two readers could take for two hosts is taken for none. So what passes here is plain:
`https://host/…`, with a host in ASCII that the episode's sites serve or its operator allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from environments.browser.hosts import as_browsers_see, inner_address_problem, name_problem
from environments.protocols.hints import quoted

MAX_CHARS = 32_768
WEB = {"http": 80, "https": 443, "ws": 80, "wss": 443}
"""Schemes with a host, and their ports."""
PORTS = frozenset(WEB.values())

Use = Literal["navigation", "resource"]
"""What an address is for: what a tab shows, or what a page has in it, frames among that."""

Detector = Literal["scheme_refused", "host_refused", "address_refused", "malformed_url"]

_HARMLESS: dict[Use, tuple[str, ...]] = {
    "navigation": ("about:blank",),
    "resource": ("about:blank", "about:srcdoc", "blob:", "data:"),
}
"""What leads nowhere: it was made by the page that uses it. To move a whole tab to it would hide who speaks."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ENDS = "".join(map(chr, range(0x21)))
"""Taken off both ends by a browser: control characters and the space."""
_DROPPED = str.maketrans("", "", "\t\n\r")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


@dataclass(frozen=True)
class Refusal:
    """Why an address is not gone to."""

    detector: Detector
    message: str
    """Fit for the policy."""


@dataclass(frozen=True)
class _Parts:
    """Of an address with a host, as it is written."""

    scheme: str
    slashes: str
    authority: str
    rest: str

    @property
    def path(self) -> str:
        return re.split(r"[?#]", self.rest, maxsplit=1)[0]

    @property
    def host_and_port(self) -> tuple[str, str | None]:
        """The host, and what stands behind its colon."""
        text = self.authority.rpartition("@")[2]
        if "[" in text:
            host, bracket, after = text.partition("]")
            return host + bracket, after.removeprefix(":") if after else None
        host, colon, port = text.partition(":")
        return host, port if colon else None


class UrlPolicy:
    """An episode's."""

    def __init__(self, served: Callable[[str], bool], allowed_hosts: frozenset[str] = frozenset()) -> None:
        """`served` is asked for a host in lower case; `allowed_hosts` are such hosts, with `:port` for any other port
        than 80 and 443. Addresses of private networks are allowed by neither.
        """
        self._served = served
        self._allowed = frozenset(host.lower() for host in allowed_hosts)

    def check(self, url: str, use: Use = "navigation") -> Refusal | None:
        """None for an address that may be gone to."""
        if len(url) > MAX_CHARS:
            return Refusal("malformed_url", f"an address has at most {MAX_CHARS} characters, not {len(url)}")
        seen = url.strip(_ENDS).translate(_DROPPED)
        scheme = _SCHEME.match(seen)
        if scheme is None or _is_host_and_port(seen, scheme):
            return Refusal("malformed_url", f"{quoted(url)} has no scheme: begin with https://")
        if scheme.group(1).lower() not in WEB:
            return None if url == seen and _is_harmless(seen, use) else _scheme_refused(scheme.group(1).lower())
        parts = _split(seen, scheme)
        host, port = parts.host_and_port
        if problem := inner_address_problem(as_browsers_see(host)):
            return Refusal("address_refused", f"{quoted(host)} {problem}: only this task's sites can be visited")
        if problem := _defect(url, seen, parts):
            return Refusal("malformed_url", f"{quoted(url)} {problem}")
        return self._check_place(host.lower(), int(port) if port else WEB[parts.scheme])

    def _check_place(self, host: str, port: int) -> Refusal | None:
        if f"{host}:{port}" in self._allowed:
            return None
        if port not in PORTS:
            return Refusal("host_refused", f"nothing is served at port {port} of {quoted(host)}")
        if host in self._allowed or self._served(host):
            return None
        return Refusal("host_refused", f"there is no host {quoted(host)} here: only this task's sites can be visited")


def _is_host_and_port(seen: str, scheme: re.Match[str]) -> bool:
    """`shop.example:80/x` has a scheme by the letter, and its author meant none."""
    named = "." in scheme.group(1) or scheme.group(1).lower() == "localhost"
    return named and re.match(r"[0-9]{1,5}(?:[/?#]|$)", seen[scheme.end() :]) is not None


def _is_harmless(seen: str, use: Use) -> bool:
    """A scheme may be written in any case; what follows is what it is."""
    scheme, _, rest = seen.partition(":")
    text = f"{scheme.lower()}:{rest}"
    for each in _HARMLESS[use]:
        if text.startswith(each) and (each.endswith(":") or text[len(each) : len(each) + 1] in ("", "?", "#")):
            return True
    return False


def _scheme_refused(scheme: str) -> Refusal:
    return Refusal("scheme_refused", f"{quoted(scheme + ':')} cannot be opened, only http: and https: can")


def _split(seen: str, scheme: re.Match[str]) -> _Parts:
    """For these schemes a browser takes any number of slashes, of both kinds, for two."""
    behind = seen[scheme.end() :]
    text = behind.lstrip("/\\")
    authority = re.split(r"[/\\?#]", text, maxsplit=1)[0]
    slashes = behind[: len(behind) - len(text)]
    return _Parts(scheme.group(1).lower(), slashes, authority, text[len(authority) :])


def _defect(url: str, seen: str, parts: _Parts) -> str | None:
    """What a browser would repair, or refuse itself."""
    host, port = parts.host_and_port
    if url != seen or _CONTROLS.search(seen):
        return "has spaces around it or control characters in it"
    if parts.slashes != "//":
        return f"has not exactly two slashes behind {parts.scheme}:"
    if "\\" in parts.path:
        return "has a backslash where a slash belongs"
    if "@" in parts.authority:
        return "has a user's name or password in it, which are not taken"
    if port is not None and not (_PORT.fullmatch(port) and int(port) < 1 << 16):
        return "has a malformed port"
    return name_problem(host)
