"""What many steps came to, as few documents: one array where the observations are arrays of one kind.

`keep` and the lists are used from the innermost loop, where a microsecond counts: everything else is done at the end.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from environments.gym.guest.documents import informed, observed, rewarded
from envserver_sdk.gymnasium import codec

MAX_BYTES = 2 << 20
"""Of observations and infos, before they become text: the step that passes it is the record's last."""


class Record:
    """Steps in order."""

    def __init__(self) -> None:
        self.bytes = 0
        self.observations: list[Any] = []
        self.reset_observations: list[Any] = []
        """Of the resets between them."""
        self.rewards: list[Any] = []
        self.terminated: list[Any] = []
        self.truncated: list[Any] = []
        self.infos: list[Any] = []

    def keep(self, into: list[Any], observation: Any) -> None:
        """A copy of an array, since an environment may give out one again and again; a document of anything else."""
        if type(observation) is np.ndarray and not observation.dtype.hasobject:
            into.append(observation.copy())
            self.bytes += observation.nbytes
        else:
            into.append(observed(observation))
            self.bytes += _size(into[-1])

    def keep_info(self, info: Any) -> None:
        self.infos.append(informed(info))
        self.bytes += _size(self.infos[-1])

    def numbers(self) -> list[float]:
        """The rewards. Raises: FailedError for one that is no finite number."""
        return [rewarded(reward) for reward in self.rewards]

    def documents(self, rewards: list[float]) -> dict[str, Any]:
        return {
            "observations": _document(self.observations),
            "rewards": codec.encode(np.array(rewards, np.float64)),
            "terminations": codec.encode(np.array(self.terminated, np.bool_)),
            "truncations": codec.encode(np.array(self.truncated, np.bool_)),
            "reset_observations": _document(self.reset_observations),
        }


def _size(document: Any) -> int:
    return 8 if type(document) is int else len(json.dumps(document))


def _document(kept: list[Any]) -> Any:
    """One array, the first axis being time, where all are arrays of one type and shape; else a list."""
    arrays = [item for item in kept if type(item) is np.ndarray]
    if kept and len(arrays) == len(kept) and len({(item.dtype, item.shape) for item in arrays}) == 1:
        return codec.encode(np.stack(arrays))
    return [codec.encode(item) if type(item) is np.ndarray else item for item in kept]
