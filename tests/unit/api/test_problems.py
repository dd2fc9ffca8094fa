"""Whatever a client does wrong, it gets a problem document of the closed table and nothing of our insides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from envserver.server import RunningServer
from envserver_sdk.errors import PROBLEMS, TYPE_PREFIX
from tests.unit.fixtures import MakeServer

JSON = {"content-type": "application/json"}
STEP = "/v1/episodes/{id}/step"


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        yield client


@pytest.fixture
async def episode_id(http: httpx.AsyncClient) -> str:
    created = await http.post("/v1/episodes", json={"environment": "scripted", "task": "a"})
    assert created.status_code == 201, created.text
    return str(created.json()["episode_id"])


def check(response: httpx.Response, code: str) -> dict[str, Any]:
    document: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert document["type"] == TYPE_PREFIX + code, document
    assert response.status_code == document["status"] == PROBLEMS[code].status
    assert document["title"] == PROBLEMS[code].title
    assert document["detail"]
    for inside in ("Traceback", "/work/", "site-packages", "secret", "pydantic", "0x"):
        assert inside not in response.text
    return document


MALFORMED_STEPS: list[tuple[bytes, str]] = [
    (b"", "no JSON"),
    (b"{", "no JSON"),
    (b"[1]", "an object is expected"),
    (b"null", "an object is expected"),
    (b'{"action": NaN, "step_index": 1}', "no JSON"),
    (b'{"action": 1e999, "step_index": 1}', "too large"),
    (b'{"action": -Infinity, "step_index": 1}', "no JSON"),
    (b'{"action": "\\ud800", "step_index": 1}', "no JSON"),
    (b'{"action": "\xff", "step_index": 1}', "no JSON"),
    (b'{"action": %s, "step_index": 1}' % (b"9" * 5000), "no JSON"),
    (b'{"action": %s1%s, "step_index": 1}' % (b"[" * 65, b"]" * 65), "deep"),
    (b'{"action": %s1%s, "step_index": 1}' % (b"[" * 100_000, b"]" * 100_000), "no JSON"),
    (b'{"action": %s1%s, "step_index": 1}' % (b'{"a":' * 70, b"}" * 70), "deep"),
    (b'{"step_index": 1}', "action: Field required"),
    (b'{"action": 1, "step_index": 0}', "step_index"),
    (b'{"action": 1, "step_index": "one"}', "step_index"),
    (b'{"action": 1, "step_index": 1, "timeout_s": -1}', "timeout_s"),
    (b'{"action": 1, "step_index": 1, "timeout_s": 61}', "at most 60"),
    (b'{"action": 1, "step_index": 1, "timeot_s": 1}', "timeot_s"),
    (b'{"action": 1, "step_index": 1, "metadata": 3}', "metadata"),
]


async def test_malformed_steps(http: httpx.AsyncClient, episode_id: str) -> None:
    for body, detail in MALFORMED_STEPS:
        response = await http.post(STEP.format(id=episode_id), content=body, headers=JSON)
        assert detail in check(response, "invalid_request")["detail"], body[:80]
    fine = await http.post(STEP.format(id=episode_id), json={"action": 1, "step_index": 1})
    assert fine.status_code == 200, "a refused request used the name up"


MALFORMED_CREATES: list[dict[str, Any]] = [
    {},
    {"environment": 1},
    {"environment": "scripted", "seed": -1},
    {"environment": "scripted", "seed": 2**63},
    {"environment": "scripted", "ttl_s": 0},
    {"environment": "scripted", "network": {"allow": ["x"]}},
    {"environment": "scripted", "limits": {"pids": 1}},
    {"environment": "scripted", "limits": {"gpus": 1}},
    {"environment": "scripted", "options": {"unknown": 1}},
    {"environment": "x" * 200},
]


async def test_malformed_creates(http: httpx.AsyncClient) -> None:
    for body in MALFORMED_CREATES:
        check(await http.post("/v1/episodes", json=body), "invalid_request")


REQUESTS_FOR_NOTHING: list[tuple[str, str, str]] = [
    ("GET", "/", "not_found"),
    ("GET", "/v1/nothing", "not_found"),
    ("GET", "/v1/episodes/ep_none", "not_found"),
    ("DELETE", "/v1/episodes/ep_none", "not_found"),
    ("POST", "/v1/episodes/ep_none/grade", "not_found"),
    ("POST", "/v1/episodes/ep_none/reset", "not_found"),
    ("GET", "/v1/episodes/ep_none/steps/1", "not_found"),
    ("GET", "/v1/episodes/ep_none/steps/one", "invalid_request"),
    ("GET", "/v1/episodes/ep_none/steps/1?wait_s=-1", "invalid_request"),
    ("GET", "/v1/episodes/ep_none/steps/1?wait=1", "invalid_request"),
    ("GET", "/v1/environments/none", "not_found"),
    ("GET", "/v1/environments/none/tasks", "not_found"),
    ("GET", "/v1/environments/scripted/tasks?split=none", "not_found"),
    ("GET", "/v1/environments/scripted/tasks?limit=0", "invalid_request"),
    ("GET", "/v1/episodes?state=happy", "invalid_request"),
    ("GET", "/v1/episodes/ep_none/files", "invalid_request"),
    ("PUT", "/v1/episodes", "method_not_allowed"),
    ("GET", "/v1/batch/step", "method_not_allowed"),
    ("POST", "/v1/health", "method_not_allowed"),
    ("POST", "/v1/batch/step", "unsupported_media_type"),
    ("POST", "/v1/episodes", "unsupported_media_type"),
]


async def test_requests_for_nothing(http: httpx.AsyncClient) -> None:
    for method, path, code in REQUESTS_FOR_NOTHING:
        check(await http.request(method, path), code)


@pytest.mark.parametrize(
    ("action", "status"), [({"type": "crash"}, 200), ({"type": "fail"}, 200), ({"type": "nonsense"}, 200)]
)
async def test_a_defect_in_a_step_is_its_outcome(
    http: httpx.AsyncClient, episode_id: str, action: Any, status: int
) -> None:
    response = await http.post(STEP.format(id=episode_id), json={"action": action, "step_index": 1})
    assert response.status_code == status
    assert response.json()["info"]["outcome"] == "infra_error"
    check(await http.post(STEP.format(id=episode_id), json={"action": 1, "step_index": 2}), "episode_lost")


async def test_a_defect_of_ours_says_nothing(http: httpx.AsyncClient, server: RunningServer) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("/secret/path")

    server.calls.environments = broken  # type: ignore[method-assign, assignment]
    check(await http.get("/v1/environments"), "internal_error")


async def test_a_body_that_is_too_large_is_refused_by_its_announcement_and_by_its_bytes(
    make_server: MakeServer,
) -> None:
    server = await make_server(max_body_bytes=1000, max_file_bytes=2000)
    async with httpx.AsyncClient(base_url=server.url) as http:
        large = b'{"environment": "%s"}' % (b"x" * 1000)
        check(await http.post("/v1/episodes", content=large, headers=JSON), "payload_too_large")

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b" " * 400

        check(await http.post("/v1/episodes", content=chunks(), headers=JSON), "payload_too_large")
        created = await http.post("/v1/episodes", json={"environment": "scripted"})
        files = f"/v1/episodes/{created.json()['episode_id']}/files?path=/x"
        octets = {"content-type": "application/octet-stream"}
        assert (await http.put(files, content=b"x" * 2000, headers=octets)).status_code == 200
        check(await http.put(files, content=b"x" * 2001, headers=octets), "payload_too_large")


async def test_a_body_that_does_not_arrive_is_given_up(make_server: MakeServer) -> None:
    server = await make_server(body_timeout_s=0.05)
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        "POST /v1/episodes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    )
    writer.write(head.encode())
    status = await asyncio.wait_for(reader.readline(), 5)
    assert b"408" in status
    writer.close()


async def test_file_problems_carry_their_reason(http: httpx.AsyncClient, episode_id: str) -> None:
    files = f"/v1/episodes/{episode_id}/files"
    document = check(await http.get(files, params={"path": "/workspace/none"}), "file_error")
    assert document["reason"] == "not_found"
    check(await http.get(files, params={"path": "relative"}), "invalid_request")
    check(await http.put(files, params={"path": "/x"}, content=b"x"), "unsupported_media_type")


async def test_an_overloaded_node_says_when_to_come_again(make_server: MakeServer) -> None:
    server = await make_server(max_episodes=1, queue_length=0)
    async with httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.post("/v1/episodes", json={"environment": "scripted"})).status_code == 201
        refused = await http.post("/v1/episodes", json={"environment": "scripted"})
        document = check(refused, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert document["queue_position"] == 1
