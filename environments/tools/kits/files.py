"""Files below /workspace, read and changed through the sandbox's own file calls: with the policy's rights, no links.

It counts as a kit that runs code, though nothing runs here: a policy that chooses a file's bytes chooses what other
programs in the sandbox read (a database, a picture), and none of that may stand beside a world whose state is believed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar

from pydantic import Field

from environments.code.actions import WORKSPACE, Action, ActionError, parse_action
from environments.code.files import MAX_EDIT_BYTES, REASONS, edit_file, write_file
from environments.environment import JsonObject
from environments.tools.kit import Kit
from environments.tools.tool import ArgumentsError, ToolContext, ToolError, ToolResult, tool
from envserver.runtimes.base import FileEntry, Sandbox, SandboxFileError
from envserver_sdk.models import Outcome

MAX_ENTRIES = 1000
MAX_DEPTH = 8
TOO_LARGE = f"larger than {MAX_EDIT_BYTES >> 20} MiB"


class FilesKit(Kit):
    """Four tools, without state of their own."""

    name: ClassVar[str] = "files"
    runs_code: ClassVar[bool] = True

    @tool
    async def list_files(
        self, context: ToolContext, path: str = ".", depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] = 1
    ) -> ToolResult:
        """List the files of a directory, with their sizes in bytes.

        Args:
            path: Absolute, or relative to /workspace.
            depth: How many levels are shown; 1 is the directory alone.
        """
        folder = inside_workspace({"type": "read_file", "path": path})["path"]
        try:
            entries, more = await context.sandbox.list_files(folder, max_entries=MAX_ENTRIES, max_depth=depth)
        except SandboxFileError as error:
            return refused(error)
        lines = [_line(entry) for entry in entries]
        if more:
            lines.append(f"[more than {MAX_ENTRIES}: list a part of it]")
        return ToolResult("\n".join(lines) or "(empty)")

    @tool
    async def read_file(
        self,
        context: ToolContext,
        path: str,
        first_line: Annotated[int, Field(ge=1)] = 1,
        last_line: Annotated[int, Field(ge=1)] | None = None,
    ) -> ToolResult:
        """Read a text file, or some lines of it.

        Args:
            path: Absolute, or relative to /workspace.
            first_line: The first line that is shown, from 1.
            last_line: The last line that is shown; the file's last when left out.
        """
        file = inside_workspace({"type": "read_file", "path": path})["path"]
        try:
            data = await context.sandbox.read_file(file, max_bytes=MAX_EDIT_BYTES)
        except SandboxFileError as error:
            return refused(error)
        if b"\0" in data[:8192]:
            raise ToolError(f"{file} is no text: {len(data)} bytes that begin with {data[:8].hex(' ')}")
        text = data.decode("utf-8", "backslashreplace")
        if (first_line, last_line) == (1, None):
            return ToolResult(text or "(empty)")
        return ToolResult(_lines(text, first_line, last_line))

    @tool
    async def write_file(self, context: ToolContext, path: str, content: str) -> ToolResult:
        """Create or replace a file, with missing directories.

        Args:
            path: Absolute, or relative to /workspace.
            content: The whole content.
        """
        return await _change(write_file, context, {"type": "write_file", "path": path, "content": content})

    @tool
    async def edit_file(self, context: ToolContext, path: str, old: str, new: str) -> ToolResult:
        """Replace a text that occurs exactly once in a file.

        Args:
            path: Absolute, or relative to /workspace.
            old: The text to replace.
            new: What takes its place.
        """
        return await _change(edit_file, context, {"type": "edit", "path": path, "old": old, "new": new})


def inside_workspace(action: JsonObject) -> Action:
    """An action of the code environment on a file. Raises: ArgumentsError for a path that is elsewhere or malformed."""
    try:
        parsed = parse_action(action)
    except ActionError as error:
        raise ArgumentsError(str(error)) from None
    if not f"{parsed['path']}/".startswith(f"{WORKSPACE}/"):
        raise ArgumentsError(f"'path' is {parsed['path'][:200]!r}: files are in {WORKSPACE}")
    return parsed


def refused(error: SandboxFileError) -> ToolResult:
    """What the sandbox says of a file that it does not read or write."""
    outcome = Outcome.DISK_FULL if error.code == "no_space" else Outcome.OK
    reason = TOO_LARGE if error.code == "too_large" else REASONS.get(error.code, error.code)
    return ToolResult(f"Error: {error.path}: {reason}", outcome=outcome, error=True)


async def _change(
    change: Callable[[Sandbox, Action], Awaitable[dict[str, Any]]], context: ToolContext, action: JsonObject
) -> ToolResult:
    parsed = inside_workspace(action)
    try:
        done = await change(context.sandbox, parsed)
    except SandboxFileError as error:
        return refused(error)
    if "error" in done:
        raise ToolError(f"{done['path']}: {done['error']}")
    return ToolResult(f"{done['path']} has {done['size_bytes']} bytes now")


def _line(entry: FileEntry) -> str:
    """As `ls` shows it: a directory ends in a slash, a link in @."""
    if entry.type == "file":
        return f"{entry.path}  {entry.size_bytes}"
    return entry.path + {"dir": "/", "link": "@"}.get(entry.type, "")


def _lines(text: str, first: int, last: int | None) -> str:
    lines = text.removesuffix("\n").split("\n")
    part = lines[first - 1 : last]
    if not part:
        raise ToolError(f"the file has {len(lines)} lines: there are none from {first} to {last or 'its end'}")
    return "\n".join(part)
