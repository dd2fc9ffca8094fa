"""The pictures of an observation: a browser's screenshots, a program's figures, a simulator's frames."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MEDIA_TYPE = re.compile(r"image/(?P<format>png|webp)")
_DATA_URL = re.compile(rf"data:{_MEDIA_TYPE.pattern};base64,(?P<data>[A-Za-z0-9+/=]*)")


@dataclass(frozen=True)
class Picture:
    """One, as it was sent."""

    format: str
    """png or webp."""
    data: bytes

    def array(self) -> NDArray[np.uint8]:
        """Its pixels, of shape (height, width, 3). Needs `envserver-sdk[pictures]`.

        Raises: ValueError for data that is no such picture.
        """
        import numpy as np
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(io.BytesIO(self.data), formats=["PNG", "WEBP"]) as image:
                return np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError) as error:
            raise ValueError(f"this is no {self.format} picture") from error

    @property
    def url(self) -> str:
        """As a data URL: how a model's API takes it."""
        return f"data:image/{self.format};base64,{base64.b64encode(self.data).decode()}"


def pictures_of(observation: Mapping[str, Any]) -> list[Picture]:
    """Those in `images`, in their order; where a protocol has put them into `messages`, those."""
    images = observation.get("images", ())
    if images:
        return [Picture(image["format"], _bytes(image["data"])) for image in images]
    return [picture for message in _listed(observation.get("messages")) for picture in _told(message)]


def _told(part: Mapping[str, Any]) -> Iterator[Picture]:
    """The pictures in a message, or in a part of one, of OpenAI's shape or Anthropic's."""
    image_url, source = part.get("image_url"), part.get("source")
    if isinstance(image_url, dict) and (match := _DATA_URL.fullmatch(str(image_url.get("url")))):
        yield Picture(match["format"], _bytes(match["data"]))
    elif isinstance(source, dict) and (match := _MEDIA_TYPE.fullmatch(str(source.get("media_type")))):
        yield Picture(match["format"], _bytes(source.get("data", "")))
    for inner in _listed(part.get("content")):
        yield from _told(inner)


def _listed(parts: Any) -> list[Mapping[str, Any]]:
    return [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []


def _bytes(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else base64.b64decode(data)
