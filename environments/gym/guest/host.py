"""One Gymnasium environment and what is asked of it: begin it, take a step or many, draw it, put it into words.

Every answer is JSON. A request that cannot be carried out raises RefusedError, and nothing was done; FailedError means
that the environment itself is broken. `tally` counts what has been earned, so that a fork counts on from there.
"""

from __future__ import annotations

import base64
import importlib
import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium
import numpy as np

from environments.gym.guest import png, words
from environments.gym.guest.actions import RefusedError, legal, parse, read, read_many
from environments.gym.guest.calls import check_call
from environments.gym.guest.documents import FailedError, informed, observed, rewarded
from environments.gym.guest.record import MAX_BYTES, Record
from environments.gym.known import KNOWN
from envserver_sdk.gymnasium import codec
from envserver_sdk.gymnasium.descriptions import describe

Json = dict[str, Any]
MAX_ERROR = 2000


@dataclass
class Tally:
    """Of the environment's own episodes: those that have ended, and the one that stands."""

    steps: int = 0
    episodes: int = 0
    ended_return: float = 0.0
    standing_return: float = 0.0

    def add(self, reward: float, ended: bool) -> None:
        self.steps += 1
        self.standing_return += reward
        if ended:
            self.episodes += 1
            self.ended_return += self.standing_return
            self.standing_return = 0.0


