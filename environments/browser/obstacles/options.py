"""Which obstacles there are to be: `{"cookie_wall": true, "rate_limit": {"requests": 8}}`, as a caller or a task
says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Number:
    usual: float
    low: float
    high: float
    whole: bool = True

    def read(self, value: Any, name: str) -> Any:
        """Raises: ValueError."""
        kinds = (int,) if self.whole else (int, float)
        if type(value) not in kinds or not self.low <= value <= self.high:
            kind = "a whole number" if self.whole else "a number"
            raise ValueError(f"{name} is {value!r}, must be {kind} from {self.low:g} to {self.high:g}")
        return value if self.whole else float(value)


@dataclass(frozen=True)
class OneOf:
    choices: tuple[str, ...]
    """The first is the usual one."""

    @property
    def usual(self) -> str:
        return self.choices[0]

    def read(self, value: Any, name: str) -> str:
        """Raises: ValueError."""
        if not isinstance(value, str) or value not in self.choices:
            raise ValueError(f"{name} is {value!r}, must be one of {', '.join(self.choices)}")
        return value


KNOWN: Mapping[str, Mapping[str, Number | OneOf]] = {
    "cookie_wall": {},
    "newsletter": {"after": Number(2, 0, 1000)},
    "captcha": {"after": Number(3, 0, 1000)},
    "rate_limit": {"requests": Number(8, 1, 1000), "refusals": Number(2, 1, 20)},
    "slow": {"share": Number(0.3, 0, 1, whole=False), "delay_s": Number(2.0, 0, 10, whole=False)},
    "fail_once": {"share": Number(0.3, 0, 1, whole=False), "how": OneOf(("error", "reset"))},
    "session_expiry": {"after": Number(5, 1, 1000), "times": Number(1, 1, 20)},
    "layout": {"variant": Number(1, 1, 3)},
    "wording": {"variant": Number(1, 1, 2)},
    "prompt_injection": {"how": OneOf(("notice", "comment", "hidden")), "share": Number(1.0, 0, 1, whole=False)},
}
"""What each takes, and what it is when it is left out."""


@dataclass(frozen=True)
class Obstacles:
    chosen: Mapping[str, Values] = field(default_factory=dict)
    """With all that each takes."""


def parse_obstacles(options: Mapping[str, Any]) -> Obstacles:
    """True chooses one as it usually is, an object as it says, false takes one away.

    Raises: ValueError, for callers.
    """
    if unknown := sorted(str(name) for name in options if name not in KNOWN):
        raise ValueError(f"unknown obstacles {unknown}; there are {', '.join(KNOWN)}")
    return Obstacles({name: _values(name, options[name]) for name in KNOWN if options.get(name, False) is not False})


def _values(name: str, given: Any) -> Values:
    if given is True:
        given = {}
    if not isinstance(given, dict):
        raise ValueError(f"the obstacle {name!r} is {given!r}, must be true, false or an object")  # noqa: TRY004
    takes = KNOWN[name]
    if unknown := sorted(str(each) for each in given if each not in takes):
        known = ", ".join(takes) or "nothing"
        raise ValueError(f"the obstacle {name!r} does not take {unknown}; it takes {known}")
    return {
        each: kind.read(given[each], f"{each!r} of the obstacle {name!r}") if each in given else kind.usual
        for each, kind in takes.items()
    }
