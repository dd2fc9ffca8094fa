"""One step made of several actions: what the last one saw, and what happened on the way to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from environments.browser.notes import first_of_each
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
    """What is listed is listed of them all, within the bounds of one action; of anything else the last one counts."""
    info = {name: value for each in infos for name, value in each.items()}
    for name in ("requests", "detectors"):
        listed = [one for each in infos for one in each.get(name, ())]
        kept = first_of_each(listed, MAX_LISTED) if name == "detectors" else listed[:MAX_LISTED]
        left_out = len(listed) - len(kept) + sum(each.get(f"{name}_not_listed", 0) for each in infos)
        info |= ({name: kept} if kept else {}) | ({f"{name}_not_listed": left_out} if left_out else {})
    return info
