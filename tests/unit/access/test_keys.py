"""Keys: their form, the file that they are kept in, and what a server makes of a broken one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from envserver.access.keys import (
    KeyRecord,
    KeysFile,
    KeysFileError,
    Scope,
    hash_key,
    id_of,
    locked_keys,
    make_key,
    read_keys,
    write_keys,
)
from envserver.access.tenants import Quotas


def record(key_id: str, key: str, **members: object) -> KeyRecord:
    values = {"tenant": "a", "scopes": ["episodes"], "created_at": 1.0, **members}
    return KeyRecord.model_validate({"id": key_id, "hash": f"sha256:{hash_key(key).hex()}", **values})


def test_a_key_has_256_random_bits_and_names_its_id() -> None:
    made = [make_key() for _ in range(200)]
    assert len({key for _, key in made}) == len({key_id for key_id, _ in made}) == 200
    for key_id, key in made:
        assert id_of(key) == key_id
        assert len(key.removeprefix(f"env_{key_id}_")) == 43  # 256 bits in base64url


@pytest.mark.parametrize("text", ["", "env_", "env_abc_def", "x" * 100, "env_" + "a" * 12 + "_" + "k" * 42, "é"])
def test_what_is_no_key_names_no_id(text: str) -> None:
    assert id_of(text) is None


def test_the_file_holds_no_key_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key_id, key = make_key()
    write_keys(path, KeysFile(keys=(record(key_id, key),), tenants={"a": Quotas(max_episodes=3)}))
    assert path.stat().st_mode & 0o777 == 0o600
    assert key not in path.read_text()
    assert key.rpartition("_")[2] not in path.read_text()
    read = read_keys(path)
    assert read.keys[0].digest == hash_key(key)
    assert read.keys[0].scopes == {Scope.EPISODES}
    assert read.tenants["a"].max_episodes == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.json"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, KeysFile(keys=()))

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_keys(path, KeysFile(keys=(), tenants={"a": Quotas()}))
    assert read_keys(path).tenants == {}
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.json"]


KEY = {"id": "a" * 12, "hash": "sha256:" + "0" * 64, "tenant": "default", "scopes": ["read"], "created_at": 1.0}

BROKEN: dict[str, object] = {
    "no JSON": "{",
    "no object": [],
    "no keys": {"tenants": {}},
    "a member too many": {"keys": [], "kyes": []},
    "a later version": {"version": 2, "keys": []},
    "an unknown scope": {"keys": [{**KEY, "scopes": ["root"]}]},
    "no scope": {"keys": [{**KEY, "scopes": []}]},
    "a plain key": {"keys": [{**KEY, "hash": "secret"}]},
    "an id twice": {"keys": [KEY, KEY]},
    "a misspelt tenant": {"keys": [{**KEY, "tenant": "b"}], "tenants": {"a": {}}},
    "a tenant's name": {"keys": [], "tenants": {"../a": {}}},
    "a misspelt quota": {"keys": [], "tenants": {"a": {"max_episode": 1}}},
    "a negative quota": {"keys": [], "tenants": {"a": {"max_episodes": -1}}},
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_an_error_that_repeats_none_of_it(tmp_path: Path, content: object) -> None:
    path = tmp_path / "keys.json"
    path.touch(mode=0o600)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(KeysFileError) as caught:
        read_keys(path)
    assert "secret" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o602])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    write_keys(path, KeysFile(keys=()))
    path.chmod(mode)
    with pytest.raises(KeysFileError, match="0600"):
        read_keys(path)


def test_a_missing_file_is_an_error_for_a_server_and_empty_for_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(KeysFileError, match="No such file"):
        read_keys(tmp_path / "keys.json")
    with locked_keys(tmp_path / "keys.json") as content:
        assert content.keys == ()
