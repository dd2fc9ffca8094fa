"""A real browser as a provider's computer: pictures of a declared size, coordinates in them, several actions a step."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from envserver_sdk import Client, Episode
from envserver_sdk.models import Outcome, StepResult
from examples.computer_use import COLORS
from tests.conftest import Node
from tests.e2e.conftest import ServerProcess
from tests.load.own_pages import own_server

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

RUNS, NOT_YET = 202, 409
QUESTIONS = """<body style="margin: 0"><button style="width: 100vw; height: 50vh" onclick="ask()">Delete</button>
<h1></h1><script>
  const ask = () => { document.querySelector("h1").textContent = confirm("Sure?") ? "deleted" : "kept"; };
  addEventListener("keydown", (event) => document.querySelector("h1").append(" " + event.key));
</script>"""


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


async def test_keys_answer_what_a_page_asks(node: Node) -> None:
    async with own_server(node, {"questions": {"/": QUESTIONS}}) as client:
        options = {"computer": "openai", "observe": ["screenshot", "text_content"]}
        episode = await client.create("browser", task_set="own", task="questions", seed=1, options=options)
        click: dict[str, Any] = {"type": "click", "x": 300, "y": 100}

        async def use(*actions: dict[str, Any]) -> dict[str, Any]:
            return (await episode.step({"type": "computer", "actions": list(actions)})).observation

        assert (await use(click))["dialog"] == {"type": "confirm", "message": "Sure?", "default": ""}
        assert "press Enter for OK, or Escape for Cancel" in (await use({"type": "screenshot"}))["error"]
        seen = await use({"type": "keypress", "keys": ["ESC"]})
        assert "kept" in seen["text_content"]
        assert (seen["dialogs"][0]["answer"], "dialog" in seen) == ("dismissed", False)
        seen = await use(click, {"type": "keypress", "keys": ["ENTER"]}, {"type": "keypress", "keys": ["a"]})
        assert "deleted a" in seen["text_content"], "the page heard the key after the answer alone"
        assert seen["images"]
        await episode.close()


def test_a_step_of_many_actions_is_taken_once_though_its_server_is_killed(lasting_server: ServerProcess) -> None:
    tab, wait = {"type": "keypress", "keys": ["TAB"]}, {"type": "wait"}
    words = [{"type": "type", "text": word} for word in ("once", "upon", "a")]
    actions = [tab, words[0], wait, words[1], wait, words[2]]
    options = {"computer": "openai", "observe": ["text"]}
    with Client(lasting_server.url) as client:
        episode = client.create("browser", task_set="miniwob", task="enter-text", seed=3, options=options)
        found: list[int] = []

        def replace_server() -> None:
            while not found or found[-1] == NOT_YET:
                step = f"{lasting_server.url}/v1/episodes/{episode.episode_id}/steps/1"
                found.append(httpx.get(step, params={"wait_s": 2}, timeout=30).status_code)
            lasting_server.kill()
            lasting_server.start()

        killer = threading.Thread(target=replace_server)
        killer.start()
        result = use(episode, actions=actions)
        killer.join()
        assert found[-1] == RUNS, "it was killed in the middle"
        assert ": onceupona\n" in result.observation["text"] + "\n"
        assert (result.outcome, result.step_index) == (Outcome.OK, 1)
        episode.close()
