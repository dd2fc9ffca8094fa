"""The page of an episode, opened from a file in a real browser: it is drawn, stepped through, and asks for nothing."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from envserver_sdk import Client, Episode
from tests.conftest import ROOT
from tests.e2e.conftest import ServerProcess
from tests.unit.view.records import HOSTILE, page_of, poisoned

pytestmark = [pytest.mark.node, pytest.mark.timeout(120)]

VISIT = (ROOT / "tests" / "e2e" / "view_visit.py").read_text(encoding="utf-8")
IMAGE = "envserver/browser:latest"


def visited(page: str, keys: Sequence[str] = (), clicks: Sequence[str] = ()) -> dict[str, Any]:
    """What view_visit.py tells, of a container without a network in which addresses of files are not forbidden."""
    name = f"envserver-view-{uuid.uuid4().hex[:12]}"
    command = ["docker", "run", "--rm", "-i", "--name", name, "--network", "none", "--shm-size", "256m",
               "--tmpfs", "/etc/chromium/policies", IMAGE, "python3", "-c", VISIT]  # fmt: skip
    asked = json.dumps({"page": page, "keys": list(keys), "clicks": list(clicks)})
    try:
        ran = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=90, check=False)
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    told: dict[str, Any] = json.loads(ran.stdout)
    return told


def played(episode: Episode) -> tuple[str, bytes]:
    """What was to be seen in the first step of a task that is solved with the second: its address, and its picture."""
    [button] = re.findall(r'button "Click Me!".*?\[ref=(\w+)\]', episode.observation["text"])
    seen = episode.step({"type": "find", "text": "<img src=http://evil.test/x onerror=alert(1)>"})
    done = episode.step({"type": "click", "ref": button})
    assert (done.reward, done.terminated) == (1.0, True)
    [picture] = seen.pictures
    return seen.observation["url"], picture.data


def pixels(png: bytes) -> Any:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def shows(drawn: Any, seen: Any) -> bool:
    """Pixel for pixel; what is around it is at most a pixel, where it does not begin at a whole one."""
    height, width = seen.shape[:2]
    places = [(y, x) for y in range(drawn.shape[0] - height + 1) for x in range(drawn.shape[1] - width + 1)]
    return len(places) <= 4 and any(np.array_equal(drawn[y : y + height, x : x + width], seen) for y, x in places)


def test_an_episode_is_played_back_from_a_file_without_any_request(server: ServerProcess, tmp_path: Path) -> None:
    path = tmp_path / "episode.html"
    options = {"observe": ["text", "screenshot"], "viewport": {"width": 320, "height": 240}}
    with (
        Client(server.url) as client,
        client.create("browser", task_set="miniwob", task="click-test", seed=1, options=options) as episode,
    ):
        url, picture = played(episode)
        command = ["view", episode.episode_id, "--output", str(path), "--url", server.url]
        subprocess.run([sys.executable, "-m", "envserver.cli", *command], check=True, capture_output=True)

    keys, clicks = (
        ("ArrowRight", "ArrowRight", "ArrowRight", "Home"),
        ("#next", "#last", "#timeline button:nth-child(2)"),
    )
    told = visited(path.read_text(encoding="utf-8"), keys, clicks)

    assert told["requests"] == ["file:///tmp/page.html"]
    assert (told["dialogs"], told["errors"]) == ([], [])
    assert [each["violations"] for each in told["states"]] == [[]] * 8
    begin, first, second, grade, home, again, last, chosen = told["states"]
    assert [each["where"] for each in told["states"]] == [
        "beginning, 2 steps", "step 1 of 2", "step 2 of 2", "grade, 2 steps", "beginning, 2 steps",
        "step 1 of 2", "grade, 2 steps", "step 1 of 2",
    ]  # fmt: skip
    assert [each["current"] for each in told["states"]] == [0, 1, 2, 3, 0, 1, 3, 1]
    assert (home, again, last, chosen) == (begin, first, grade, first)
    assert episode.episode_id in begin["title"]
    assert "Click the button." in begin["text"]
    assert 'button "Click Me!"' in first["text"]
    assert url in first["text"]
    assert "<img src=http://evil.test/x onerror=alert(1)>" in first["text"], "what was hostile is there to be read"
    assert re.search(r"reward\s+1\b", second["text"])
    assert re.search(r"reward\s+1\b", grade["text"])
    assert first["picture"] == [320, 240]
    seen = pixels(picture)
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 1
    assert shows(pixels(base64.b64decode(first["drawn"])), seen), "the picture is drawn as it was seen"


def test_what_is_hostile_does_nothing_in_a_real_browser() -> None:
    record = poisoned("".join(HOSTILE))
    told = visited(page_of(record)[0], ("ArrowRight",) * 4, ("#theme", "#about summary"))
    assert told["requests"] == ["file:///tmp/page.html"]
    assert (told["dialogs"], told["errors"]) == ([], [])
    assert [each["violations"] for each in told["states"]] == [[]] * 7
    assert {each["scripts"] for each in told["states"]} == {1}, "the page's own; its data are taken away once read"
    assert [each["where"] for each in told["states"][1:4]] == ["step 1 of 3", "step 2 of 3", "step 3 of 3"]
    for text in HOSTILE[0], "javascript:alert(1)":
        assert text in told["states"][1]["text"]
