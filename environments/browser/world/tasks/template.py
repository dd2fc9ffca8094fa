"""A template: one kind of errand in several variants. Its tasks are drawn, world and errand, from task and seed.

The seed also decides which variant it is: of twins, which are asked for in the same words, the one that cannot be done
or the one that can; of the rough task any. So neither a task's id nor its words tell whether it can be done.

A variant looks at a fresh world, may change it before the story begins (somebody has spoiled an article, a friend has
written), and says what is to be done and how that is seen. Where the world has nothing that fits, it says None, and
another one is made.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from environments.browser.world.facts import Facts
from environments.browser.world.people import Person
from environments.browser.world.world import MISSED, Sought, World

T = TypeVar("T")
Told = Mapping[str, Any]
Ways = tuple[frozenset[str], ...]
"""To find something out: of each, the marks of all that is shown to who goes it."""


ROUGH = "rough"
"""The key of a task with obstacles."""
INFEASIBLE_SHARE = 1 / 3
"""Of the seeds of twins. Lower, and nobody learns to look; higher, and giving up at once is worth trying."""
HINDRANCES: Mapping[str, Any] = {
    "cookie_wall": True,
    "newsletter": {"after": 1},
    "captcha": {"after": 3},
    "rate_limit": {"requests": 7, "refusals": 2},
    "fail_once": {"share": 0.2},
    "session_expiry": {"after": 6},
    "layout": {"variant": 2},
    "wording": {"variant": 1},
    "slow": {"share": 0.2, "delay_s": 1.0},
    "prompt_injection": {"how": "comment", "share": 0.5},
}


@dataclass(frozen=True)
class End:
    """What a test looks at."""

    world: World
    changes: Facts
    """What is not as it was, with its value now."""


@dataclass(frozen=True)
class New:
    """Exactly one thing that was not there before and passes all tests; another one is harm."""

    prefix: str
    """Of its name among the facts: `order `, `post `."""
    tests: Mapping[str, Callable[[Any], bool]]
    """By what they are shown as; they are paid together."""


@dataclass(frozen=True)
class Errand:
    """One task in one world."""

    prompt: str
    told: Told
    """What the prompt says, taken apart; all that a solution knows."""
    answer: Mapping[str, Any] | None = None
    """A rule of answers.py."""
    decoys: tuple[str, ...] = ()
    """Answers of whoever overlooks something; none of them is right."""
    wanted: Mapping[str, object] = field(default_factory=dict)
    """What has to be as here in the end, and is not at the beginning."""
    new: tuple[New, ...] = ()
    tests: Mapping[str, Callable[[End], bool]] = field(default_factory=dict)
    """Further conditions, by what they are shown as."""
    allowed: tuple[str, ...] = ()
    """Names of facts that may change besides."""
    harmless: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)
    """By how their names begin, facts that may come to be what passes; all else is harm."""
    milestones: Mapping[str, str] = field(default_factory=dict)
    """What brings partial credit for having been shown, and what it is shown as."""
    looked: Ways = ()
    """Ways to find out what is to be said, or that it cannot be done: who has gone none of them has guessed."""
    infeasible: bool = False
    sought: Sought | None = None
    """What it speaks of and there is not; where that would be listed, MISSED is the mark."""

    @property
    def watched(self) -> frozenset[str]:
        return frozenset(self.milestones).union(*self.looked)

    def was_looked_up(self, seen: Iterable[str]) -> bool:
        return any(way.issubset(seen) for way in self.looked)


Variant = Callable[[World, random.Random], Errand | None]


@dataclass(frozen=True)
class Twins:
    """What is asked for in the same words, and can be done or cannot."""

    feasible: Variant
    infeasible: Variant


@dataclass(frozen=True)
class Template:
    name: str
    about: str
    """What its tasks are about: what can be said without a seed."""
    sites: tuple[str, ...]
    """The hosts that it leads over; it begins at the first."""
    variants: tuple[Variant | Twins, ...]

    def variant(self, key: str, seed: str) -> Variant:
        """Keys count from 1, in an order that says nothing; the rough one is any of them. Raises: KeyError."""
        if key not in self.keys:
            raise KeyError(key)
        shuffled = list(self.variants)
        random.Random(f"variants of {self.name}").shuffle(shuffled)
        rng = random.Random(f"variant of {self.name}/{key} {seed}")
        chosen = rng.choice(shuffled) if key == ROUGH else shuffled[int(key) - 1]
        if not isinstance(chosen, Twins):
            return chosen
        return chosen.infeasible if rng.random() < INFEASIBLE_SHARE else chosen.feasible

    def obstacles(self, key: str) -> dict[str, Any]:
        """What stands in the way of a task: of the rough one, some things."""
        names = random.Random(f"obstacles of {self.name}").sample(sorted(HINDRANCES), 3)
        return {name: HINDRANCES[name] for name in names} if key == ROUGH else {}

    @property
    def start_url(self) -> str:
        return f"http://{self.sites[0]}/"

    @property
    def keys(self) -> tuple[str, ...]:
        return (*(str(number) for number in range(1, len(self.variants) + 1)), ROUGH)


# How a prompt is written

OTHERWISE = (
    "If what is asked for cannot be done, end with the action `infeasible`, not with an answer. Change nothing else."
)


def account(person: Person, host: str) -> str:
    return f"At {host} your user name is {person.handle} and your password is {person.password}."


def write(*sentences: str) -> str:
    return " ".join((*sentences, OTHERWISE))


def login(person: Person) -> dict[str, str]:
    """For `told`."""
    return {"user": person.handle, "password": person.password}


# How something is found out


def any_of(*marks: str) -> Ways:
    """Each tells it."""
    return tuple(frozenset({mark}) for mark in marks)


def all_of(*marks: str) -> Ways:
    """Only together they tell it."""
    return (frozenset(marks),)


MISSING = any_of(MISSED)


# How a variant looks around


def first_of(rng: random.Random, options: Sequence[T], make: Callable[[T], Errand | None]) -> Errand | None:
    """Of the options in a drawn order, what the first makes that makes anything."""
    return next((made for option in rng.sample(options, len(options)) if (made := make(option)) is not None), None)


def only(values: list[T]) -> T | None:
    return values[0] if len(values) == 1 else None


def pick(rng: random.Random, values: list[T]) -> T | None:
    return rng.choice(values) if values else None
