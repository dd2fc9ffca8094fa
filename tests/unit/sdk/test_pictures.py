"""Pictures of an observation, however they were sent."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from environments.protocols import Call, Result, Turn
from environments.protocols import Picture as ShownPicture
from environments.protocols import protocol as make_protocol
from envserver_sdk.pictures import Picture, pictures_of


def encoded(kind: str) -> bytes:
    image = Image.new("RGB", (3, 2), (10, 20, 30))
    image.putpixel((2, 1), (255, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"lossless": True} if kind == "webp" else {}))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["png", "webp"])
@pytest.mark.parametrize("send", [lambda data: base64.b64encode(data).decode(), lambda data: data])
def test_pictures_come_as_text_or_as_bytes_and_are_the_same(kind: str, send: Any) -> None:
    data = encoded(kind)
    [picture] = pictures_of({"images": [{"format": kind, "data": send(data)}]})
    assert picture == Picture(kind, data)
    pixels = picture.array()
    assert pixels.shape == (2, 3, 3)
    assert pixels.dtype == np.uint8
    assert pixels[1, 2].tolist() == [255, 0, 0]
    assert pixels[0, 0].tolist() == [10, 20, 30]
    assert picture.url.startswith(f"data:image/{kind};base64,")


def test_there_may_be_none() -> None:
    assert pictures_of({"text": "- button"}) == []


def test_what_is_no_picture_is_told() -> None:
    with pytest.raises(ValueError, match="no png picture"):
        Picture("png", b"<svg/>").array()


@pytest.mark.parametrize("protocol", ["openai", "anthropic", "hermes"])
def test_a_protocol_puts_them_into_messages_and_they_are_found_there(protocol: str) -> None:
    speaks = make_protocol(protocol)
    shown = [ShownPicture("png", base64.b64encode(data).decode()) for data in (b"\0\xff", b"\1")]
    begun = {"messages": [{"role": "system", "content": "Look."}, speaks.render_user("Here.", shown)]}
    result = Result(Call("look", {}, "call_1"), "Here.", tuple(shown))
    later = {"messages": speaks.render_results(Turn(calls=(result.call,)), [result]), "observations": []}
    expected = [Picture("png", b"\0\xff"), Picture("png", b"\1")]
    assert pictures_of(begun) == pictures_of(later) == expected


@pytest.mark.parametrize(
    "messages",
    [
        "a text",
        ["a text", 3, None],
        [{"content": [{"image_url": {"url": "https://example.org/a.png"}}, {"image_url": "data:"}, {"source": {}}]}],
    ],
)
def test_messages_of_another_kind_have_none(messages: object) -> None:
    assert pictures_of({"messages": messages}) == []
