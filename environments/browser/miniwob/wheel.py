"""The files of the `miniwob` wheel: found without running any of its code, and read all at once.

They are 2 MB. Sites answer on the server's event loop, which must not wait for a disk: whoever asks for a task first,
in a thread, has read them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "miniwob"
PAGES = "miniwob"
"""The folder of the task pages."""
CORE = "/core/core.js"
FOLDERS = (PAGES, "core", "common")
LEFT_OUT = frozenset({"/core/record.js"})
"""Sends what a page does to whatever server its address names."""
JQUERYS_PROBE = "t"
"""The handler by which jQuery finds out which events there are. It does nothing; a refusal would be a console error."""
REFUSALS = "/.refused"
"""Where a browser tells what it refused to do for a page."""

TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
}
"""By ending; the machine's own table would make an episode depend on the machine."""


def installed() -> bool:
    return find_spec(PACKAGE) is not None


@cache
def files() -> Mapping[str, bytes]:
    """What can be asked for, by the path in its address: what is not listed here does not exist.

    Raises: ModuleNotFoundError.
    """
    package = find_spec(PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the package miniwob, which holds the pages of MiniWoB++, is not installed")
    html = Path(package.submodule_search_locations[0]) / "html"
    found = {
        f"/{path.relative_to(html).as_posix()}": path
        for folder in FOLDERS
        for path in sorted((html / folder).rglob("*"))
        if path.suffix in TYPES and path.is_file()
    }
    return {name: path.read_bytes() for name, path in found.items() if name not in LEFT_OUT}


def page_path(page: str) -> str:
    """Where `click-test` is."""
    return f"/{PAGES}/{page}.html"


@cache
def script_policy(page: str) -> str:
    """The page's Content-Security-Policy: its own scripts run, and nothing that was typed into it ever does.

    Some pages show what was typed as HTML. A script, a handler or a `javascript:` link in it would be the page's own
    and could end the task as it likes; a form could be sent to where ends are told.
    """
    scripts = _Inline()
    scripts.feed(files()[page_path(page)].decode().replace("\r\n", "\n"))  # as a browser reads it
    digests = [_digest(text) for text in (*scripts.texts, JQUERYS_PROBE)]
    allowed = " ".join(["'self'", "'report-sample'", "'unsafe-hashes'", *(f"'sha256-{digest}'" for digest in digests)])
    return (
        f"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src {allowed}; "
        "form-action 'none'; frame-src 'none'; frame-ancestors 'none'; object-src 'none'; base-uri 'none'; "
        f"report-uri {REFUSALS}"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


class _Inline(HTMLParser):
    """The texts of a page's inline scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.texts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and not any(name == "src" for name, _ in attrs)
        if self._inside:
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[-1] += data
