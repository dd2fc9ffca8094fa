"""How an episode's browser is seen and behaves: the caller's options, checked before anything is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import available_timezones

from environments.environment import JsonObject
from environments.tasks import Task

VIEWS = ("text", "screenshot", "html", "text_content")
DIALOGS = ("ask", "accept", "dismiss")
PICTURES = ("png", "webp")
COMPUTERS = ("anthropic", "openai")
_LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
TIMEZONES = frozenset(available_timezones()) - {"localtime"}
"""The last is a host's own, and no browser's."""
MIN_DISPLAY = 160
WIDTHS, HEIGHTS = (160, 2560), (160, 1600)
CHARS = (200, 400_000)
ACTION_S = (0.5, 60.0)
MAX_HOSTS = 100


@dataclass(frozen=True)
class Options:
    """Everything that may be chosen of a browser."""

    observe: tuple[str, ...] = ("text",)
    """What every observation holds: text (with refs), screenshot, html, text_content."""
    width: int = 1280
    height: int = 720
    max_chars: int = 50_000
    """Of each text in an observation; what is cut is said."""
    interactive: bool = False
    """Only what can be acted on."""
    changes: bool = False
    """What has changed since the last observation, where that is shorter."""
    picture: str = "png"
    dialogs: str = "ask"
    """What becomes of a page's questions: ask the policy, accept, or dismiss."""
    locale: str = "en-US"
    timezone: str = "UTC"
    action_timeout_s: float = 5.0
    """How long an element may take to become ready for an action."""
    actions: tuple[str, ...] | None = None
    """The kinds that there are; None for all."""
    obstacles: Mapping[str, Any] = field(default_factory=dict)
    computer: str | None = None
    """Whose computer-use actions are taken."""
    display: tuple[int, int] | None = None
    """The size that pictures are scaled down to; coordinates are in its pixels. None for the viewport's."""
    hosts: tuple[str, ...] = ()
    """Real ones that pages may reach, among those that the operator lists."""

    @property
    def viewport(self) -> JsonObject:
        return {"width": self.width, "height": self.height}

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height of a picture of all that is in view."""
        return self.display or (self.width, self.height)

    def for_browser(self) -> JsonObject:
        """To the program in the sandbox."""
        return {
            "observe": list(self.observe), "viewport": self.viewport, "max_chars": self.max_chars,
            "interactive": self.interactive, "changes": self.changes, "picture": self.picture,
            "dialogs": self.dialogs, "locale": self.locale, "timezone": self.timezone,
            "action_timeout_s": self.action_timeout_s,
            **({"display": dict(zip(("width", "height"), self.display, strict=True))} if self.display else {}),
        }  # fmt: skip


def parse_options(given: Mapping[str, Any], kinds: tuple[str, ...]) -> Options:
    """`kinds` are the actions that there can be. Raises: ValueError, fit for the caller."""
    known = ("observe", "viewport", "max_chars", "interactive", "changes", "picture", "dialogs", "locale", "timezone",
             "action_timeout_s", "actions", "computer", "display", "obstacles", "hosts")  # fmt: skip
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"unknown options {unknown}; the browser environment takes {', '.join(known)}")
    width, height = _viewport(given.get("viewport", {"width": 1280, "height": 720}))
    computer = None if given.get("computer") is None else _one(given, "computer", COMPUTERS)
    if computer and _flag(given, "changes"):
        raise ValueError("'changes' must be false with 'computer': a step of it may be several actions")
    actions = given.get("actions")
    return Options(
        observe=_several(given, "observe", VIEWS, ["screenshot"] if computer else ["text"]),
        width=width,
        height=height,
        max_chars=_whole(given.get("max_chars", 50_000), "max_chars", CHARS),
        interactive=_flag(given, "interactive"),
        changes=_flag(given, "changes"),
        picture=_one(given, "picture", PICTURES),
        dialogs=_one(given, "dialogs", DIALOGS),
        locale=_like(given, "locale", _LOCALE, "en-US"),
        timezone=_timezone(given.get("timezone", "UTC")),
        action_timeout_s=_seconds(given.get("action_timeout_s", 5.0)),
        actions=None if actions is None else _several(given, "actions", kinds, []),
        computer=computer,
        display=_display(given.get("display"), computer, (width, height)),
        obstacles=_object(given.get("obstacles", {})),
        hosts=_hosts(given.get("hosts", [])),
    )


def check_ends(task: Task, chosen: Options) -> None:
    """Raises: ValueError, where the actions lack one that may be the task's right end."""
    ends = task.hidden.get("ends", ())
    if chosen.actions is not None and not set(ends) <= set(chosen.actions):
        raise ValueError(
            f"'actions' is {list(chosen.actions)}, must have {' and '.join(ends)} for the task {task.task_id!r}: "
            "either may be its right end"
        )


