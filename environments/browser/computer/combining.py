"""One step made of several actions: what the last one saw, and what happened on the way to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from environments.browser.traffic import MAX_LISTED
from environments.environment import JsonObject, Transition
from envserver_sdk.models import Outcome

EVENTS = ("dialogs", "downloads", "permissions", "console_errors", "notices")
"""Told once, by the first observation after them."""
MAX_EVENTS = 20
"""Of each kind, as in any observation."""


def failed(transition: Transition) -> bool:
    """It did not work, or nothing more can come after it."""
    ended = transition.terminated or transition.truncated or transition.submitted
    return ended or transition.outcome is not Outcome.OK or "error" in transition.observation


def combined(done: Sequence[Transition]) -> Transition:
    """At least one; all but the last have worked."""
    last = done[-1]
    return replace(
        last,
        observation={**last.observation, **_events([each.observation for each in done]), **_picture(last.observation)},
        info=_info([each.info for each in done]),
    )


def _events(observations: Sequence[JsonObject]) -> JsonObject:
    told: JsonObject = {}
    left_out = sum(each.get("left_out", 0) for each in observations)
    for name in EVENTS:
        happened = [event for each in observations for event in each.get(name, ())]
        left_out += max(0, len(happened) - MAX_EVENTS)
        if happened:
            told[name] = happened[:MAX_EVENTS]
    return told | ({"left_out": left_out} if left_out else {})


def _picture(observation: JsonObject) -> JsonObject:
    """One, as a screen shows one: what was asked for comes before what every observation has."""
    return {"images": observation["images"][:1]} if observation.get("images") else {}


def _info(infos: Sequence[JsonObject]) -> JsonObject:
    info: dict[str, Any] = {}
    for each in infos:
        for name, value in each.items():
            if name in info and name in ("requests", "detectors"):
                info[name] = [*info[name], *value]
            else:
                info[name] = value
    unlisted = sum(each.get("requests_not_listed", 0) for each in infos)
    unlisted += max(0, len(info.get("requests", ())) - MAX_LISTED)
    if unlisted:
        info |= {"requests": info["requests"][:MAX_LISTED], "requests_not_listed": unlisted}
    return info
