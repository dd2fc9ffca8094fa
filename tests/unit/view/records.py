"""Records to lay out: trajectories as a server writes them, and pages as a browser reads them."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from envserver.view.page import Written, write_page
from envserver.view.room import DEFAULT_BYTES

JsonObject = dict[str, Any]


def png(width: int = 2, height: int = 1, padding: bytes = b"") -> str:
    """A picture in base64, as large as its padding."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    rows = zlib.compress(b"".join(b"\0" + bytes((200, 80, 40)) * width for _ in range(min(height, 2000))))
    chunks = [chunk(b"IHDR", head), chunk(b"teSt", padding), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def step(index: int = 1, action: Any = None, observation: Any = None, **members: Any) -> JsonObject:
    info = {"outcome": "ok", "trainable": True, "duration_ms": 12.5, "cpu_ms": 1.0, "peak_memory_bytes": 1 << 20}
    return {
        "episode_id": "ep_1", "generation": 1, "step_index": index, "timeout_s": 30.0, "reward": 0.0,
        "action": {"type": "python", "code": "6 * 7"} if action is None else action,
        "observation": {"result": "42"} if observation is None else observation, "terminated": False,
        "truncated": False, "metadata": {}, "begun_at": 1000.0, "finished_at": 1000.1,
        **members, "info": {**info, **members.get("info", {})},
    }  # fmt: skip


def record(*steps: JsonObject, **members: Any) -> JsonObject:
    return {
        "episode_id": "ep_1", "generation": 1, "cursor": "1.1", "environment": "code", "task_set": "humaneval",
        "task": "HumanEval/0", "seed": 2**63 - 1, "options": {}, "limits": {"pids": 40}, "image": "sha256:aa",
        "state": "closed", "reason": "deleted", "created_at": 999.0, "begun_at": 999.5, "closed_at": 1001.0,
        "metadata": {}, "group_id": None, "origin": "create", "lineage": [], "observation": {"prompt": "Do it."},
        "info": {}, "checkpoints": [], "complete": True, "reward": 0.0, "terminated": False, "truncated": True,
        "grade": None, "trainable": True, **members, "steps": list(steps),
    }  # fmt: skip


def encoded(document: JsonObject) -> bytes:
    """On one line, as servers and exports have it."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def in_pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    return (data[place : place + size] for place in range(0, len(data), size))


def page_of(document: JsonObject, max_bytes: int = DEFAULT_BYTES) -> tuple[str, Written]:
    file = io.BytesIO()
    written = write_page(file, in_pieces(encoded(document)), max_bytes)
    text = file.getvalue().decode("utf-8")
    assert written.bytes == len(file.getvalue())
    return text, written


def data_of(page: str) -> JsonObject:
    """What the page's script reads: the text up to the first end of the data's element, as a browser finds it."""
    rest = page.partition('<script type="application/json" id="data">')[2]
    found: JsonObject = json.loads(re.split(r"</script", rest, maxsplit=1, flags=re.IGNORECASE)[0])
    return found


def frames_of(document: JsonObject, max_bytes: int = DEFAULT_BYTES) -> list[JsonObject]:
    """Of the steps."""
    found: list[JsonObject] = data_of(page_of(document, max_bytes)[0])["steps"]
    return found


def sections_in(frame: JsonObject, heading: str) -> list[JsonObject]:
    return next((sections for name, sections in frame["groups"] if name == heading), [])