def _viewport(value: Any) -> tuple[int, int]:
    if not isinstance(value, dict) or set(value) != {"width", "height"}:
        raise ValueError(f"'viewport' is {value!r}, must be {{'width', 'height'}}")
    return _whole(value["width"], "width", WIDTHS), _whole(value["height"], "height", HEIGHTS)


def _display(value: Any, computer: str | None, viewport: tuple[int, int]) -> tuple[int, int] | None:
    """Of the viewport's shape, to a pixel: a picture is scaled by one factor."""
    if value is None:
        return None
    if computer is None:
        raise ValueError(f"'display' is {value!r}, but must be left out without 'computer', whose pictures it sizes")
    if not isinstance(value, dict) or set(value) != {"width", "height"}:
        raise ValueError(f"'display' is {value!r}, must be {{'width', 'height'}}")
    width = _whole(value["width"], "width", (MIN_DISPLAY, viewport[0]))
    height = _whole(value["height"], "height", (1, viewport[1]))
    right = width * viewport[1] / viewport[0]
    if abs(height - right) >= 1:
        raise ValueError(
            f"'display' is {width}x{height}, must have the shape of the viewport of {viewport[0]}x{viewport[1]}: "
            f"such as {width}x{round(right)}"
        )
    return width, height


def _whole(value: Any, name: str, bounds: tuple[int, int]) -> int:
    if type(value) is not int or not bounds[0] <= value <= bounds[1]:
        raise ValueError(f"{name!r} is {value!r}, must be a whole number from {bounds[0]} to {bounds[1]}")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not ACTION_S[0] <= value <= ACTION_S[1]:
        raise ValueError(f"'action_timeout_s' is {value!r}, must be from {ACTION_S[0]} to {ACTION_S[1]}")
    return float(value)


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name!r} is {value!r}, must be true or false")  # noqa: TRY004  # the caller's mistake
    return value


def _one(given: Mapping[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = given.get(name, choices[0])
    if value not in choices:
        raise ValueError(f"{name!r} is {value!r}, must be one of {', '.join(choices)}")
    return str(value)


def _several(given: Mapping[str, Any], name: str, choices: tuple[str, ...], usual: list[str]) -> tuple[str, ...]:
    value = given.get(name, usual)
    if not isinstance(value, list) or not value or not all(each in choices for each in value):
        raise ValueError(f"{name!r} is {value!r}, must be a list of some of {', '.join(choices)}")
    return tuple(choice for choice in choices if choice in value)


def _like(given: Mapping[str, Any], name: str, pattern: re.Pattern[str], usual: str) -> str:
    value = given.get(name, usual)
    if not isinstance(value, str) or len(value) > 64 or pattern.fullmatch(value) is None:
        raise ValueError(f"{name!r} is {value!r}, must be such as {usual!r}")
    return value


def _timezone(value: Any) -> str:
    if not isinstance(value, str) or value not in TIMEZONES:
        raise ValueError(f"'timezone' is {value!r}, must be one of the tz database, such as 'Europe/Berlin'")
    return value


def _hosts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_HOSTS or not all(isinstance(each, str) for each in value):
        raise ValueError(f"'hosts' is {value!r}, must be a list of at most {MAX_HOSTS} names")
    return tuple(each.lower() for each in value)


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"'obstacles' is {value!r}, must be an object")  # noqa: TRY004
    return value