class Host:
    """Serves one environment for its life. `stop` is set from outside: the step under way is then the last of many."""

    def __init__(self) -> None:
        self.stop = False
        self._env: gymnasium.Env[Any, Any]
        self._names: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self._ansi = self._text = False
        self._tally = Tally()
        self._operations: Mapping[str, Callable[[Json], Json]] = {
            "make": self._make, "step": self._step, "text": self._say, "step_many": self._step_many,
            "call": self._call, "render": self._render,
        }  # fmt: skip

    def answer(self, request: Json) -> Json:
        """Carry out a request. Whatever the environment raises becomes an answer."""
        self.stop = False
        try:
            return {**self._operations[request["op"]](request), "tally": asdict(self._tally)}
        except RefusedError as error:
            return {"refused": words.clean(str(error))}
        except FailedError as error:
            return {"failed": words.clean(str(error))}

    # Beginning

    def _make(self, request: Json) -> Json:
        known = KNOWN.get(request["id"])
        if known is not None:
            self._names = (known.observation, known.actions)
        self._text = request["text"]
        try:
            for name in request["modules"]:
                importlib.import_module(name)
            self._env = self._construct(request)
            observation, info = self._env.reset(seed=request["seed"])
            self._env.action_space.seed(request["seed"])
        except RefusedError:
            raise
        except Exception as error:
            raise RefusedError(f"{request['id']} could not be begun: {type(error).__name__}: {error}") from error
        return self._shown(observation, {"info": informed(info), **self._about()})

    def _construct(self, request: Json) -> gymnasium.Env[Any, Any]:
        modes = _render_modes(request["id"])
        self._ansi = self._text and "ansi" in modes
        kwargs = dict(request["kwargs"])
        if request["render"] and "rgb_array" not in modes:
            raise RefusedError(f"{request['id']} draws no frames; its render modes are {list(modes)}")
        if request["render"] or self._ansi:
            kwargs["render_mode"] = "rgb_array" if request["render"] else "ansi"
        return gymnasium.make(
            request["id"], max_episode_steps=request["max_episode_steps"], disable_env_checker=True, **kwargs
        )

    def _about(self) -> Json:
        try:
            described = {
                "observation_space": describe(self._env.observation_space),
                "action_space": describe(self._env.action_space),
            }
        except TypeError as error:
            raise RefusedError(f"this environment cannot be hosted: {error}") from None
        time_limit = self._env.spec.max_episode_steps if self._env.spec else None
        actions = legal(self._env.action_space, self._names[1])
        return {**described, "max_episode_steps": time_limit, "actions": words.clean(actions)}

    # Stepping

    def _step(self, request: Json) -> Json:
        return self._advance(read(self._env.action_space, request["action"], self._names[1]))

    def _say(self, request: Json) -> Json:
        return self._advance(parse(self._env.action_space, request["text"], self._names[1]))

    def _advance(self, action: Any) -> Json:
        step = self._guarded(lambda: self._env.step(action))
        return self._shown(step[0], self._took(*step))

    def _took(self, observation: Any, reward: Any, terminated: Any, truncated: Any, info: Any) -> Json:
        """One step, counted."""
        number = rewarded(reward)
        self._tally.add(number, bool(terminated or truncated))
        ends = {"reward": number, "terminated": bool(terminated), "truncated": bool(truncated)}
        return {"observation": observed(observation), **ends, "info": informed(info)}

    def _call(self, request: Json) -> Json:
        """A tool of an environment that has some: `tools()` and `call(name, arguments)`."""
        inner: Any = self._env.unwrapped
        tools = inner.tools() if hasattr(inner, "tools") else ()
        check_call(tools, request["name"], request["arguments"])
        said, step = self._guarded(lambda: inner.call(request["name"], request["arguments"]))
        return {**self._took(*step), "result": words.clean(said)}

    def _step_many(self, request: Json) -> Json:
        actions = read_many(self._env.action_space, request["actions"], self._names[1])
        record = Record()
        observation, info, stopped = self._guarded(lambda: self._run(actions, record, **request["how"]))
        rewards = record.numbers()
        for reward, terminated, truncated in zip(rewards, record.terminated, record.truncated, strict=True):
            self._tally.add(reward, terminated or truncated)
        ended = stopped == "ended"
        answer = {
            **record.documents(rewards),
            "steps": len(rewards),
            "stopped": stopped,
            "reward": math.fsum(rewards),
            "terminated": ended and bool(record.terminated[-1]),
            "truncated": ended and bool(record.truncated[-1]),
            "info": informed(info),
        }
        return self._shown(observation, answer | ({"infos": record.infos} if request["how"]["infos"] else {}))

    def _run(self, actions: list[Any], record: Record, *, autoreset: bool, infos: bool) -> tuple[Any, Any, str | None]:
        """Until an end that is not begun again, until asked to stop, or until the record is full."""
        step, keep, observations = self._env.step, record.keep, record.observations
        add_reward, add_terminated, add_truncated = (
            each.append for each in (record.rewards, record.terminated, record.truncated)
        )
        for action in actions:
            observation, reward, terminated, truncated, info = step(action)
            keep(observations, observation)
            add_reward(reward)
            add_terminated(terminated)
            add_truncated(truncated)
            if infos:
                record.keep_info(info)
            if terminated or truncated:
                if not autoreset:
                    return observation, info, "ended"
                observation, info = self._env.reset()
                keep(record.reset_observations, observation)
            if self.stop or record.bytes > MAX_BYTES:
                return observation, info, "time" if self.stop else "size"
        return observation, info, None

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """Raises: FailedError for whatever the environment raises."""
        try:
            return call()
        except FailedError:
            raise
        except Exception as error:
            place = "".join(traceback.format_exception(error))
            raise FailedError(f"{type(error).__name__}: {error}\n{place[-MAX_ERROR:]}") from error

    # Showing

    def _shown(self, observation: Any, rest: Json) -> Json:
        answer = {"observation": observed(observation), **rest}
        if self._text:
            answer["text"] = self._guarded(lambda: self._in_words(observation))
        return answer

    def _in_words(self, observation: Any) -> str:
        if not self._ansi:
            return words.show(observation, self._names[0])
        inner = self._env.unwrapped
        mode, inner.render_mode = inner.render_mode, "ansi"
        try:
            return words.clean(words.untinted(str(inner.render())))
        finally:
            inner.render_mode = mode

    def _render(self, request: Json) -> Json:
        if self._env.render_mode != "rgb_array":
            raise RefusedError("this episode draws no frames: begin one with the option `render`")
        frame = self._guarded(lambda: np.asarray(self._env.render()))
        if request["format"] == "array":
            return {"frame": codec.encode(frame)}
        try:
            picture = png.encode(frame)
        except ValueError as error:
            raise FailedError(str(error)) from error
        return {"images": [{"format": "png", "data": base64.b64encode(picture).decode()}]}


def _render_modes(env_id: str) -> list[str]:
    """Of the class that is behind an id. Raises: what `gymnasium.spec` raises for an id that is none."""
    creator: Any = gymnasium.spec(env_id).entry_point
    if isinstance(creator, str):
        creator = gymnasium.envs.registration.load_env_creator(creator)
    metadata = getattr(creator, "metadata", None)
    return list(metadata.get("render_modes", ())) if isinstance(metadata, Mapping) else []
