"""Keys and the audit log on the command line: what a server of a real process makes of them is tested elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from envserver.access.audit import AuditLog
from envserver.access.keys import Scope, hash_key, read_keys
from envserver.cli.problems import Exit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "envserver.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def keys(command: str, path: Path, *arguments: str) -> dict[str, Any]:
    done = run("keys", command, "--file", path, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_a_key_is_made_listed_without_its_secret_and_revoked(path: Path) -> None:
    made = keys("create", path, "--tenant", "lab", "--scope", "read", "--scope", "metrics", "--expires-days", "1")
    (record,) = read_keys(path).keys
    assert record.digest == hash_key(made["key"])
    assert record.scopes == {Scope.READ, Scope.METRICS}
    assert record.expires_at == pytest.approx(record.created_at + 24 * 3600)
    listed = run("keys", "list", "--file", path)
    assert record.id in listed.stdout
    for said in (listed.stdout, json.dumps(keys("list", path))):
        assert made["key"] not in said
        assert record.hash not in said
    assert keys("revoke", path, made["key"])["state"] == "revoked"
    assert read_keys(path).keys[0].revoked_at is not None


def test_quotas_are_set_as_a_whole(path: Path) -> None:
    keys("create", path, "--tenant", "lab")
    keys("tenant", path, "lab", "--max-episodes", "3", "--starts-per-minute", "6")
    assert read_keys(path).tenants["lab"].max_episodes == 3
    keys("tenant", path, "lab", "--cpu-s-per-hour", "100")
    assert read_keys(path).tenants["lab"].model_dump(exclude_none=True) == {"cpu_s_per_hour": 100}
    assert len(read_keys(path).keys) == 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("revoke", "nope"), Exit.NOT_FOUND),
        (("create", "--scope", "root"), Exit.USAGE),
        (("create", "--tenant", "../a"), Exit.USAGE),
        (("tenant", "A b"), Exit.USAGE),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(path: Path, arguments: tuple[str, ...], status: Exit) -> None:
    done = run("keys", arguments[0], "--file", path, *arguments[1:])
    assert done.returncode == status
    assert done.stderr.startswith("envserver: ")
    assert "Traceback" not in done.stderr
    assert not path.exists()


def test_a_broken_file_is_named_and_left_alone(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_text("{")
    done = run("keys", "create", "--file", path)
    assert done.returncode == Exit.FAILED
    assert str(path) in done.stderr
    assert path.read_text() == "{"


def test_two_at_once_lose_no_key(path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: keys("create", path), range(3)))
    assert len(read_keys(path).keys) == 3


def test_an_audit_log_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.record("create", episode_id="ep_1")
    log.record("close", episode_id="ep_1")
    log.close()
    done = run("audit", "verify", path, "--json")
    assert (done.returncode, json.loads(done.stdout)["records"]) == (0, 2)
    path.write_text(path.read_text().replace("ep_1", "ep_2", 1))
    done = run("audit", "verify", path)
    assert done.returncode == 1
    assert "record 1 was changed" in done.stdout
