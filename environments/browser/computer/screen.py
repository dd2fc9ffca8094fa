"""What a model that uses a computer takes for its screen: the viewport, in a size of the model's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from environments.browser.actions import ActionError, Viewport
from environments.browser.actions.members import read_number
from environments.environment import JsonObject
from environments.protocols.hints import quoted

MAX_TOLD = 2000
MAX_MAGNIFICATION = 8.0
BLANK_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class Screen:
    """As it is before an action: its size for the model, and what the last observation said of it."""

    viewport: Viewport
    width: int
    height: int
    """In the pixels that the model counts in: those of the pictures that it is shown."""
    cursor: tuple[float, float] = (0, 0)
    """In CSS pixels of the viewport."""
    dialog: bool = False
    """A page's question is open: keys answer it, and nothing else does anything."""

    @classmethod
    def of(cls, viewport: Viewport, observation: Mapping[str, Any], size: tuple[int, int] | None = None) -> Screen:
        """After an observation; `size` is the model's, the viewport's when left out."""
        width, height = size or (viewport.width, viewport.height)
        return cls(
            viewport, width, height, _cursor(observation.get("cursor"), viewport), bool(observation.get("dialog"))
        )

    def point(self, name: str, x: Any, y: Any) -> tuple[int, int]:
        """A place of the model's in CSS pixels. Raises: ActionError, which calls the place `name`."""
        across, down = read_number(f"x of {name}", x), read_number(f"y of {name}", y)
        if not (0 <= across < self.width and 0 <= down < self.height):
            raise ActionError(
                f"{name} is ({quoted(across)}, {quoted(down)}), outside of the screen, which is {self.width} wide "
                f"and {self.height} high"
            )
        return self._to_page(across, down)

    def region(self, corners: Any) -> JsonObject:
        """Of [x0, y0, x1, y1], the place and the size in CSS pixels. Raises: ActionError."""
        if not isinstance(corners, list | tuple) or len(corners) != 4:
            raise ActionError("region must be four numbers [x0, y0, x1, y1]")
        x0, y0, x1, y1 = (read_number("region", each) for each in corners)
        if not (0 <= x0 < x1 <= self.width and 0 <= y0 < y1 <= self.height):
            raise ActionError(
                f"region is {', '.join(map(quoted, (x0, y0, x1, y1)))}: it goes from the upper left to the lower right "
                f"corner, on a screen that is {self.width} wide and {self.height} high"
            )
        left, top = self._to_page(x0, y0)
        right, bottom = (round(each) for each in self.distance(x1, y1))
        return {"x": left, "y": top, "width": max(1, right - left), "height": max(1, bottom - top)}

    def distance(self, across: float, down: float) -> tuple[float, float]:
        """How far something moves, in CSS pixels."""
        return across * self.viewport.width / self.width, down * self.viewport.height / self.height

    def magnification(self, width: float, height: float) -> float:
        """Of a part of the viewport that fills the screen, or is as large as it can usefully be."""
        return min(self.width / width, self.height / height, MAX_MAGNIFICATION)

    @property
    def cursor_of_model(self) -> tuple[int, int]:
        """Where the model has put it, if it has."""
        x, y = self.cursor[0] * self.width / self.viewport.width, self.cursor[1] * self.height / self.viewport.height
        return min(round(x), self.width - 1), min(round(y), self.height - 1)

    def _to_page(self, across: float, down: float) -> tuple[int, int]:
        """What is on the screen stays in the viewport."""
        x, y = self.distance(across, down)
        return min(round(x), self.viewport.width - 1), min(round(y), self.viewport.height - 1)


def pictures(observation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of an observation: each one's media type, and its data in base64."""
    return [(f"image/{each.get('format', 'png')}", each["data"]) for each in observation.get("images", ())]


def told(observation: Mapping[str, Any]) -> str:
    """What a picture does not show: errors, a page's questions, what happened by itself."""
    lines = [f"Error: {observation['error']}"] if observation.get("error") else []
    for dialog in _objects([observation.get("dialog")]):
        asked = f"{dialog.get('type', 'dialog')} is open: {dialog.get('message', '')}"
        lines.append(f"A {asked} (Return is OK, Escape is Cancel)")
    lines += [
        f"The page asks for {'files' if chooser.get('multiple') else 'a file'}"
        for chooser in _objects([observation.get("file_chooser")])
    ]
    lines += [
        f"A {each.get('type', 'dialog')} was {each.get('answer', '')}: {each.get('message', '')}"
        for each in _objects(observation.get("dialogs"))
    ]
    lines += [
        f"{each.get('origin', 'A page')} asked for permission: {each.get('permission', '')} ({each.get('answer', '')})"
        for each in _objects(observation.get("permissions"))
    ]
    lines += [f"Downloaded: {each.get('path') or each.get('error')}" for each in _objects(observation.get("downloads"))]
    lines += [str(notice) for notice in observation.get("notices", ())]
    return "\n".join(lines)[:MAX_TOLD]


def _objects(values: Any) -> list[Mapping[str, Any]]:
    """What the sandbox lists is checked for its size alone."""
    return [each for each in values or () if isinstance(each, dict)]


def _cursor(value: Any, viewport: Viewport) -> tuple[float, float]:
    """Where the sandbox says that it is, within the viewport; the corner where it says nothing."""
    at: list[Any] = [value.get("x"), value.get("y")] if isinstance(value, dict) else []
    if not at or not all(type(each) in (int, float) and math.isfinite(each) for each in at):
        return 0, 0
    return min(max(at[0], 0), viewport.width - 1), min(max(at[1], 0), viewport.height - 1)
