"""What the documents tell a reader to run runs, and what they point to is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envserver.metrics import Metrics
from tests.conftest import ROOT
from tests.docs.blocks import Block, documents, find_blocks
from tests.e2e.conftest import ServerProcess

ADDRESS = "127.0.0.1:8000"
"""Where documents say that the node is."""
RUN = ("sh", "python")
SHOWN = ("json", "toml", "yaml", "text")
"""Languages of blocks that are not meant to be run."""

BLOCKS = [block for path in documents() for block in find_blocks(path)]
_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
_HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:apt-get|cargo|curl|docker|docker-compose|envserver|make|pip|python3?|runsc|unshare)\b"
)


def test_there_are_blocks_to_run() -> None:
    places = {block.path.relative_to(ROOT).as_posix() for block in BLOCKS if block.language in RUN}
    assert {"README.md", "sdk/README.md", "docs/quickstart.md"} <= places


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_every_block_says_what_it_is(block: Block) -> None:
    assert block.language in RUN + SHOWN, "an unknown language would never be run"


@pytest.mark.node
@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in RUN], ids=lambda block: block.place)
def test_every_block_runs(block: Block, server: ServerProcess, tmp_path: Path) -> None:
    if block.not_run:
        pytest.skip(block.not_run)
    text = block.text.replace(ADDRESS, server.url.removeprefix("http://"))
    if block.language == "python":
        (tmp_path / "block.py").write_text(text)
        command = [sys.executable, "-W", "error", str(tmp_path / "block.py")]
    else:
        command = ["bash", "-euo", "pipefail", "-c", text]
    result = subprocess.run(
        command, cwd=ROOT, env=_environment(server, tmp_path), capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, f"{block.place}\n{result.stdout}\n{result.stderr}"


def _environment(server: ServerProcess, home: Path) -> dict[str, str]:
    (home / ".curlrc").write_text("fail-with-body\n")  # an error's status is an error
    return {**os.environ, "PATH": _path(home), "CURL_HOME": str(home), "ENVSERVER_URL": server.url}


def _path(home: Path) -> str:
    """With a `make` that only says what it would do: its targets take minutes, and the end-to-end tests run them."""
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "make").write_text(f'#!/bin/sh\nexec {shutil.which("make")} --no-print-directory -n "$@"\n')
    (home / "bin" / "make").chmod(0o755)
    return f"{home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"


def test_no_document_can_start_a_node(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("up:\n\ttouch started\n")
    for text in ("make up", "A=1 B='a b' make up", "true && make up"):
        command = ["bash", "-euo", "pipefail", "-c", text]
        environment = {**os.environ, "PATH": _path(tmp_path / f"home{len(text)}")}
        said = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
        assert said == "touch started\n"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    text = path.read_text()
    for target, anchor in _LINK.findall(text):
        there = path.parent / target if target else path
        assert there.exists(), target
        assert not anchor or anchor in _anchors(there), f"{target}#{anchor}"


def _anchors(path: Path) -> set[str]:
    """What GitHub makes of the headings: small letters, hyphens for spaces, no other punctuation."""
    headings = _HEADING.findall(_FENCED.sub("", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    listed = {target for target, _ in _LINK.findall(index.read_text())}
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - listed == {index.name}


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_command_hides_where_it_would_not_be_run(path: Path) -> None:
    """In a block that is indented and not fenced."""
    lines = _FENCED.sub("", path.read_text()).splitlines()
    assert [line for line in lines if line.startswith("    ") and _COMMAND.match(line.strip())] == []


def test_every_call_is_made_by_curl() -> None:
    """But the WebSocket, which curl does not speak."""
    calls = re.findall(r"`(?:GET|PUT|POST|DELETE) (/v1/[^`?]+)", (ROOT / "docs" / "http.md").read_text())
    by_hand = (ROOT / "docs" / "curl.md").read_text().replace("$url", "/v1")
    for name in ("$episode", "$checkpoint", "$group"):
        by_hand = by_hand.replace(name, "{id}")
    by_hand = by_hand.replace("/steps/1", "/steps/{index}").replace("/code", "/{name}")
    made = set(re.findall(r"/v1/[\w./{}]+", by_hand))
    assert set(calls) - made == {"/v1/ws"}


def test_every_metric_of_the_documents_is_there() -> None:
    exposed = Metrics().render().decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", exposed, re.MULTILINE))
    suffixes = {"histogram": ("", "_count", "_sum", "_bucket")}
    there = {name + suffix for name, kind in kinds.items() for suffix in suffixes.get(kind, ("",))}
    named = re.findall(r"`(envserver_[a-z_]+)[`{]", (ROOT / "docs" / "operations.md").read_text())
    assert len(named) > 10
    assert set(named) - there == set()
