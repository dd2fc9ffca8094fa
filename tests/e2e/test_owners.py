"""Owners are on the sandboxes themselves: a server that knows nothing of an episode still knows whose it is."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import httpx
import pytest

from envserver.access.verify import verify
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.e2e.helpers import destroy_all
from tests.unit.api.keys import Keys, bearer

pytestmark = pytest.mark.node


def test_an_episode_keeps_its_owner_over_a_killed_server(node: Node, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    mine, other = keys.add("lab"), keys.add("other")
    log = tmp_path / "audit.jsonl"
    server = ServerProcess(node, environment={"ENVSERVER_KEYS_FILE": str(keys.path), "ENVSERVER_AUDIT_FILE": str(log)})
    server.start()
    try:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            body = {"environment": "code", "task": "HumanEval/0"}
            made = [http.post("/v1/episodes", json=body, headers=bearer(mine)) for _ in range(4)]  # some from the pool
            ids = {created.json()["episode_id"] for created in made}
            while len(log.read_text().splitlines()) < len(ids):
                time.sleep(0.01)
            server.kill(signal.SIGKILL)
            server.start()
            listed = http.get("/v1/episodes", headers=bearer(mine)).json()["episodes"]
            assert {episode["episode_id"] for episode in listed} == ids
            assert http.get("/v1/episodes", headers=bearer(other)).json()["episodes"] == []
            for episode_id in ids:
                assert http.get(f"/v1/episodes/{episode_id}", headers=bearer(other)).status_code == 404
                assert http.delete(f"/v1/episodes/{episode_id}", headers=bearer(other)).status_code == 404
                assert http.delete(f"/v1/episodes/{episode_id}", headers=bearer(mine)).status_code == 200
        server.stop()
        report = verify(log)
        assert report.whole, report
        assert report.records >= 4 + 4 + 8
    finally:
        server.stop()
        destroy_all(node)
