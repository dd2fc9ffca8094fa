"""Keys files for tests, and clients that hold their keys."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from envserver.access.keys import KeyRecord, KeysFile, hash_key, make_key, read_keys, write_keys
from envserver.access.tenants import Quotas
from envserver.server import RunningServer


class Keys:
    """A keys file under a test's hand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        write_keys(path, KeysFile(keys=()))

    def add(self, tenant: str, *scopes: str, expires_at: float | None = None) -> str:
        key_id, key = make_key()
        made = KeyRecord.model_validate(
            {
                "id": key_id, "hash": f"sha256:{hash_key(key).hex()}", "tenant": tenant,
                "scopes": scopes or ("episodes",), "created_at": time.time(), "expires_at": expires_at,
            }
        )  # fmt: skip
        content = read_keys(self.path)
        tenants = {tenant: Quotas(), **content.tenants}
        write_keys(self.path, KeysFile(keys=(*content.keys, made), tenants=tenants))
        return key

    def revoke(self, key: str) -> None:
        content = read_keys(self.path)
        keys = [
            record.model_copy(update={"revoked_at": time.time()}) if record.digest == hash_key(key) else record
            for record in content.keys
        ]
        write_keys(self.path, content.model_copy(update={"keys": tuple(keys)}))

    def limit(self, tenant: str, **quotas: Any) -> None:
        content = read_keys(self.path)
        tenants = {**content.tenants, tenant: Quotas.model_validate(quotas)}
        write_keys(self.path, content.model_copy(update={"tenants": tenants}))


def bearer(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"}


def client_of(server: RunningServer, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, headers=bearer(key), timeout=10)


async def create(http: httpx.AsyncClient, **members: Any) -> str:
    response = await http.post("/v1/episodes", json={"environment": "scripted", "task": "a", **members})
    assert response.status_code == 201, response.text
    return str(response.json()["episode_id"])
