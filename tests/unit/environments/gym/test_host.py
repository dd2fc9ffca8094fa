"""The program in the sandbox, called directly: what it observes is what Gymnasium gives."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

from envserver_sdk.gymnasium import codec
from envserver_sdk.gymnasium.descriptions import rebuild
from tests.unit.environments.gym import simulators
from tests.unit.environments.gym.conftest import ask_of
from tests.unit.sdk.gymnasium.test_codec import exactly

assert simulators.KINDS  # imported, they are registered


def local_steps(env_id: str, seed: int, actions: list[Any]) -> Iterator[Any]:
    """What a loop over the environment itself sees, resets at ends included."""
    env = gymnasium.make(env_id)
    yield env.reset(seed=seed)
    for action in actions:
        step = env.step(action)
        yield step
        if step[2] or step[3]:
            yield env.reset()


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Taxi-v4", "Blackjack-v1", "Pendulum-v1"])
def test_many_steps_are_the_steps_one_after_another_with_every_type_kept(env_id: str) -> None:
    ask, first = ask_of(env_id, seed=5)
    space = rebuild(first["action_space"])
    space.seed(1)
    actions = [space.sample() for _ in range(300)]
    answer = ask("step_many", actions=[codec.encode(action) for action in actions], autoreset=True, infos=True)
    steps = local_steps(env_id, 5, actions)
    assert exactly((codec.decode(first["observation"]), codec.decode(first["info"])), next(steps))
    resets = iter(codec.decode(answer["reset_observations"]))
    decoded = {name: codec.decode(answer[name]) for name in ("observations", "rewards", "terminations", "truncations")}
    for index in range(300):
        observation, reward, terminated, truncated, info = next(steps)
        assert exactly(decoded["observations"][index], observation)
        assert (decoded["rewards"][index], decoded["terminations"][index], decoded["truncations"][index]) == (
            reward, terminated, truncated,
        )  # fmt: skip
        assert exactly(codec.decode(answer["infos"][index]), info)
        if terminated or truncated:
            assert exactly(next(resets), next(steps)[0])
    assert next(resets, None) is None
    assert next(steps, None) is None
    assert answer["tally"]["steps"] == 300


def test_many_steps_end_with_the_episode_unless_told_otherwise() -> None:
    ask, _ = ask_of("CartPole-v1", seed=1)
    answer = ask("step_many", actions=[1] * 50)
    assert (answer["stopped"], answer["terminated"], answer["truncated"]) == ("ended", True, False)
    assert answer["steps"] == len(codec.decode(answer["rewards"])) < 50
    assert codec.decode(answer["terminations"]).tolist() == [False] * (answer["steps"] - 1) + [True]


def test_a_time_limit_of_the_environment_truncates() -> None:
    ask, _ = ask_of("Pendulum-v1", max_episode_steps=3)
    answer = ask("step_many", actions=[[0.5]] * 5)
    assert (answer["steps"], answer["terminated"], answer["truncated"]) == (3, False, True)


def test_an_array_that_is_given_out_again_and_again_is_copied() -> None:
    ask, _ = ask_of("tests/Simulator-v0")
    answer = ask("step_many", actions=[0] * 4)
    assert codec.decode(answer["observations"]).ravel().tolist() == [1, 2, 3, 4]


def test_an_answer_has_room_for_what_was_done_and_no_more_is_done() -> None:
    ask, _ = ask_of("tests/Wide-v0")
    answer = ask("step_many", actions=[0] * 100)
    assert answer["stopped"] == "size"
    assert 0 < answer["steps"] < 100
    assert ask("step", action=0)["tally"]["steps"] == answer["steps"] + 1
    assert "at most 100000" in ask("step_many", actions=codec.encode(np.zeros(100_001, np.int8)))["refused"]


@pytest.mark.parametrize(
    ("env_id", "action", "right"),
    [
        ("CartPole-v1", 2, "an integer from 0 to 1 (0 push left, 1 push right)"),
        ("CartPole-v1", 0.0, "an integer from 0 to 1"),
        ("CartPole-v1", {"$type": "array", "dtype": "<f8", "shape": [9], "base64": ""}, "no document of the codec"),
        (
            "CartPole-v1",
            {"$type": "array", "dtype": "nonsense", "shape": [1], "base64": ""},
            "no document of the codec",
        ),
        ("tests/Simulator-v0", 2, "an integer from -1 to 1"),
        ("Pendulum-v1", [3.0], "a list of 1 number of float32 from -2 to 2"),
        ("Pendulum-v1", [float("nan")], "from -2 to 2"),
        ("Pendulum-v1", [[0.0]], "a list of 1 number"),
        ("Pendulum-v1", [0.0, 0.0], "a list of 1 number"),
        ("Pendulum-v1", [[0.0], 0.0], "a list of 1 number"),
        ("Pendulum-v1", None, "a list of 1 number"),
    ],
)
def test_an_action_outside_the_space_is_refused_with_what_is_right_and_nothing_is_done(
    env_id: str, action: Any, right: str
) -> None:
    ask, _ = ask_of(env_id)
    good = 0 if env_id != "Pendulum-v1" else [0.0]
    assert right in ask("step", action=action)["refused"]
    refused = ask("step_many", actions=[good, good, action])["refused"]
    assert refused.startswith("actions[2]: ")
    assert right in refused
    assert ask("step", action=good)["tally"]["steps"] == 1


@pytest.mark.parametrize("rows", [np.array([0, 1, 2]), np.array([True]), np.array([0.0]), np.array(0), np.zeros((0,))])
def test_an_array_of_actions_is_looked_at_as_a_whole(rows: np.ndarray[Any, Any]) -> None:
    ask, _ = ask_of("CartPole-v1")
    assert "refused" in ask("step_many", actions=codec.encode(rows))
    assert "refused" not in ask("step_many", actions=codec.encode(np.array([0, 1], np.uint8)))


def test_an_environment_computes_with_the_space_s_own_type_and_not_with_that_of_the_array() -> None:
    ask, _ = ask_of("tests/Typed-v0")
    answer = ask("step_many", actions=codec.encode(np.array([100, 100], np.int8)), infos=True)
    assert [codec.decode(info)["dtype"] for info in answer["infos"]] == ["int64", "int64"]


@pytest.mark.parametrize(
    ("env_id", "text", "action"),
    [
        ("CartPole-v1", "1", 1),
        ("CartPole-v1", " Push  right\n", 1),
        ("CartPole-v1", "push_right", 1),
        ("Taxi-v4", "pick up", 4),
        ("Pendulum-v1", "[0.25]", np.array([0.25], np.float32)),
    ],
)
def test_a_text_is_an_action(env_id: str, text: str, action: Any) -> None:
    ask, _ = ask_of(env_id, seed=2)
    env = gymnasium.make(env_id)
    env.reset(seed=2)
    assert exactly(codec.decode(ask("text", text=text)["observation"]), env.step(action)[0])


@pytest.mark.parametrize("text", ["", "jump", "2", "1.0", "{", "[" * 5000, "null", "0 1"])
def test_a_text_that_names_no_action_is_refused(text: str) -> None:
    ask, _ = ask_of("CartPole-v1")
    assert "an integer from 0 to 1 (0 push left, 1 push right)" in ask("text", text=text)["refused"]


def test_observations_in_words_are_the_environment_s_own_where_it_has_some() -> None:
    _, first = ask_of("FrozenLake-v1", text=True)
    env = gymnasium.make("FrozenLake-v1", render_mode="ansi")
    env.reset(seed=0)
    assert first["text"] == "\n<red>S</red>FFF\nFHFH\nFFFH\nHFFG\n"
    assert re.sub("</?red>", "", first["text"]) == re.sub("\x1b.*?m", "", str(env.render()))
    _, first = ask_of("Taxi-v4", seed=3, text=True)
    assert {"<blue>", "<magenta>", "<yellow>"} & set(re.findall("<[a-z]+>", first["text"]))
    assert "\x1b" not in first["text"]
    _, first = ask_of("Blackjack-v1", seed=1, text=True)
    assert first["text"].splitlines()[0].startswith("your sum: ")
    _, first = ask_of("CartPole-v1", text=True)
    assert [line.split(":")[0] for line in first["text"].splitlines()] == [
        "cart position", "cart velocity", "pole angle (rad)", "pole angular velocity",
    ]  # fmt: skip


def test_a_frame_is_a_picture_of_exactly_its_pixels() -> None:
    ask, _ = ask_of("tests/Drawn-v0", render=True)
    frame = codec.decode(ask("render", format="array")["frame"])
    (image,) = ask("render", format="png")["images"]
    assert exactly(read_png(base64.b64decode(image["data"])), frame)
    assert "draws no frames" in ask_of("tests/Simulator-v0", render=True)[1]["refused"]
    assert "option `render`" in ask_of("tests/Drawn-v0")[0]("render", format="png")["refused"]


def read_png(data: bytes) -> np.ndarray[Any, Any]:
    """Of the one kind that we write: eight bits, RGB, no filter."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        assert struct.unpack_from(">I", data, place + 8 + size)[0] == zlib.crc32(kind + body)
        chunks[kind], place = body, place + 12 + size
    width, height, bits, colour = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (bits, colour) == (8, 2)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_an_environment_that_raises_has_failed_and_says_where() -> None:
    ask, _ = ask_of("tests/Raises-v0")
    failed = ask("step", action=1)["failed"]
    assert failed.startswith("ZeroDivisionError: deep inside\n")
    assert "in misbehave" in failed
    ask, _ = ask_of("tests/NotANumber-v0")
    assert ask("step", action=0)["reward"] == 1.5
    assert ask("step", action=1)["failed"] == "the reward is nan, must be finite"
    assert ask("step_many", actions=[0, 1])["failed"] == "the reward is nan, must be finite"


def test_subclasses_become_plain_and_what_has_no_json_is_shown_by_its_repr() -> None:
    ask, _ = ask_of("tests/Odd-v0")
    answer = ask("step", action=0)
    assert exactly(codec.decode(answer["observation"]), {"b": (1, np.float32(2)), "a": [np.int8(3)]})
    assert codec.decode(answer["info"])["n"] == 1
    assert "Generator" in codec.decode(answer["info"])["rng"]
    assert (answer["reward"], answer["terminated"]) == (float(np.float32(0.1)), False)


@pytest.mark.parametrize(
    ("env_id", "options", "reason"),
    [
        ("Nonsense-v0", {}, "Environment `Nonsense` doesn't exist"),
        ("CartPole-v1", {"kwargs": {"nonsense": 1}}, "nonsense"),
        ("tests/Needy-v0", {"kwargs": {"need": "unmet"}}, "need is 'unmet'"),
        ("tests/Strange-v0", {}, "cannot be hosted: Own is none of Gymnasium's own spaces"),
    ],
)
def test_what_cannot_be_begun_says_why(env_id: str, options: dict[str, Any], reason: str) -> None:
    assert reason in ask_of(env_id, **options)[1]["refused"]
