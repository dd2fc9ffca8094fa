"""A computer-use agent: it sees screenshots, and acts by coordinates, in the form of Anthropic's tool.

    python examples/computer_use.py [--url URL] [--seeds 1 2 3]

The node is at ENVSERVER_URL, or http://127.0.0.1:8000. Needs `envserver-sdk[pictures]`. The loop is that of a client
of the Messages API: the episode's own declaration of the tool goes into the request, each `tool_use` becomes one step,
and each step's picture a `tool_result`. `scripted_model` stands where the API would be: it finds what it is asked for
in the pixels of the last picture, and knows nothing else of the page.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
from typing import TYPE_CHECKING, Any

from envserver_sdk import Client, Episode
from envserver_sdk.models import StepResult
from envserver_sdk.pictures import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_STEPS = 10
OPTIONS = {"computer": "anthropic", "viewport": {"width": 320, "height": 240}}
COLORS = {
    "red": (255, 0, 0), "blue": (0, 0, 255), "olive": (128, 128, 0), "lime": (0, 255, 0), "black": (0, 0, 0),
    "white": (255, 255, 255), "grey": (128, 128, 128), "purple": (128, 0, 128), "orange": (255, 165, 0),
    "yellow": (255, 255, 0), "cyan": (0, 255, 255), "pink": (255, 192, 203), "magenta": (255, 0, 255),
}  # fmt: skip
BOX = 50
"""Pixels along each side of what is to be clicked, within a black frame."""

Block = dict[str, Any]
Message = dict[str, Any]


def scripted_model(messages: list[Message], tools: list[Block]) -> Block:
    """The content block that a model would answer with."""
    pictures = [
        block["source"]
        for message in messages
        if message["role"] == "user" and isinstance(message["content"], list)
        for result in message["content"]
        for block in result["content"]
        if block["type"] == "image"
    ]
    return {
        "type": "tool_use",
        "id": f"toolu_{len(messages)}",
        "name": tools[0]["name"],
        "input": _aim(messages[0]["content"], pictures[-1]) if pictures else {"action": "screenshot"},
    }


def _aim(task: str, picture: Block) -> Block:
    color = re.findall(r"the (\w+) colored box", task)[-1]
    place = find_box(Picture("png", base64.b64decode(picture["data"])).array(), COLORS[color])
    return {"action": "screenshot"} if place is None else {"action": "left_click", "coordinate": list(place)}


def find_box(pixels: NDArray[np.uint8], color: tuple[int, int, int]) -> tuple[int, int] | None:
    """The middle (x, y) of a framed box that is all of this colour."""
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view((pixels == color).all(axis=-1), (BOX, BOX))
    inside = np.asarray(windows.all(axis=(2, 3)))
    black = (pixels == 0).all(axis=-1)
    for y, x in zip(*inside.nonzero(), strict=True):
        frame = black[max(0, y - 1) : y + BOX + 1, max(0, x - 1) : x + BOX + 1].copy()
        frame[1:-1, 1:-1] = True
        if frame.shape == (BOX + 2, BOX + 2) and frame.all():
            return int(x) + BOX // 2, int(y) + BOX // 2
    return None


def play(episode: Episode) -> float:
    """One episode, to its end; the reward."""
    tools = [episode.observation["computer"]]
    messages: list[Message] = [{"role": "user", "content": episode.observation["prompt"]}]
    for _ in range(MAX_STEPS):
        use = scripted_model(messages, tools)
        step = episode.step({"type": "computer", **use["input"]})
        print(json.dumps({**use["input"], "outcome": step.outcome, "reward": step.reward}))
        if step.done:
            return step.reward
        messages += [{"role": "assistant", "content": [use]}, {"role": "user", "content": [tool_result(use, step)]}]
    return 0.0


def tool_result(use: Block, step: StepResult) -> Block:
    """What the model is shown of a step."""
    images = [
        {"type": "base64", "media_type": f"image/{each.format}", "data": base64.b64encode(each.data).decode()}
        for each in step.pictures
    ]
    error = step.observation.get("error")
    return {
        "type": "tool_result",
        "tool_use_id": use["id"],
        "content": [
            *([{"type": "text", "text": error}] if error else []),
            *({"type": "image", "source": source} for source in images),
        ],
        "is_error": error is not None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default=os.environ.get("ENVSERVER_URL", "http://127.0.0.1:8000"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    with Client(arguments.url) as client:
        for seed in arguments.seeds:
            with client.create(
                "browser", task_set="miniwob", task="click-color", seed=seed, options=OPTIONS
            ) as episode:
                print(json.dumps({"seed": seed, "reward": play(episode)}))


if __name__ == "__main__":
    main()
