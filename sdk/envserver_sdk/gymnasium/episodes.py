"""Many episodes over one `AsyncClient`, each going its own way: the asynchronous core of `EnvserverVectorEnv`.

`send` begins steps and returns; `recv` gives the turns of whichever episodes are ready first. A turn is what
Gymnasium's vector contract says of one environment after a step, so in the mode SAME_STEP an episode that ended is
already begun again in it, and its last observation and `info` are in `final_obs` and `final_info`.

An episode that fails, by a lost world or a lost server, disturbs no other. Its turn says so: `info["trainable"]` is
False, `info["problem"]` the exception, the reward NaN (a sum with it in it shows), and it is truncated. Where there is
no episode to observe, the observation is None: of a failed step, and of a slot for which no new episode could be had.
An episode that goes on from its checkpoint is not truncated: the observation is what was observed there.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode

from envserver_sdk import AsyncClient
from envserver_sdk.errors import (
    EnvserverClientError,
    EpisodeClosed,
    EpisodeLost,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    NotJson,
    Unauthorized,
)
from envserver_sdk.gymnasium._slot import EpisodeRecovered, EpisodeRequest, Slot
from envserver_sdk.models import Outcome

__all__ = ["AsyncEpisodes", "EpisodeRequest", "Turn"]

SEEDS = 2**31
MISTAKES = (InvalidRequest, NotFound, Unauthorized, MethodNotAllowed)
"""Problems of a begin that the caller made: they are raised, since no other node or time would change them."""


@dataclass
class Turn:
    """What one slot has to say after a step, or after a reset (then without reward or end)."""

    index: int
    observation: Any
    info: dict[str, Any]
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


class AsyncEpisodes:
    """A fixed number of slots, one request each. Belongs to the client's event loop.

    Raises: ValueError for the mode NEXT_STEP.
    """

    def __init__(
        self,
        client: AsyncClient,
        requests: Sequence[EpisodeRequest],
        mode: AutoresetMode = AutoresetMode.SAME_STEP,
    ) -> None:
        if mode is AutoresetMode.NEXT_STEP:
            raise ValueError(
                "autoreset_mode is NEXT_STEP, must be SAME_STEP or DISABLED: it ignores the action after each "
                "episode's end, and an action costs a model's generation"
            )
        self._mode = mode
        self._client = client
        self._requests = list(requests)
        self._slots = [Slot(client, request) for request in requests]
        self._random = [np.random.default_rng() for _ in requests]
        self._running: dict[int, asyncio.Task[None]] = {}
        self._ready: list[Turn] = []
        self._raised: Exception | None = None
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def under_way(self) -> list[int]:
        """The slots that were sent an action whose turn nobody has received."""
        return sorted({*self._running, *(turn.index for turn in self._ready)})

    async def reset(
        self, indices: Sequence[int], seeds: Sequence[int | None], options: Mapping[str, Any] | None = None
    ) -> list[Turn]:
        """Begin episodes in these slots, at once. A step under way there is cut, and its turn dropped.

        Raises: InvalidRequest, NotFound, Unauthorized, when all have been tried; any other problem is its turn's.
        """
        await self._cut(indices)
        pairs = zip(indices, seeds, strict=True)
        turns = await asyncio.gather(*(self._begin(index, seed, options or {}) for index, seed in pairs))
        for turn in turns:
            if isinstance(turn.info.get("problem"), MISTAKES):
                raise turn.info["problem"]
        return list(turns)

    async def reset_group(
        self,
        indices: Sequence[int],
        seed: int,
        options: Mapping[str, Any] | None = None,
        stragglers: Mapping[str, Any] | None = None,
    ) -> list[Turn]:
        """Begin one group in these slots: all in the same state, by the first slot's request. All of them or none.

        Raises: as `AsyncClient.group`; the slots are without an episode then.
        """
        await self._cut(indices)
        slots = [self._slots[index] for index in indices]
        await asyncio.gather(*(slot.close() for slot in slots), return_exceptions=True)
        request = self._requests[indices[0]]
        named, rest = request.split(options or {})
        group = await request.create_group(self._client, named, seed, rest, len(slots), stragglers)
        turns = [Turn(index, *slot.adopt(each)) for index, slot, each in zip(indices, slots, group, strict=True)]
        for turn in turns:
            turn.info["group_id"] = group.group_id
        return turns

    def send(self, actions: Sequence[Any], indices: Sequence[int]) -> None:
        """Begin a step in each of these slots. In the mode SAME_STEP one without an episode gets one instead.

        Raises: ValueError for a slot that is under way or named twice; ResetNeeded for one without an episode. No
        step begins then.
        """
        if len(actions) != len(indices) or len(set(indices)) != len(indices):
            raise ValueError(f"{len(actions)} actions for the slots {list(indices)}: one each is needed")
        if busy := sorted({*indices} & {*self.under_way}):
            raise ValueError(f"the slots {busy} are under way; receive their turns first, or reset them")
        ended = [index for index in indices if self._slots[index].needs_reset]
        if ended and self._mode is AutoresetMode.DISABLED:
            raise ResetNeeded(f"the slots {ended} have no episode; reset them with options={{'reset_mask': ...}}")
        for action, index in zip(actions, indices, strict=True):
            self._running[index] = asyncio.get_running_loop().create_task(self._run(index, action))

    async def recv(self, min_ready: int = 1, timeout_s: float | None = None) -> list[Turn]:
        """All turns that are ready, in the order in which they became so, as soon as there are `min_ready`.

        After `timeout_s` seconds those that are ready then, perhaps none. The others stay under way.

        Raises: ValueError when fewer than `min_ready` are under way, which would wait for ever; what an action raised
        that is no JSON value. Its step was not taken.
        """
        if self._raised is None and not 0 <= min_ready <= len(self.under_way):
            raise ValueError(f"min_ready is {min_ready}, must be from 0 to {len(self.under_way)}, the slots under way")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while len(self._ready) < min_ready and self._raised is None:
                    self._arrived.clear()
                    await self._arrived.wait()
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        ready, self._ready = self._ready, []
        return ready

    async def close(self) -> None:
        """Cut what is under way and close all episodes. Idempotent."""
        await self._cut(range(len(self._slots)))
        await asyncio.gather(*(slot.close() for slot in self._slots), return_exceptions=True)

    async def _cut(self, indices: Sequence[int]) -> None:
        tasks = [self._running.pop(index) for index in indices if index in self._running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._ready = [turn for turn in self._ready if turn.index not in indices]

    async def _run(self, index: int, action: Any) -> None:
        try:
            turn = await self._take_turn(index, action)
        except Exception as error:  # a mistake of the caller or of ours, and `recv` must not wait for its turn
            self._raised = error
        else:
            self._ready.append(turn)
        del self._running[index]
        self._arrived.set()

    async def _take_turn(self, index: int, action: Any) -> Turn:
        slot = self._slots[index]
        if slot.needs_reset:
            turn = await self._begin(index, None, {})
            turn.reward, turn.info["trainable"] = math.nan, False  # the action ran nowhere
            return turn
        try:
            step = await slot.step(action)
        except EpisodeRecovered as problem:
            return Turn(index, slot.episode.observation, _problem_info(problem), math.nan)
        except NotJson:
            raise  # by `recv`: it was not sent, and the episode goes on
        except EnvserverClientError as problem:
            slot.needs_reset = True
            turn = Turn(index, None, _problem_info(problem), math.nan, truncated=True)
        else:
            turn = Turn(index, step.observation, slot.info(step), float(step.reward), step.terminated, step.truncated)
        if slot.needs_reset and self._mode is AutoresetMode.SAME_STEP:
            begun = await self._begin(index, None, {})
            final = {"final_obs": turn.observation, "final_info": turn.info}
            turn.observation, turn.info = begun.observation, {**begun.info, **final}
        return turn

    async def _begin(self, index: int, seed: int | None, options: Mapping[str, Any]) -> Turn:
        """A seed that is given begins the slot's own sequence of seeds."""
        if seed is not None:
            self._random[index] = np.random.default_rng(seed)
        drawn = int(self._random[index].integers(SEEDS)) if seed is None else seed
        try:
            return Turn(index, *await self._slots[index].begin(drawn, options))
        except EnvserverClientError as problem:
            return Turn(index, None, _problem_info(problem))


def _problem_info(problem: EnvserverClientError) -> dict[str, Any]:
    lost = isinstance(problem, EpisodeLost | EpisodeClosed | NotFound)
    outcome = Outcome.EPISODE_LOST if lost else Outcome.INFRA_ERROR
    return {"outcome": outcome.value, "trainable": False, "problem": problem}
