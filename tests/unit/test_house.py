"""Rules of the house that no tool checks by itself: pins, reasons, links."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_LOCKS = ("requirements.txt", "requirements-dev.txt")


def _tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", pattern], cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize("name", _LOCKS)
def test_every_locked_package_has_a_version_and_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if entry.strip() and not entry.startswith("#")]
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[a-z0-9.\-_]+==[^\s]+ ", entry), entry
        assert "--hash=sha256:" in entry, entry
    assert "://" not in text
    assert "index" not in text


def test_the_lock_holds_what_pyproject_asks_for() -> None:
    locked = {line.split("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line}
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[=<>]", entry)[0] for entry in asked} - {"envserver-sdk"}
    assert names - locked == set()


@pytest.mark.parametrize("name", ["pyproject.toml", "sdk/pyproject.toml"])
def test_every_dependency_gives_its_reason(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text().splitlines() if re.match(r'\s+"[a-zA-Z\-]+[=<>]', line)]
    assert len(lines) >= 4
    assert [line for line in lines if "  # " not in line] == []


def test_crates_are_pinned_exactly_and_no_lock_file_is_kept() -> None:
    manifest = tomllib.loads((ROOT / "images/agent/Cargo.toml").read_text())
    crates = {**manifest["dependencies"], **manifest.get("dev-dependencies", {})}
    versions = {name: entry["version"] if isinstance(entry, dict) else entry for name, entry in crates.items()}
    assert {name for name, version in versions.items() if not version.startswith("=")} == set()
    assert _tracked("*Cargo.lock") == []


def test_every_relative_link_in_the_documents_leads_somewhere() -> None:
    links = [
        (document, target)
        for document in _tracked("*.md")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    ]
    assert len(links) > 10
    broken = [f"{document.name}: {target}" for document, target in links if not (document.parent / target).exists()]
    assert broken == []
