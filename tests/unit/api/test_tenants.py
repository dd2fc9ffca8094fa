"""Tenants: another's episode is as if it were not there; scopes, quotas and revocations act at once and everywhere."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from envserver.access.keys import KeysFileError
from envserver.access.verify import verify
from envserver.api.methods import METHODS
from envserver.server import RunningServer
from envserver_sdk import AsyncClient
from envserver_sdk.errors import QuotaExceeded
from tests.unit.api.keys import Keys, bearer, client_of, create
from tests.unit.fixtures import MakeServer
from tests.unit.scripted import Gates, ScriptedRuntime

OCTETS = {"content-type": "application/octet-stream"}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


def socket_of(server: RunningServer, key: str) -> connect:
    return connect(server.url.replace("http", "ws") + "/v1/ws", proxy=None, additional_headers=bearer(key))


async def ask(socket: ClientConnection, method: str, **params: Any) -> dict[str, Any]:
    await socket.send(json.dumps({"id": 1, "method": method, "params": params}))
    answer: dict[str, Any] = json.loads(await asyncio.wait_for(socket.recv(), 5))
    return answer


def without(answer: Any, episode_id: str) -> str:
    return json.dumps(answer).replace(episode_id, "ep_")


async def episode_calls(http: httpx.AsyncClient) -> list[tuple[str, str]]:
    """Every operation of the document that names an episode, so that no new one is forgotten."""
    paths = (await http.get("/v1/openapi.json")).json()["paths"]
    return [(verb.upper(), path) for path, verbs in paths.items() if "{episode_id}" in path for verb in verbs]


BODIES: dict[str, dict[str, Any]] = {
    "/v1/episodes/{episode_id}/step": {"json": {"action": {"type": "echo"}, "step_index": 1}},
    "/v1/episodes/{episode_id}/files": {"params": {"path": "/f"}, "content": b"1", "headers": OCTETS},
    "/v1/episodes/{episode_id}/restore": {"json": {"checkpoint_id": "cp_0"}},
}


async def test_over_http_anothers_episode_answers_like_one_that_never_was(make_server: MakeServer, keys: Keys) -> None:
    mine, other = keys.add("a"), keys.add("b")
    server = await make_server(keys_file=keys.path)
    async with client_of(server, mine) as owner, client_of(server, other) as stranger:
        episode_id, unknown = await create(owner), "ep_" + "0" * 24
        calls = await episode_calls(owner)
        assert len(calls) >= 8
        for verb, path in calls:
            for headers in ({}, {"Idempotency-Key": "k"}):
                said = []
                for asked in (episode_id, unknown):
                    given = dict(BODIES.get(path, {}))
                    given["headers"] = {**given.get("headers", {}), **headers}
                    place = path.format(episode_id=asked, index=1)
                    answer = await stranger.request(verb, place, **given)
                    said.append((answer.status_code, without(answer.json(), asked), sorted(answer.headers)))
                assert said[0] == said[1], (verb, path)
                assert said[0][0] == 404, (verb, path)
        assert (await stranger.get("/v1/episodes")).json()["episodes"] == []
        assert (await owner.get(f"/v1/episodes/{episode_id}")).json()["step_index"] == 0


NEEDED: dict[str, dict[str, Any]] = {
    "step": {"action": {"type": "echo"}, "step_index": 1},
    "get_step": {"index": 1},
    "read_file": {"path": "/f"},
    "write_file": {"path": "/f", "data_base64": ""},
    "restore": {"checkpoint_id": "cp_0"},
}
OF_CHECKPOINTS = {"get_checkpoint", "delete_checkpoint", "fork"}
OF_GROUPS = {"get_group", "close_group"}
NAME_NO_EPISODE = {
    "create", "create_group", "batch_step", "list", "checkpoints", "environments", "environment", "tasks", "health",
    *OF_CHECKPOINTS, *OF_GROUPS,
}  # fmt: skip


async def test_over_the_websocket_too(make_server: MakeServer, keys: Keys) -> None:
    mine, other = keys.add("a"), keys.add("b")
    server = await make_server(keys_file=keys.path)
    async with client_of(server, mine) as owner, socket_of(server, other) as stranger:
        episode_id, unknown = await create(owner), "ep_" + "0" * 24
        for method in METHODS.keys() - NAME_NO_EPISODE:
            said = [
                without(await ask(stranger, method, episode_id=asked, **NEEDED.get(method, {})), asked)
                for asked in (episode_id, unknown)
            ]
            assert said[0] == said[1], method
            assert ":not_found" in said[0], method
        batch = await ask(stranger, "batch_step", steps=[{"episode_id": episode_id, **NEEDED["step"]}])
        assert batch["result"]["results"][0]["type"].endswith(":not_found")
        assert (await ask(stranger, "list"))["result"]["episodes"] == []
        assert (await owner.get(f"/v1/episodes/{episode_id}")).json()["state"] == "live"


async def test_anothers_checkpoints_and_groups_are_as_if_they_were_not_there(
    make_server: MakeServer, keys: Keys
) -> None:
    mine, other = keys.add("a"), keys.add("b")
    server = await make_server(keys_file=keys.path)
    async with socket_of(server, mine) as owner, socket_of(server, other) as stranger:
        group = (await ask(owner, "create_group", environment="scripted", task="a", n=2))["result"]
        episode_id = group["episodes"][0]["episode_id"]
        saved = (await ask(owner, "checkpoint", episode_id=episode_id))["result"]["checkpoint_id"]
        named = {
            **dict.fromkeys(OF_CHECKPOINTS, ("checkpoint_id", saved)),
            **dict.fromkeys(OF_GROUPS, ("group_id", group["group_id"])),
        }
        for method, (name, value) in named.items():
            said = [without(await ask(stranger, method, **{name: asked}), asked) for asked in (value, "xx_0")]
            assert said[0] == said[1], method
            assert ":not_found" in said[0], method
        assert (await ask(stranger, "checkpoints"))["result"]["checkpoints"] == []
        assert ":not_found" in json.dumps(await ask(stranger, "checkpoints", episode_id=episode_id))
        own = await ask(owner, "checkpoints", episode_id=episode_id)
        assert [each["checkpoint_id"] for each in own["result"]["checkpoints"]] == [saved]
        assert (await ask(owner, "get_group", group_id=group["group_id"]))["result"]["episodes"][0]["state"] == "live"


async def test_an_idempotency_key_of_one_tenant_gets_nothing_of_anothers(make_server: MakeServer, keys: Keys) -> None:
    server = await make_server(keys_file=keys.path, api_key=None)
    first, second = keys.add("a"), keys.add("b")
    await server.keyring.refresh()
    body = {"environment": "scripted", "task": "a"}
    async with client_of(server, first) as one, client_of(server, second) as two:
        mine = await one.post("/v1/episodes", json=body, headers={"Idempotency-Key": "k"})
        theirs = await two.post("/v1/episodes", json=body, headers={"Idempotency-Key": "k"})
        assert mine.json()["episode_id"] != theirs.json()["episode_id"]
        episode_id = mine.json()["episode_id"]
        assert (await one.delete(f"/v1/episodes/{episode_id}", headers={"Idempotency-Key": "c"})).status_code == 200
        again = await two.delete(f"/v1/episodes/{episode_id}", headers={"Idempotency-Key": "c"})
        assert again.status_code == 404


async def test_an_admin_sees_all_tenants(make_server: MakeServer, keys: Keys) -> None:
    mine, admin = keys.add("a"), keys.add("ops", "admin")
    server = await make_server(keys_file=keys.path)
    async with client_of(server, mine) as owner, client_of(server, admin) as ops:
        episode_id = await create(owner)
        assert [e["episode_id"] for e in (await ops.get("/v1/episodes")).json()["episodes"]] == [episode_id]
        assert (await ops.delete(f"/v1/episodes/{episode_id}")).status_code == 200


ALLOWED: dict[str, dict[str, bool]] = {
    "read": {"look": True, "change": False, "metrics": False},
    "episodes": {"look": True, "change": True, "metrics": False},
    "metrics": {"look": False, "change": False, "metrics": True},
    "admin": {"look": True, "change": True, "metrics": True},
}


@pytest.mark.parametrize("scope", ALLOWED)
async def test_a_scope_allows_what_it_says(make_server: MakeServer, keys: Keys, scope: str) -> None:
    full, some = keys.add("a"), keys.add("a", scope)
    server = await make_server(keys_file=keys.path)
    async with client_of(server, full) as owner, client_of(server, some) as http:
        episode = f"/v1/episodes/{await create(owner)}"
        look = [
            "/v1/episodes",
            episode,
            "/v1/environments",
            "/v1/environments/scripted",
            "/v1/environments/scripted/tasks",
        ]
        change: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", f"{episode}/step", {"json": {"action": {"type": "echo"}, "step_index": 1}}),
            ("PUT", f"{episode}/files?path=/f", {"content": b"1", "headers": OCTETS}),
            ("POST", f"{episode}/grade", {}),
            ("POST", f"{episode}/reset", {}),
            ("POST", "/v1/batch/step", {"json": {"steps": [{"episode_id": "x", "action": 1, "step_index": 1}]}}),
            ("POST", "/v1/episodes", {"json": {"environment": "scripted"}}),
            ("DELETE", episode, {}),
        ]
        answers = {
            "look": [await http.get(path) for path in look],
            "change": [await http.request(verb, path, **given) for verb, path, given in change],
            "metrics": [await http.get("/metrics"), await http.get("/v1/metrics")],
        }
        for group, allowed in ALLOWED[scope].items():
            for answer in answers[group]:
                if allowed:
                    assert answer.status_code < 300, answer.text
                else:
                    assert answer.status_code == 403
                    assert answer.json()["type"].endswith(":forbidden")
        assert (await http.get("/health")).status_code == 200


async def test_a_revoked_key_loses_its_open_connections_within_a_second(
    make_server: MakeServer, keys: Keys, gates: Gates
) -> None:
    revoked, other = keys.add("a"), keys.add("a")
    server = await make_server(keys_file=keys.path)
    async with socket_of(server, revoked) as socket, socket_of(server, other) as bystander:
        started = await ask(socket, "create", environment="scripted", task="a")
        episode_id = started["result"]["episode_id"]
        step = {"episode_id": episode_id, "action": {"type": "wait", "gate": "g"}, "step_index": 1}
        await socket.send(json.dumps({"id": 2, "method": "step", "params": step}))
        await gates.reached("g")
        keys.revoke(revoked)
        began = time.monotonic()
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 5)
        assert time.monotonic() - began < 1.0
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        with pytest.raises(InvalidStatus):
            await socket_of(server, revoked)
        gates.open("g")
        found = await ask(bystander, "get_step", episode_id=episode_id, index=1, wait_s=5)
        assert found["result"]["observation"] == {"passed": "g"}, "the step ran on, as after any lost connection"
    async with client_of(server, revoked) as http:
        assert (await http.get("/v1/episodes")).status_code == 401


async def test_a_key_expires(make_server: MakeServer, keys: Keys) -> None:
    key = keys.add("a", expires_at=time.time() + 1.0)
    server = await make_server(keys_file=keys.path)
    async with socket_of(server, key) as socket, client_of(server, key) as http:
        assert (await http.get("/v1/episodes")).status_code == 200
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 5)
        assert (await http.get("/v1/episodes")).status_code == 401


async def test_a_broken_keys_file_changes_nothing_and_a_new_server_refuses_it(
    make_server: MakeServer, keys: Keys
) -> None:
    key, revoked = keys.add("a"), keys.add("a")
    keys.revoke(revoked)
    server = await make_server(keys_file=keys.path)
    good = keys.path.read_text()
    async with client_of(server, key) as http, client_of(server, revoked) as never, client_of(server, "none") as nobody:
        for broken in ("", "{", "{}", '{"keys": "all"}', None):
            if broken is None:
                keys.path.unlink()
            else:
                keys.path.write_text(broken)
            await server.keyring.refresh()
            assert (await http.get("/v1/episodes")).status_code == 200, broken
            assert (await never.get("/v1/episodes")).status_code == 401, broken
            assert (await nobody.get("/v1/episodes")).status_code == 401, broken
            with pytest.raises(KeysFileError):
                await make_server(keys_file=keys.path)
        keys.path.touch(mode=0o600)
        keys.path.write_text(good)
        keys.revoke(key)
        await server.keyring.refresh()
        assert (await http.get("/v1/episodes")).status_code == 401


async def test_a_key_whose_secret_is_wrong_is_none(make_server: MakeServer, keys: Keys) -> None:
    key = keys.add("a")
    server = await make_server(keys_file=keys.path)
    wrong = [
        key[:-1],
        key[:-1] + ("A" if key[-1] != "A" else "B"),
        key.upper(),
        key + "x",
        "env_" + "a" * 12 + key[16:],
    ]
    for given in wrong:
        async with client_of(server, given) as http:
            assert (await http.get("/v1/episodes")).status_code == 401, given


async def test_the_single_key_is_the_default_tenants_beside_a_keys_file(make_server: MakeServer, keys: Keys) -> None:
    key = keys.add("default")
    server = await make_server(keys_file=keys.path, api_key="simple")
    async with client_of(server, "simple") as one, client_of(server, key) as two:
        episode_id = await create(one)
        assert (await two.get(f"/v1/episodes/{episode_id}")).status_code == 200
        assert (await one.get("/metrics")).status_code == 200
        assert (await two.get("/metrics")).status_code == 403


async def test_a_tenant_at_its_quota_is_refused_and_keeps_nobody_else_waiting(
    make_server: MakeServer, keys: Keys
) -> None:
    one, two = keys.add("a"), keys.add("b")
    keys.limit("a", max_episodes=1, starts_per_minute=2)
    server = await make_server(keys_file=keys.path)
    async with client_of(server, one) as limited, client_of(server, two) as other:
        episode_id = await create(limited)
        refused = await limited.post("/v1/episodes", json={"environment": "scripted"})
        assert refused.status_code == 429
        assert refused.json()["type"].endswith(":quota_exceeded")
        assert refused.json()["quota"] == "max_episodes"
        assert "retry-after" not in refused.headers
        await create(other)
        assert (await limited.post(f"/v1/episodes/{episode_id}/reset")).status_code == 200
        refused = await limited.post(f"/v1/episodes/{episode_id}/reset")
        assert refused.json()["quota"] == "starts_per_minute"
        assert int(refused.headers["retry-after"]) in range(25, 31)
        assert (await limited.get(f"/v1/episodes/{episode_id}")).json()["generation"] == 2, "nothing changed"
        await limited.delete(f"/v1/episodes/{episode_id}")
        keys.limit("a", max_episodes=1)
        await server.keyring.refresh()
        await create(limited)


async def test_creates_at_once_never_pass_the_quota_together(
    make_server: MakeServer, keys: Keys, runtime: ScriptedRuntime
) -> None:
    key = keys.add("a")
    keys.limit("a", max_episodes=3)
    server = await make_server(keys_file=keys.path)
    async with client_of(server, key) as http:
        body = {"environment": "scripted"}
        answers = await asyncio.gather(*(http.post("/v1/episodes", json=body) for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 9
    assert runtime.most == 3
    assert server.services.tenants.get("a").episodes == 3


async def test_the_sdk_waits_for_a_rate_and_not_for_what_waiting_does_not_give(
    make_server: MakeServer, keys: Keys
) -> None:
    key = keys.add("a")
    keys.limit("a", max_episodes=2, starts_per_minute=600)
    server = await make_server(keys_file=keys.path)
    tenant = server.services.tenants.get("a")
    async with AsyncClient(server.url, key) as client:
        first = await client.create("scripted")
        assert tenant._starts is not None
        tenant._starts.take(600)
        second = await asyncio.wait_for(client.create("scripted"), 5)
        with pytest.raises(QuotaExceeded) as refused:
            await asyncio.wait_for(client.create("scripted"), 5)
        assert refused.value.extra["quota"] == "max_episodes"
        await first.close()
        await second.close()


async def test_cpu_time_that_sandboxes_used_is_charged_to_their_tenant(make_server: MakeServer, keys: Keys) -> None:
    key = keys.add("a")
    keys.limit("a", cpu_s_per_hour=0.4)
    server = await make_server(keys_file=keys.path)
    async with client_of(server, key) as http:
        episode = f"/v1/episodes/{await create(http)}"
        await http.post(f"{episode}/step", json={"action": {"type": "oom"}, "step_index": 1})  # half a second
        refused = await http.post("/v1/episodes", json={"environment": "scripted"})
        assert refused.json()["quota"] == "cpu_s_per_hour"
        assert int(refused.headers["retry-after"]) > 60
        await http.delete(episode)
        cpu = server.services.tenants.get("a")._cpu
        assert cpu is not None
        assert cpu.level() == pytest.approx(-0.1, abs=0.01), "the close charges nothing twice"


async def test_owners_outlive_the_server(make_server: MakeServer, keys: Keys, runtime: ScriptedRuntime) -> None:
    mine, other = keys.add("a"), keys.add("b")
    keys.limit("a", max_episodes=1)
    first = await make_server(keys_file=keys.path)
    async with client_of(first, mine) as owner:
        episode_id = await create(owner)
        (sandbox,) = runtime.sandboxes.values()
        assert sandbox.spec.labels["owner"] == "a"
        second = await make_server(
            keys_file=keys.path
        )  # as after a crash: the first one's world is found, not its actor
        async with client_of(second, mine) as again, client_of(second, other) as stranger:
            assert (await again.get(f"/v1/episodes/{episode_id}")).json()["state"] == "lost"
            assert (await stranger.get(f"/v1/episodes/{episode_id}")).status_code == 404
            assert (await stranger.delete(f"/v1/episodes/{episode_id}")).status_code == 404
            assert (await again.post("/v1/episodes", json={"environment": "scripted"})).status_code == 429
            assert (await again.delete(f"/v1/episodes/{episode_id}")).status_code == 200
            await create(again)


async def test_every_change_and_refusal_is_on_record_and_no_content_is(
    make_server: MakeServer, keys: Keys, tmp_path: Path
) -> None:
    key, other, reader = keys.add("a"), keys.add("b"), keys.add("a", "read")
    path = tmp_path / "audit.jsonl"
    server = await make_server(keys_file=keys.path, audit_file=path)
    async with client_of(server, key) as http, client_of(server, other) as stranger:
        episode_id = await create(http)
        episode = f"/v1/episodes/{episode_id}"
        for index in (1, 2):
            action = {"type": "echo", "value": "content of an action"}
            await http.post(f"{episode}/step", json={"action": action, "step_index": index})
        await http.put(f"{episode}/files?path=/f", content=b"content of a file", headers=OCTETS)
        await http.post(f"{episode}/reset", headers={"Idempotency-Key": "k"})
        await http.post(f"{episode}/reset", headers={"Idempotency-Key": "k"})
        await http.post(f"{episode}/grade")
        await stranger.delete(episode)
        async with client_of(server, reader) as weak, client_of(server, "env_wrong") as nobody:
            await weak.delete(episode)
            await nobody.delete(episode)
        await http.post("/v1/episodes", json={"environment": "none"})
        keys.revoke(reader)
        await server.keyring.refresh()
        await http.delete(episode)
    await server.stop()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    events = [record["event"] for record in records]
    assert events == [
        "create", "write_file", "reset", "graded", "grade", "refused", "refused", "refused", "create", "keys_reloaded",
        "closed", "close",
    ]  # fmt: skip
    assert [record.get("problem") for record in records[5:9]] == ["not_found", "forbidden", "unauthorized", "not_found"]
    assert {record["tenant"] for record in records[:5]} == {"a"}
    assert records[0]["episode_id"] == records[5]["episode_id"] == episode_id
    assert records[5]["tenant"] == "b"
    assert records[7]["client"] == "127.0.0.1"
    assert (records[10]["steps"], records[10]["reason"]) == (2, "deleted")
    text = path.read_text()
    for secret in ("content of", key, other, reader, key.rpartition("_")[2]):
        assert secret not in text
    assert (await asyncio.to_thread(verify, path)).whole
