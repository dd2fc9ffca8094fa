"""A download is kept once, under a name that a file may have, and told of in few words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from environments.browser.guest import tabs as tabs_module
from environments.browser.guest.host import Host
from tests.unit.browser.guest.scripted_browser import entered


class ScriptedDownload:
    """Chromium has a copy of it until it is deleted."""

    url = "http://own.test/" + "x" * 5000

    def __init__(self, copy: Path, name: str, failure: str | None = None) -> None:
        self._copy, self.suggested_filename, self._failure = copy, name, failure

    async def failure(self) -> str | None:
        return self._failure

    async def path(self) -> Path:
        return self._copy

    async def save_as(self, path: Path) -> None:
        os.link(self._copy, path)

    async def delete(self) -> None:
        self._copy.unlink()


@pytest.mark.parametrize(
    ("name", "failure", "saved"),
    [
        ("table.csv", None, "table.csv"),
        ("../../above", None, "above"),
        ("\u4e00" * 200, None, "\u4e00" * 66),
        ("half\ud800", None, "half"),
        ("nu\0l", None, "nul"),
        ("", None, "download"),
        ("table.csv", "canceled" * 1000, None),
    ],
)
async def test_of_a_download_there_is_one_copy(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, failure: str | None, saved: str | None
) -> None:
    kept = tmp_path / "downloads"
    kept.mkdir()
    monkeypatch.setattr(tabs_module, "DOWNLOADS", kept)
    await entered(host.tabs)
    copy = tmp_path / "copy"
    copy.write_bytes(b"a,b")
    page: Any = host.tabs.current.page
    page.heard["download"](ScriptedDownload(copy, name, failure))
    await host.tabs.save()
    [told] = host.tabs.take_events()["downloads"]
    assert len(told["url"]) <= 500
    assert not copy.exists()
    assert [file.name for file in kept.iterdir()] == ([] if saved is None else [saved])
    if saved is None:
        assert len(told["error"]) <= 500
    else:
        assert told["bytes"] == 3
