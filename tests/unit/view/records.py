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

HOSTILE = [
    "</script><script>alert(1)</script>",
    "</SCRIPT ><img src=x onerror=alert(1)>",
    "<!--<script>",
    "]]><svg onload=alert(1)>",
    "&lt;/script&gt;&quot;",
    '"}]};alert(1);//',
    "\\\"</style><base href='http://evil.invalid/'>",
    "@DATA@ @SCRIPT@ @HASH@ @STYLE@",
    "{{7*7}}${7*7}`${alert(1)}`",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+",
    'data:image/png;base64,aaaa" onerror="alert(1)',
    "\u2028alert(1)\u2029",
    "\u202e\u2066evil\u2069",
    "\x00\x01\x1b]0;owned\x07\x7f\x85",
    "__proto__",
    "constructor",
    "é漢😀",
]
"""Texts that would do something, wherever they came to be more than a text."""


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


def poisoned(text: str) -> JsonObject:
    """A record that has a text wherever a text can be, names of members included."""
    anything = {text: text, "text": text, "list": [text, {text: [text]}], "images": [{"format": text, "data": text}]}
    said = {"role": text, "content": [{"type": text, "text": text}, {"type": "image_url", "image_url": {"url": text}}]}
    observation = {
        **anything, "error": text, "stdout": text, "messages": [said], "tools": [anything],
        "images": [{"format": "png", "data": text}, {"format": text, "data": png()}],
    }  # fmt: skip
    steps = [
        step(1, anything, observation, episode_id=text, metadata=anything, info={**anything, "outcome": text}),
        step(2, text, {text: text}, info={"trainable": text, "duration_ms": text, "cpu_ms": [text]}),
        step(3, {"type": text, "message": said}, {"observations": [text, anything]}),
    ]
    saved = {
        "checkpoint_id": text, "kind": "process", "episode_id": text, "generation": 1, "step_index": 1, "label": text,
        "created_at": 1.0, "bytes": 1, "pause_ms": 1.0,
    }  # fmt: skip
    origin = {"checkpoint_id": text, "episode_id": text, "generation": 1, "step_index": 2}
    grade = {"reward": 1.0, "components": {text: 1.0}, "trainable": True, "report": anything}
    texts = dict.fromkeys(
        ("episode_id", "cursor", "environment", "task_set", "task", "image", "reason", "group_id", "origin"), text
    )
    objects = dict.fromkeys(("options", "limits", "metadata", "observation", "info"), anything)
    return record(*steps, **texts, **objects, checkpoints=[saved], lineage=[origin], grade=grade, **{text: text})


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
