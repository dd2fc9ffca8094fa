"""The calls over HTTP, against a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from envserver.server import RunningServer
from envserver_sdk import models
from tests.unit.episodes.helpers import until
from tests.unit.scripted import Gates, ScriptedGrader, ScriptedRuntime


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        yield client


async def create(http: httpx.AsyncClient, **members: object) -> str:
    response = await http.post("/v1/episodes", json={"environment": "scripted", "task": "a", **members})
    assert response.status_code == 201, response.text
    return models.EpisodeStarted.model_validate_json(response.content).episode_id


async def test_an_episode_from_create_to_close(http: httpx.AsyncClient, runtime: ScriptedRuntime) -> None:
    episode = f"/v1/episodes/{await create(http)}"
    stepped = await http.post(f"{episode}/step", json={"action": {"type": "echo", "value": "hé"}, "step_index": 1})
    assert models.StepResult.model_validate_json(stepped.content).observation["value"] == "hé"
    info = models.EpisodeInfo.model_validate_json((await http.get(episode)).content)
    assert (info.state, info.step_index, info.task) == ("live", 1, "a")
    assert info.expires_at is not None
    closed = models.EpisodeInfo.model_validate_json((await http.delete(episode)).content)
    assert (closed.state, closed.reason) == ("closed", "deleted")
    assert (await http.delete(episode)).status_code == 200
    assert (await http.post(f"{episode}/step", json={"action": 1, "step_index": 2})).status_code == 410
    assert not runtime.sandboxes


async def test_a_step_that_takes_longer_than_wait_s_is_fetched_later(http: httpx.AsyncClient, gates: Gates) -> None:
    episode = f"/v1/episodes/{await create(http)}"
    body = {"action": {"type": "wait", "gate": "g"}, "step_index": 1, "wait_s": 0}
    pending = await http.post(f"{episode}/step", json=body)
    assert pending.status_code == 202
    assert models.StepPending.model_validate_json(pending.content).step_index == 1
    assert (await http.get(f"{episode}/steps/1")).status_code == 202
    fetching = asyncio.ensure_future(http.get(f"{episode}/steps/1", params={"wait_s": 5}))
    gates.open("g")
    fetched = await fetching
    assert fetched.status_code == 200
    again = await http.post(f"{episode}/step", json={**body, "wait_s": 5})
    assert fetched.content == again.content
    assert gates.counts["g"] == 1


async def test_a_connection_dropped_during_a_step_loses_nothing(
    http: httpx.AsyncClient, server: RunningServer, gates: Gates
) -> None:
    episode_id = await create(http)
    host, port = server.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = json.dumps({"action": {"type": "wait", "gate": "g"}, "step_index": 1})
    head = (
        f"POST /v1/episodes/{episode_id}/step HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    writer.write(head.encode())
    await gates.reached("g")
    writer.close()
    await writer.wait_closed()
    resent = asyncio.ensure_future(
        http.post(f"/v1/episodes/{episode_id}/step", content=body, headers={"content-type": "application/json"})
    )
    gates.open("g")
    assert (await resent).json()["observation"] == {"passed": "g"}
    assert gates.counts["g"] == 1


async def test_a_client_that_leaves_during_a_create_leaves_no_episode(
    http: httpx.AsyncClient, server: RunningServer, runtime: ScriptedRuntime
) -> None:
    runtime.hold = asyncio.Event()
    creating = asyncio.ensure_future(create(http))
    await runtime.creating.wait()
    creating.cancel()
    await until(lambda: server.services.admission.admitted == 0)
    runtime.hold = None
    assert not runtime.sandboxes


async def test_a_create_with_a_key_happens_once_also_when_its_client_leaves(
    http: httpx.AsyncClient, runtime: ScriptedRuntime
) -> None:
    runtime.hold = asyncio.Event()
    body, key = {"environment": "scripted", "task": "a"}, {"Idempotency-Key": "k1"}
    leaving = asyncio.ensure_future(http.post("/v1/episodes", json=body, headers=key))
    await runtime.creating.wait()
    leaving.cancel()
    staying = [asyncio.ensure_future(http.post("/v1/episodes", json=body, headers=key)) for _ in range(2)]
    runtime.hold.set()
    first, second = await asyncio.gather(*staying)
    assert first.content == second.content
    assert runtime.counts["create"] == 1
    other = await http.post("/v1/episodes", json={**body, "task": "b"}, headers=key)
    assert other.json()["type"].endswith("idempotency_mismatch")


async def test_reset_close_grade_and_put_take_keys_too(http: httpx.AsyncClient, runtime: ScriptedRuntime) -> None:
    episode = f"/v1/episodes/{await create(http)}"
    key = {"Idempotency-Key": "same"}
    resets = [await http.post(f"{episode}/reset", json={"seed": 3}, headers=key) for _ in range(2)]
    assert resets[0].content == resets[1].content
    assert resets[0].json()["generation"] == 2
    put = {**key, "content-type": "application/octet-stream"}
    for _ in range(2):
        assert (await http.put(f"{episode}/files?path=/x", content=b"1", headers=put)).status_code == 200
    assert runtime.counts["write_file"] == 1
    assert (await http.put(f"{episode}/files?path=/x", content=b"2", headers=put)).status_code == 409
    grades = [await http.post(f"{episode}/grade", headers=key) for _ in range(2)]
    assert grades[0].content == grades[1].content
    assert [(await http.delete(episode, headers=key)).status_code for _ in range(2)] == [200, 200]


async def test_grade_and_reset_need_no_body(http: httpx.AsyncClient, grader: ScriptedGrader) -> None:
    episode = f"/v1/episodes/{await create(http)}"
    first, second = [await http.post(f"{episode}/grade") for _ in range(2)]
    assert first.content == second.content
    assert models.GradeResult.model_validate_json(first.content).reward == 0.0
    assert grader.gradings == 1
    assert (await http.post(f"{episode}/reset")).json()["generation"] == 2


async def test_a_batch_gives_one_result_or_problem_each(http: httpx.AsyncClient, gates: Gates) -> None:
    ids = [await create(http) for _ in range(3)]
    steps = [
        {"episode_id": ids[0], "action": {"type": "echo", "value": 7}, "step_index": 1},
        {"episode_id": ids[1], "action": {"type": "echo"}, "step_index": 9},
        {"episode_id": "ep_none", "action": {}, "step_index": 1},
        {"episode_id": ids[2], "action": {"type": "wait", "gate": "g"}, "step_index": 1, "wait_s": 0},
    ]
    results = (await http.post("/v1/batch/step", json={"steps": steps})).json()["results"]
    assert results[0]["observation"]["value"] == 7
    assert (results[1]["type"].rpartition(":")[2], results[1]["expected"]) == ("wrong_step_index", 1)
    assert results[2]["status"] == 404
    assert results[3]["status"] == "running"
    gates.open("g")


async def test_files_go_in_and_out_as_bytes(http: httpx.AsyncClient) -> None:
    files = f"/v1/episodes/{await create(http)}/files"
    data = bytes(range(256)) * 100
    octets = {"content-type": "application/octet-stream"}
    put = await http.put(files, params={"path": "/workspace/ü b"}, content=data, headers=octets)
    assert put.json() == {"path": "/workspace/ü b", "size_bytes": len(data)}
    got = await http.get(files, params={"path": "/workspace/ü b"})
    assert got.content == data
    assert got.headers["content-type"] == "application/octet-stream"


async def test_environments_and_their_tasks_are_shown_without_their_graders(http: httpx.AsyncClient) -> None:
    listed = models.EnvironmentList.model_validate_json((await http.get("/v1/environments")).content)
    assert listed.environments == ["scripted"]
    shown = models.EnvironmentInfo.model_validate_json((await http.get("/v1/environments/scripted")).content)
    assert shown.task_sets[0].task_count == 3
    assert listed.offers == [
        models.EnvironmentOffer(**{name: getattr(shown, name) for name in models.EnvironmentOffer.model_fields})
    ]
    page = await http.get("/v1/environments/scripted/tasks", params={"limit": 2})
    tasks = models.TaskList.model_validate_json(page.content)
    assert [task.task_id for task in tasks.tasks] == ["a", "b"]
    rest = await http.get("/v1/environments/scripted/tasks", params={"cursor": tasks.next_cursor})
    assert [task["task_id"] for task in rest.json()["tasks"]] == ["c"]
    assert "gold" not in page.text


async def test_health_and_metrics(http: httpx.AsyncClient, runtime: ScriptedRuntime, server: RunningServer) -> None:
    episode = f"/v1/episodes/{await create(http)}"
    await http.post(f"{episode}/step", json={"action": {"type": "echo"}, "step_index": 1})
    health = models.Health.model_validate_json((await http.get("/v1/health")).content)
    assert (health.status, health.live_episodes, health.runtime) == ("ok", 1, "scripted")
    text = (await http.get("/metrics")).text
    for line in (
        'envserver_step_seconds_count{environment="scripted",outcome="ok"} 1.0',
        'envserver_create_seconds_count{environment="scripted",phase="sandbox"} 1.0',
        'envserver_episodes{state="live"} 1.0',
        "envserver_queue_length 0.0",
        "envserver_loop_lag_seconds_count",
    ):
        assert line in text
    runtime.available = False
    server.calls._readiness._until = 0.0
    unready = await http.get("/health")
    assert (unready.status_code, unready.json()["status"]) == (503, "unavailable")
    runtime.available = True


async def test_the_openapi_document_names_every_call_and_resolves(http: httpx.AsyncClient) -> None:
    document = (await http.get("/v1/openapi.json")).json()
    operations = {f"{method} {path}" for path, item in document["paths"].items() for method in item}
    assert {
        "post /v1/episodes", "get /v1/episodes", "get /v1/episodes/{episode_id}", "delete /v1/episodes/{episode_id}",
        "post /v1/episodes/{episode_id}/step", "get /v1/episodes/{episode_id}/steps/{index}",
        "post /v1/episodes/{episode_id}/reset", "post /v1/episodes/{episode_id}/grade",
        "get /v1/episodes/{episode_id}/files", "put /v1/episodes/{episode_id}/files", "post /v1/batch/step",
        "get /v1/environments", "get /v1/environments/{name}", "get /v1/environments/{name}/tasks",
        "get /v1/health", "get /v1/metrics",
    } <= operations  # fmt: skip
    schemas = document["components"]["schemas"]
    text = json.dumps(document)
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(schemas)
    assert document["info"]["title"] == "envserver"
