"""Paths that lead astray, over HTTP into a real container: each its documented problem, and nothing is touched."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from envserver_sdk.errors import PROBLEMS, TYPE_PREFIX
from tests.e2e.conftest import ServerProcess

pytestmark = pytest.mark.node

OCTETS = {"content-type": "application/octet-stream"}
PLANT = """
ln -s /etc/shadow link; ln -s / up; ln -s loop loop; mkfifo pipe; mkdir directory; touch denied; chmod 000 denied
ln -s /dev/shm/outside leads_out; echo mine > plain; ln plain hard
"""


@pytest.fixture(scope="module")
def files(server: ServerProcess) -> Iterator[tuple[httpx.Client, str]]:
    """A client, and the files of an episode that has planted what it could."""
    with httpx.Client(base_url=server.url, timeout=30) as http:
        created = http.post("/v1/episodes", json={"environment": "code", "task": "HumanEval/0"})
        assert created.status_code == 201, created.text
        episode = f"/v1/episodes/{created.json()['episode_id']}"
        action = {"type": "bash", "command": PLANT}
        stepped = http.post(f"{episode}/step", json={"action": action, "step_index": 1})
        assert stepped.json()["observation"]["exit_code"] == 0, stepped.text
        yield http, episode
        http.delete(episode)


NEITHER = [
    "relative", "", "/" + "a" * 5000, "/workspace/a\0b", "/workspace/../etc/passwd", "/workspace/../../etc/passwd",
    "/..", "/workspace/link", "/workspace/up/etc/passwd", "/workspace/loop", "/workspace/leads_out", "/workspace/pipe",
    "/workspace/directory", "/workspace/denied", "/workspace/plain/below", "/proc/self/environ", "/proc/1/mem",
    "/proc/sys/kernel/core_pattern", "/sys/kernel/mm/transparent_hugepage/enabled", "/dev/null", "/dev/zero",
    "/dev/full", "/dev/mem", "/etc/shadow", "/root/.bashrc", "//etc//shadow",
]  # fmt: skip
"""What is neither read nor written."""
READ_ONLY = ["/etc/passwd", "/usr/bin/env"]
"""Owned by the image: what is read, and is not written."""


def check(response: httpx.Response) -> None:
    document = response.json()
    code = document["type"].removeprefix(TYPE_PREFIX)
    assert code in ("invalid_request", "file_error"), document
    assert response.status_code == PROBLEMS[code].status
    assert "Traceback" not in response.text


@pytest.mark.parametrize("path", NEITHER)
def test_it_is_neither_read_nor_written(files: tuple[httpx.Client, str], path: str) -> None:
    http, episode = files
    began = time.monotonic()
    check(http.get(f"{episode}/files", params={"path": path}))
    check(http.put(f"{episode}/files", params={"path": path}, content=b"x", headers=OCTETS))
    assert time.monotonic() - began < 5, "a pipe or a device keeps nobody waiting"
    assert http.get(episode).json()["step_index"] == 1


@pytest.mark.parametrize("path", READ_ONLY)
def test_what_the_image_owns_is_not_written(files: tuple[httpx.Client, str], path: str) -> None:
    http, episode = files
    before = http.get(f"{episode}/files", params={"path": path})
    assert before.status_code == 200
    check(http.put(f"{episode}/files", params={"path": path}, content=b"x", headers=OCTETS))
    assert http.get(f"{episode}/files", params={"path": path}).content == before.content


def test_an_honest_path_works_beside_them(files: tuple[httpx.Client, str]) -> None:
    http, episode = files
    for path in ("/workspace/plain", "/workspace/new/deep/file", "/workspace/%00", "/workspace/é\n"):
        assert http.put(f"{episode}/files", params={"path": path}, content=b"\0\xff", headers=OCTETS).status_code == 200
        assert http.get(f"{episode}/files", params={"path": path}).content == b"\0\xff"
