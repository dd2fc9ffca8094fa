"""A model drives a browser by what it writes, in any protocol, and sees nothing but its conversation."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

from envserver_sdk import AsyncClient
from tests.e2e.conftest import ServerProcess
from tests.e2e.dialogues import SPECIAL, Dialogue, text_of

pytestmark = pytest.mark.node

PROTOCOLS = ["tagged", "hermes", "qwen3_coder", "react", "openai", "anthropic", SPECIAL]


@pytest.mark.parametrize("settings", PROTOCOLS, ids=lambda each: each if isinstance(each, str) else each["name"])
async def test_a_form_is_filled_in_and_sent_in_every_protocol(server: ServerProcess, settings: Any) -> None:
    options = {"protocol": settings, "observe": ["text", "screenshot"], "picture": "webp"}
    async with (
        AsyncClient(server.url) as client,
        client.create("browser", task_set="miniwob", task="enter-text", seed=3, options=options) as episode,
    ):
        opening = text_of(episode.messages[-1:])
        (wanted,) = re.findall(r'Enter "(\w+)" into the text field', opening.partition("\n\nurl: ")[0])
        assert [kind for kind, _ in pictures_in(episode.messages[-1])] == ["image/webp"]
        assert all(data.startswith(b"RIFF") for _, data in pictures_in(episode.messages[-1]))

        talk = Dialogue(episode, settings)
        said = await talk.call("fill", ref=ref(opening, "textbox"), text=wanted)
        assert f": {wanted}" in said
        assert "there is no e999999 on this page" in await talk.call("click", ref="e999999")
        await talk.call("click", ref=ref(said, 'button "Submit"'))
        assert talk.last is not None
        assert (talk.last.reward, talk.last.terminated) == (1.0, True)


def ref(text: str, pattern: str) -> str:
    found = re.search(rf"{pattern}.*?\[ref=(\w+)\]", text)
    assert found, f"{pattern} is not in:\n{text}"
    return found[1]


def pictures_in(value: Any) -> list[tuple[str, bytes]]:
    """Media type and bytes, in either provider's shape."""
    if isinstance(value, list):
        return [each for inner in value for each in pictures_in(inner)]
    if not isinstance(value, dict):
        return []
    if value.get("type") == "image_url":
        kind, _, data = value["image_url"]["url"].removeprefix("data:").partition(";base64,")
        return [(kind, base64.b64decode(data))]
    if value.get("type") == "image":
        return [(value["source"]["media_type"], base64.b64decode(value["source"]["data"]))]
    return [each for inner in value.values() for each in pictures_in(inner)]
