"""A real browser as a provider's computer: pictures of a declared size, coordinates in them, several actions a step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from envserver_sdk import Client, Episode
from envserver_sdk.models import Outcome, StepResult
from examples.computer_use import COLORS
from tests.e2e.conftest import ServerProcess

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url) as made:
        yield made


def sized(width: int, height: int, *, display: tuple[int, int] | None = None) -> Mapping[str, Any]:
    smaller = {"display": dict(zip(("width", "height"), display, strict=True))} if display else {}
    return {"computer": "anthropic", "viewport": {"width": width, "height": height}, **smaller}


def use(episode: Episode, **members: Any) -> StepResult:
    return episode.step({"type": "computer", **members})


@pytest.mark.parametrize("picture", ["png", "webp"])
@pytest.mark.parametrize(
    ("viewport", "display"), [((1280, 720), None), ((1920, 1080), (1280, 720)), ((1366, 768), (1024, 576))]
)
def test_a_picture_has_the_size_that_is_declared(
    client: Client, viewport: tuple[int, int], display: tuple[int, int] | None, picture: str
) -> None:
    options = {**sized(*viewport, display=display), "picture": picture}
    with client.create("browser", task_set="miniwob", task="click-test", seed=1, options=options) as episode:
        declared = episode.observation["computer"]
        [seen] = use(episode, action="screenshot").pictures
        width, height = display or viewport
        assert seen.array().shape == (height, width, 3)
        assert (declared["display_width_px"], declared["display_height_px"]) == (width, height)


def test_what_is_seen_in_a_smaller_picture_is_what_is_clicked(client: Client) -> None:
    options = sized(640, 480, display=(320, 240))
    with client.create("browser", task_set="miniwob", task="click-color", seed=1, options=options) as episode:
        [color] = re.findall(r"the (\w+) colored box", episode.observation["goal"])
        pixels = use(episode, action="screenshot").pictures[0].array().astype(int)
        near = np.abs(pixels - COLORS[color]).max(axis=-1) < 8
        near[:26], near[:, 80:] = False, False  # the goal's own line, and what is beside the page
        ys, xs = near.nonzero()
        assert 400 < len(xs) < 700, "a box of half its size"
        result = use(episode, action="left_click", coordinate=[int(np.median(xs)), int(np.median(ys))])
        assert (result.reward, result.terminated) == (1.0, True)


def test_a_part_is_seen_as_it_is_in_view_and_fills_the_picture(client: Client) -> None:
    """Also where the page is scrolled: MiniWoB++'s is 210 pixels high."""
    with client.create("browser", task_set="miniwob", task="click-color", seed=2, options=sized(160, 160)) as episode:
        top = use(episode, action="screenshot").pictures[0].array()
        scrolled = use(episode, action="scroll", scroll_direction="down", scroll_amount=1)
        assert scrolled.observation["scroll"]["y"] > 0
        [view] = scrolled.pictures
        assert (view.array() != top).any()
        [whole] = use(episode, action="zoom", region=[0, 0, 160, 160]).pictures
        assert (whole.array() == view.array()).all()
        [part] = use(episode, action="zoom", region=[40, 20, 80, 60]).pictures
        assert part.array().shape == (160, 160, 3)
        enlarged = view.array()[20:60, 40:80].repeat(4, axis=0).repeat(4, axis=1)
        assert np.abs(part.array().astype(int) - enlarged).mean() < 16


def test_several_actions_are_one_step(client: Client) -> None:
    with client.create(
        "browser", task_set="miniwob", task="login-user", seed=1, options={"computer": "openai"}
    ) as episode:
        user, password = re.findall(r'"(.+?)"', episode.observation["goal"])
        tab, enter = ({"type": "keypress", "keys": [key]} for key in ("TAB", "ENTER"))
        typed = [{"type": "type", "text": text} for text in (user, password)]
        refused = use(episode, actions=[tab, {"type": "click", "x": 5}])
        assert refused.outcome is Outcome.FORMAT_ERROR
        assert "action 2 of 2: 'click' needs a member 'y'" in refused.observation["error"]
        result = use(episode, actions=[tab, typed[0], tab, typed[1], tab, enter, {"type": "wait"}])
        assert (result.reward, result.terminated, result.step_index) == (1.0, True, 2)
        assert len(result.pictures) == 1


def test_what_does_not_work_is_told_with_the_picture_of_then(client: Client) -> None:
    options = {"computer": "openai"}
    with client.create("browser", task_set="miniwob", task="click-test", seed=1, options=options) as episode:
        actions = [{"type": "wait"}, {"type": "keypress", "keys": ["CTRL", "2"]}, {"type": "click", "x": 1, "y": 1}]
        result = use(episode, actions=actions)
        assert result.outcome is Outcome.OK
        assert "action 2 of 3: there is no tab 2" in result.observation["error"]
        assert len(result.pictures) == 1
