"""Many episodes as a `gymnasium.vector.VectorEnv`, over one connection.

`reset` and `step` keep Gymnasium's contract. `send` and `recv` are for policies whose turns take unequal time: they
return whichever episodes are ready first. Observations come as a tuple of JSON values, one a slot, never as arrays in
shared memory. What a failing episode looks like is said in `episodes.py`: it never disturbs the others.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envserver_sdk import Timeouts, Tls
from envserver_sdk.gymnasium._batch import batch_infos
from envserver_sdk.gymnasium._session import Session
from envserver_sdk.gymnasium._slot import EpisodeRequest
from envserver_sdk.gymnasium.env import DEFAULT_URL, SEEDS
from envserver_sdk.gymnasium.episodes import AsyncEpisodes, Turn
from envserver_sdk.gymnasium.spaces import space_for

Observations = tuple[Any, ...]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Infos = dict[str, Any]
Beginning = Coroutine[Any, Any, list[Turn]]
Received = tuple[npt.NDArray[np.int64], Observations, Floats, Bools, Bools, tuple[dict[str, Any], ...]]


class EnvserverVectorEnv(VectorEnv[Observations, Sequence[Any], npt.NDArray[Any]]):
    """`num_envs` episodes of one environment of a server.

    Args:
        task: one for all, or a sequence of `num_envs`; the seed chooses where it is left out.
        autoreset_mode: SAME_STEP or DISABLED; NEXT_STEP is refused, since it wastes an action an episode. Left out:
            SAME_STEP, and DISABLED with `group`.
        group: the slots of one reset are a group: one task, one seed, the same state. For GRPO.
        stragglers: when the rest of a group is no longer waited for, as in `AsyncClient.group`.
        The others are those of `EnvserverEnv`; `metadata` is stored with each episode.

    Raises: NotFound for an unknown environment, ConnectionFailed, ValueError for another mode or number of tasks.
    """

    def __init__(
        self,
        environment: str,
        num_envs: int = 1,
        *,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        task: str | Sequence[str] | None = None,
        task_set: str | None = None,
        options: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        ttl_s: float | None = None,
        idle_timeout_s: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        step_timeout_s: float | None = None,
        checkpoints: Mapping[str, Any] | None = None,
        recovery: str | None = None,
        pause_after_s: float | None = None,
        hibernate_after_s: float | None = None,
        group: bool = False,
        stragglers: Mapping[str, Any] | None = None,
        timeouts: Timeouts | None = None,
        tls: Tls | None = None,
        autoreset_mode: AutoresetMode | str | None = None,
    ) -> None:
        tasks = [task] * num_envs if task is None or isinstance(task, str) else list(task)
        if num_envs < 1 or len(tasks) != num_envs:
            raise ValueError(f"{len(tasks)} tasks for num_envs={num_envs}: one each is needed, of one or more")
        mode = AutoresetMode(autoreset_mode or (AutoresetMode.DISABLED if group else AutoresetMode.SAME_STEP))
        if group and (mode is not AutoresetMode.DISABLED or len(set(tasks)) > 1):
            raise ValueError("a group has one task, and is begun again as a whole: autoreset_mode must be DISABLED")
        self.num_envs = num_envs
        self.metadata = {"render_modes": [], "autoreset_mode": mode}
        request = EpisodeRequest(
            environment, None, task_set, options or {}, limits, ttl_s, idle_timeout_s, metadata, step_timeout_s,
            checkpoints, recovery, pause_after_s, hibernate_after_s,
        )  # fmt: skip
        requests = [replace(request, task=one) for one in tasks]
        self._session = Session(self, url, api_key, timeouts, tls)
        self._episodes = AsyncEpisodes(self._session.client, requests, mode)
        self._session.on_close(self._episodes.close)
        published = self._session.environment(environment)
        self.single_action_space = space_for(published.action_schema)
        self.single_observation_space = space_for(published.observation_schema)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._observations: list[Any] = [None] * num_envs
        self._group, self._stragglers = group, stragglers

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, Infos]:
        """Begin an episode in every slot, or in those of `options["reset_mask"]`; a step under way there is cut.

        `seed` is one for each slot, or an integer: that plus the slot's number. The other `options` are those of
        `EnvserverEnv.reset`. Observations of slots that were not reset are the last ones again.

        With `group` they begin in the same state, all of them or none, and `seed` is one integer for all.

        Raises: InvalidRequest, NotFound, Unauthorized. Any other problem is its slot's, see `episodes.py`, and with
        `group` raised: nobody has an episode then.
        """
        rest = dict(options or {})
        mask = self._mask(rest.pop("reset_mask", None))
        if isinstance(seed, int):
            self._np_random, self._np_random_seed = seeding.np_random(seed)
        indices = [int(index) for index in np.flatnonzero(mask)]
        begin = self._begin_group if self._group else self._begin_each
        turns = self._session.run(begin(indices, seed, rest))
        self._keep(turns)
        return tuple(self._observations), batch_infos({turn.index: turn.info for turn in turns}, self.num_envs)

    def step(self, actions: Sequence[Any]) -> tuple[Observations, Floats, Bools, Bools, Infos]:
        """One step in every slot, to the end of the slowest.

        Raises: ResetNeeded in the mode DISABLED while a slot has no live episode; ValueError while one is under way.
        """
        self.send(actions, range(self.num_envs))
        turns = self._session.run(self._episodes.recv(self.num_envs))
        turns.sort(key=lambda turn: turn.index)
        _, observations, rewards, terminations, truncations, infos = self._received(turns)
        return observations, rewards, terminations, truncations, batch_infos(dict(enumerate(infos)), self.num_envs)

    def send(self, actions: Sequence[Any], indices: Sequence[int]) -> None:
        """Begin a step in each of the slots `indices`, and return.

        Raises: ValueError for a slot that is under way; ResetNeeded as `step`.
        """
        slots = [int(index) for index in indices]
        if not set(slots) <= set(range(self.num_envs)):
            raise ValueError(f"indices are {slots}, must be below num_envs={self.num_envs}")
        self._session.run(self._send(list(actions), slots))

    def recv(self, min_ready: int = 1, timeout_s: float | None = None) -> Received:
        """Whatever is ready as soon as `min_ready` slots are: indices, observations, rewards, terminations,
        truncations, infos, all in the order in which they became ready; infos are one dictionary each.

        After `timeout_s` seconds, what is ready then, perhaps nothing.

        Raises: ValueError when fewer than `min_ready` slots are under way; what an action raised that is no JSON value.
        """
        return self._received(self._session.run(self._episodes.recv(min_ready, timeout_s)))

    def close_extras(self, **kwargs: Any) -> None:
        """Close all episodes and the connection; also done when the object is collected, and at exit."""
        self._session.close()

    def _begin_each(
        self, indices: Sequence[int], seed: int | Sequence[int | None] | None, options: dict[str, Any]
    ) -> Beginning:
        seeds = [seed + number for number in range(self.num_envs)] if isinstance(seed, int) else seed
        seeds = [None] * self.num_envs if seeds is None else list(seeds)
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds for num_envs={self.num_envs}: one each is needed")
        return self._episodes.reset(indices, [seeds[index] for index in indices], options)

    def _begin_group(
        self, indices: Sequence[int], seed: int | Sequence[int | None] | None, options: dict[str, Any]
    ) -> Beginning:
        if seed is not None and not isinstance(seed, int):
            raise ValueError(f"seed is {seed!r}: a group has one integer for all")
        drawn = int(self.np_random.integers(SEEDS)) if seed is None else seed
        return self._episodes.reset_group(indices, drawn, options, self._stragglers)

    async def _send(self, actions: Sequence[Any], indices: Sequence[int]) -> None:
        self._episodes.send(actions, indices)

    def _keep(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            self._observations[turn.index] = turn.observation

    def _received(self, turns: Sequence[Turn]) -> Received:
        self._keep(turns)
        return (
            np.array([turn.index for turn in turns], dtype=np.int64),
            tuple(turn.observation for turn in turns),
            np.array([turn.reward for turn in turns], dtype=np.float64),
            np.array([turn.terminated for turn in turns], dtype=np.bool_),
            np.array([turn.truncated for turn in turns], dtype=np.bool_),
            tuple(turn.info for turn in turns),
        )

    def _mask(self, mask: Any) -> Bools:
        if mask is None:
            return np.ones(self.num_envs, dtype=np.bool_)
        if (
            not isinstance(mask, np.ndarray)
            or mask.dtype != np.bool_
            or mask.shape != (self.num_envs,)
            or not mask.any()
        ):
            raise ValueError(f"reset_mask is {mask!r}, must be {self.num_envs} booleans in an array, one or more true")
        return mask
