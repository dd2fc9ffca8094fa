"""The pictures of an observation: a browser's screenshots, a program's figures, a simulator's frames."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    """Those in `images`, in their order."""
    return [Picture(image["format"], _bytes(image["data"])) for image in observation.get("images", ())]


def _bytes(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else base64.b64decode(data)
