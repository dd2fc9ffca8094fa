"""Requests that schemathesis makes from the OpenAPI document: each is answered as the document says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.served import served

CONFIG = Path(__file__).with_name("schemathesis.toml")
KEY = "fuzz"
MEANT_OTHERWISE = "use_after_free"
"""A closed episode still says what became of it, and closing it again changes nothing."""


def run_schemathesis(directory: Path, *options: str) -> None:
    with served(api_key=KEY) as server:
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG),
            "run", f"{server.url}/v1/openapi.json", "--header", f"Authorization: Bearer {KEY}",
            "--checks", "all", "--exclude-checks", MEANT_OTHERWISE,
            "--phases", "coverage,fuzzing,stateful", "--max-failures", "20", *options,
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd=directory
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Selected: 0" not in done.stdout


def test_what_the_document_allows_is_taken_and_what_it_forbids_is_refused(tmp_path: Path) -> None:
    run_schemathesis(tmp_path, "--max-examples", "5", "--seed", "1", "--max-time", "15")


@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", ["2", "3"])
def test_the_same_for_longer(seed: str, tmp_path: Path) -> None:
    run_schemathesis(tmp_path, "--max-examples", "100", "--seed", seed, "--max-time", "500")
