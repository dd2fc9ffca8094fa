"""What the documents tell a reader to run runs, and what they point to is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.blocks import Block, documents, find_blocks
from tests.e2e.conftest import ServerProcess

ADDRESS = "127.0.0.1:8000"
"""Where documents say that the node is."""
RUN = ("sh", "python")
SHOWN = ("json", "toml", "yaml", "text")
"""Languages of blocks that are not meant to be run."""

BLOCKS = [block for path in documents() for block in find_blocks(path)]
_MAKE = re.compile(r"^(\s*)make\b(?! -)", re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


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
        # Targets that take minutes, or that the end-to-end tests run for real: that they are there is enough here.
        command = ["bash", "-euo", "pipefail", "-c", _MAKE.sub(r"\1make -n", text)]
    result = subprocess.run(
        command, cwd=ROOT, env=_environment(server, tmp_path), capture_output=True, text=True, timeout=100, check=False
    )
    assert result.returncode == 0, f"{block.place}\n{result.stdout}\n{result.stderr}"


def _environment(server: ServerProcess, home: Path) -> dict[str, str]:
    (home / ".curlrc").write_text("fail-with-body\n")  # an error's status is an error
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "CURL_HOME": str(home), "ENVSERVER_URL": server.url}


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    broken = [target for target in _LINK.findall(path.read_text()) if not (path.parent / target).exists()]
    assert broken == []
