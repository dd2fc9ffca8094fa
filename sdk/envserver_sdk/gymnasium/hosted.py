"""A Gymnasium environment that a server hosts, as if it were here: its spaces, its observations, its rewards.

    env = gymnasium.make("envserver/Gym-v0", url="http://127.0.0.1:8000", env_id="CartPole-v1")

Values come through the typed codec, so they are the very ones that the environment gave in its sandbox. What is not the
same: a reset without a seed draws one here instead of going on with the environment's own randomness, and a step takes
a round trip. `step_many` takes thousands in one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.error import InvalidAction
from gymnasium.spaces import Discrete

from envserver_sdk import AsyncClient, Checkpoint
from envserver_sdk.gymnasium import codec
from envserver_sdk.gymnasium.descriptions import rebuild
from envserver_sdk.gymnasium.env import EnvserverEnv
from envserver_sdk.models import Outcome

Spaces = tuple[gymnasium.Space[Any], gymnasium.Space[Any]]
"""Of observations and of actions."""


@dataclass(frozen=True)
class Steps:
    """What many steps came to, the first axis being time.

    `observations` is one array where all are arrays of one kind, else a list, and so are `reset_observations`: what
    the resets between the steps observed, in order, one for each end. `stopped` says why not all actions were taken:
    "ended", "time", "size", or None. `info` is the last step's, `infos` are all of them, where they were asked for.
    """

    observations: Any
    rewards: npt.NDArray[np.float64]
    terminations: npt.NDArray[np.bool_]
    truncations: npt.NDArray[np.bool_]
    reset_observations: Any
    stopped: str | None
    info: dict[str, Any]
    infos: list[dict[str, Any]] | None = None

    def __len__(self) -> int:
        return len(self.rewards)


class HostedEnv(EnvserverEnv):
    """`env_id` made by Gymnasium inside a sandbox, with `env_kwargs`, or what the server's `task` plays.

    Args:
        env_id: as in `gymnasium.make`, without a module to import.
        env_kwargs: the environment's own arguments: plain JSON.
        options: more options of the server's environment: `text`, `max_episode_steps`, `score`.
        render_mode: "rgb_array", a frame in a step of its own; "ansi", the last observation in words.
        environment: its name on the server.
        spaces: those that another of the same kind has; asked of the server when left out, by beginning an episode.
        settings: the other arguments of `EnvserverEnv`.

    Raises: InvalidRequest for an environment that the image does not have, and as `EnvserverEnv`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 30}  # type: ignore[misc]

    def __init__(
        self,
        env_id: str | None = None,
        *,
        env_kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
        environment: str = "gym",
        spaces: Spaces | None = None,
        **settings: Any,
    ) -> None:
        wanted = hosted_options(env_id, env_kwargs, options, render_mode)
        super().__init__(environment, options=wanted, render_mode=render_mode, **{"task": env_id, **settings})
        self.server_info: dict[str, Any] = {}
        """What the server says of the last reset or step: outcome, usage, names."""
        try:
            if spaces is None:
                _, info = self._session.run(self._slot.begin(0, {}))  # its first reset goes on with this episode
                spaces = spaces_of(info)
            self.observation_space, self.action_space = spaces
        except BaseException:
            self.close()
            raise
        self._twin = partial(
            type(self), env_id, env_kwargs=env_kwargs, options=options, render_mode=render_mode,
            environment=environment, spaces=(self.observation_space, self.action_space), **settings,
        )  # fmt: skip

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; observation and info are the environment's own. Raises: as `AsyncClient.create`."""
        return self._begun(*super().reset(seed=seed, options=options))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step. Raises: InvalidAction for one that is not in the space; and as `EnvserverEnv.step`."""
        said, reward, terminated, truncated = self._act({"type": "step", "action": codec.encode(action)})
        info = codec.decode(self.server_info["env_info"])
        return codec.decode(said["observation"]), reward, terminated, truncated, info

    def step_many(self, actions: Any, *, autoreset: bool = False, infos: bool = False) -> Steps:
        """Take steps one after another in one call: an array with an action a row, or a sequence of actions.

        They end with the environment's episode, or go on with the next one where `autoreset` is set. All actions are
        looked at before the first is taken. Raises: InvalidAction, and as `EnvserverEnv.step`.
        """
        documents = encode_actions(self.action_space, actions)
        said, *_ = self._act({"type": "step_many", "actions": documents, "autoreset": autoreset, "infos": infos})
        names = ("observations", "rewards", "terminations", "truncations", "reset_observations")
        arrays = {name: codec.decode(said[name]) for name in names}
        info = codec.decode(self.server_info["env_info"])
        all_infos = [codec.decode(each) for each in said["infos"]] if infos else None
        return Steps(**arrays, stopped=said["stopped"], info=info, infos=all_infos)

    def restore(self, checkpoint: Checkpoint | str) -> tuple[Any, dict[str, Any]]:
        """Roll back to a checkpoint. The observation is what was observed there, the info that of the beginning."""
        return self._begun(*super().restore(checkpoint))

    def render(self) -> Any:
        """A frame as an array, or a text. A frame is drawn by a step of its own, so not after the end."""
        if self.render_mode != "rgb_array":
            return super().render()
        said, *_ = self._act({"type": "render", "format": "array"})
        return codec.decode(said["frame"])

    def _begun(self, said: dict[str, Any], info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self.server_info = info
        return codec.decode(said.get("observation")), codec.decode(info["env_info"])

    def _act(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, bool]:
        said, reward, terminated, truncated, self.server_info = super().step(action)
        if self.server_info["outcome"] == Outcome.FORMAT_ERROR:
            raise InvalidAction(said["error"])
        if "env_info" not in self.server_info and "error" in said:
            raise gymnasium.error.Error(said["error"])
        return said, reward, terminated, truncated

    def _show(self, observation: Any) -> None:
        if self.render_mode == "ansi" and "text" in observation:
            self._frame = observation["text"]


def spaces_of(info: Mapping[str, Any]) -> Spaces:
    """Those that the first `info` of an episode describes."""
    return rebuild(info["observation_space"]), rebuild(info["action_space"])


async def ask_for_spaces(client: AsyncClient, environment: str, where: Mapping[str, Any]) -> Spaces:
    """By an episode that is closed again at once. Raises: as `AsyncClient.create`."""
    async with client.create(environment, seed=0, **where) as episode:
        return spaces_of(episode.info)


def hosted_options(
    env_id: str | None, kwargs: Mapping[str, Any] | None, options: Mapping[str, Any] | None, render_mode: str | None
) -> dict[str, Any]:
    """The server's options of an episode."""
    wanted = {"kwargs": dict(kwargs or {}), "render": render_mode == "rgb_array", "text": render_mode == "ansi"}
    return {**({"id": env_id} if env_id else {}), **wanted, **(options or {})}


def _narrowest(first: int, last: int) -> np.dtype[Any]:
    """The integers of fewest bits that hold both ends; NumPy's own promotion would hold -1 and 256 in four bytes."""
    signs = "bhiq" if first < 0 else "BHIQ"
    return next(np.dtype(sign) for sign in signs if np.iinfo(sign).min <= first and last <= np.iinfo(sign).max)


def encode_actions(space: gymnasium.Space[Any], actions: Any) -> Any:
    """Many actions as one document where they are an array, in as few bits as the space needs; else one each."""
    if isinstance(space, Discrete):
        rows = np.asarray(actions)
        first, last = int(space.start), int(space.start + space.n - 1)
        if rows.ndim == 1 and rows.dtype.kind in "iu" and rows.size and first <= rows.min() and rows.max() <= last:
            return codec.encode(rows.astype(_narrowest(first, last)))
    if isinstance(actions, np.ndarray) and actions.ndim and not actions.dtype.hasobject:
        return codec.encode(actions)
    if not isinstance(actions, Sequence):
        raise TypeError(f"actions are a {type(actions).__name__}, must be an array or a sequence")
    return [codec.encode(action) for action in actions]
