"""Looking at pictures: parts of them, enlarged, measured, searched for a colour.

The work is done in the sandbox and not on the server, though a task's own pictures could be trusted: the policy can
write files too, and draw some, and then a decoder would meet its bytes.
"""

from __future__ import annotations

import posixpath
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import Field

from environments.code.actions import MAX_PATH_BYTES, WORKSPACE
from environments.code.sessions import SessionKind
from environments.environment import JsonObject
from environments.tasks import Task
from environments.tools.kit import Kit
from environments.tools.kits.guests import Guest, guest_kind
from environments.tools.tool import ToolContext, ToolError, ToolResult, tool
from envserver.runtimes.base import Sandbox

Path = Annotated[str, Field(min_length=1, max_length=MAX_PATH_BYTES)]
Place = Annotated[int, Field(ge=-100_000, le=100_000)]
Length = Annotated[int, Field(ge=1, le=100_000)]


class ImageKit(Kit):
    """Six tools over picture files. Places are pixels from the upper left corner, x to the right and y downwards."""

    name: ClassVar[str] = "image"

    async def begin(self, sandbox: Sandbox, task: Task, seed: int) -> None:
        self._guest = Guest(sandbox, image_kind())

    @tool
    async def look(self, context: ToolContext, path: Path) -> ToolResult:
        """Show a picture, made smaller if it is large, and say how large it is.

        Args:
            path: The file, absolute or relative to /workspace.
        """
        return await self._ask(context, "look", path)

    @tool
    async def crop(
        self, context: ToolContext, path: Path, x: Place, y: Place, width: Length, height: Length
    ) -> ToolResult:
        """Show a part of a picture.

        Args:
            path: The file, absolute or relative to /workspace.
            x: Its left edge, in pixels from the left.
            y: Its upper edge, in pixels from above.
            width: In pixels.
            height: In pixels.
        """
        return await self._ask(context, "crop", path, x=x, y=y, width=width, height=height)

    @tool
    async def zoom(
        self, context: ToolContext, path: Path, x: Place, y: Place, factor: Annotated[int, Field(ge=2, le=16)] = 4
    ) -> ToolResult:
        """Show what is around a point, enlarged without smoothing.

        Args:
            path: The file, absolute or relative to /workspace.
            x: The point, in pixels from the left.
            y: The point, in pixels from above.
            factor: How many times as large.
        """
        return await self._ask(context, "zoom", path, x=x, y=y, factor=factor)

    @tool
    async def measure(self, context: ToolContext, path: Path, x1: Place, y1: Place, x2: Place, y2: Place) -> ToolResult:
        """Say how far apart two points of a picture are, in pixels.

        Args:
            path: The file, absolute or relative to /workspace.
            x1: The first point, in pixels from the left.
            y1: The first point, in pixels from above.
            x2: The second point, in pixels from the left.
            y2: The second point, in pixels from above.
        """
        return await self._ask(context, "measure", path, x1=x1, y1=y1, x2=x2, y2=y2)

    @tool
    async def colour_at(self, context: ToolContext, path: Path, x: Place, y: Place) -> ToolResult:
        """Say which colour a point of a picture has, as #rrggbb.

        Args:
            path: The file, absolute or relative to /workspace.
            x: In pixels from the left.
            y: In pixels from above.
        """
        return await self._ask(context, "colour_at", path, x=x, y=y)

    @tool
    async def find_colour(
        self,
        context: ToolContext,
        path: Path,
        colour: Annotated[str, Field(min_length=1, max_length=40)],
        tolerance: Annotated[int, Field(ge=0, le=255)] = 8,
        min_pixels: Annotated[int, Field(ge=1, le=100_000_000)] = 1,
    ) -> ToolResult:
        """Count the connected regions of a colour in a picture, and say where each is and how large, largest first.

        Args:
            path: The file, absolute or relative to /workspace.
            colour: Such as #1f77b4 or red.
            tolerance: How far each channel may be off, from 0 to 255.
            min_pixels: Smaller regions are left out.
        """
        return await self._ask(context, "find_colour", path, colour=colour, tolerance=tolerance, min_pixels=min_pixels)

    async def _ask(self, context: ToolContext, name: str, path: str, **arguments: Any) -> ToolResult:
        if "\0" in path:
            raise ToolError("a path has no NUL")
        absolute = posixpath.normpath(posixpath.join(WORKSPACE, path))
        question = {"tool": name, "arguments": {"path": absolute, **arguments}}
        return await self._guest.ask(context, question, seen=(f"file:{absolute}",))

    def snapshot(self) -> JsonObject:
        return self._guest.snapshot()

    def restore(self, sandbox: Sandbox, task: Task, state: JsonObject) -> None:
        self._guest = Guest(sandbox, image_kind())
        self._guest.restore(state)


@cache
def image_kind() -> SessionKind:
    return guest_kind("image")
