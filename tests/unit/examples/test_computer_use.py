"""The computer-use example finds what it is asked for in pixels, and nothing where it is not."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from examples.computer_use import BOX, COLORS, find_box, scripted_model

TOOLS = [{"type": "computer_20251124", "name": "computer"}]


def page(*boxes: tuple[int, int, str], frame: int = 0) -> NDArray[np.uint8]:
    """As a page of MiniWoB++: a yellow stripe at the top, white below, boxes of colours in black frames."""
    pixels = np.full((240, 320, 3), 255, np.uint8)
    pixels[:50, :160] = COLORS["yellow"]
    for x, y, color in boxes:
        pixels[y - 1 : y + BOX + 1, x - 1 : x + BOX + 1] = frame
        pixels[y : y + BOX, x : x + BOX] = COLORS[color]
    return pixels


@pytest.mark.parametrize("color", COLORS)
def test_the_middle_of_the_box_is_found(color: str) -> None:
    other = "red" if color != "red" else "blue"
    assert find_box(page((20, 70, other), (90, 70, color)), COLORS[color]) == (115, 95)


@pytest.mark.parametrize("color", COLORS)
def test_what_has_no_frame_is_no_box(color: str) -> None:
    assert find_box(page((90, 70, color), frame=7), COLORS[color]) is None


def test_the_model_looks_first_and_clicks_then() -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Do it.\n\nClick on the cyan colored box."}]
    assert scripted_model(messages, TOOLS)["input"] == {"action": "screenshot"}
    buffer = io.BytesIO()
    Image.fromarray(page((20, 70, "cyan"))).save(buffer, "PNG")
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(buffer.getvalue()).decode()}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "image", "source": source}]}
    messages += [{"role": "assistant", "content": []}, {"role": "user", "content": [result]}]
    use = scripted_model(messages, TOOLS)
    assert (use["name"], use["input"]) == ("computer", {"action": "left_click", "coordinate": [45, 95]})
