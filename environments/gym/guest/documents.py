"""What an environment returns as documents of the codec, also where it is more than the codec's exact types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from envserver_sdk.gymnasium import codec

MAX_REPR = 500


class FailedError(Exception):
    """The environment broke Gymnasium's contract or raised: it cannot go on. The message is fit for its users."""


def observed(value: Any) -> Any:
    """An observation's document; a subclass of a plain type becomes the plain one. Raises: FailedError."""
    try:
        return codec.encode(value)
    except TypeError:
        pass
    try:
        return codec.encode(plain(value))
    except (TypeError, ValueError) as error:
        raise FailedError(f"the observation cannot be sent: {error}") from error


def informed(info: Any) -> Any:
    """An info's document. What has no exact JSON is shown by its repr: nobody computes with it."""
    try:
        return codec.encode(info)
    except (TypeError, ValueError):
        pass
    if isinstance(info, Mapping):
        return codec.encode({str(key): _shown(value) for key, value in info.items()})
    return {"info": repr(info)[:MAX_REPR]}


def _shown(value: Any) -> Any:
    try:
        codec.encode(value := plain(value))
    except (TypeError, ValueError):
        return repr(value)[:MAX_REPR]
    return value


def plain(value: Any) -> Any:
    """With exact types instead of subclasses, as deep as it goes."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    if isinstance(value, tuple) and not hasattr(value, "edge_links"):
        return tuple(plain(item) for item in value)
    return value


def rewarded(reward: Any) -> float:
    """Raises: FailedError for what is no finite number."""
    try:
        number = float(reward)
    except (TypeError, ValueError) as error:
        raise FailedError(f"the reward is {reward!r}, must be a number") from error
    if not np.isfinite(number):
        raise FailedError(f"the reward is {number!r}, must be finite")
    return number
