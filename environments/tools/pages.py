"""Long results in pages: the first is shown, the rest is kept in the sandbox and read by the tool `read_result`.

They are kept where the policy's own programs can read them too: a table that was looked up is a file to compute with.
A kept result belongs to the sandbox, so a checkpoint saves it and a fork has it. Nothing of it counts for a reward.
"""

from __future__ import annotations

from environments.environment import JsonObject
from environments.tools.tool import Tool, ToolContext, ToolError, ToolResult, tool
from envserver.runtimes.base import Sandbox, SandboxFileError

FOLDER = "/workspace/.results"
MAX_RESULT_BYTES = 4 << 20
"""Of a result that is kept; the rest of it is cut off."""


class Pages:
    """The kept results of one episode."""

    def __init__(self, page_chars: int) -> None:
        self._page_chars = page_chars
        self.kept: set[int] = set()
        """Numbers of the calls whose results are kept."""
        self.tools: dict[str, Tool] = {"read_result": self.read_result.bind(self)}

    @tool
    async def read_result(self, context: ToolContext, number: int, page: int) -> ToolResult:
        """Read another page of a long result.

        Args:
            number: The number of the observation that was cut.
            page: Which page of it, from 1.
        """
        if number not in self.kept:
            raise ToolError(f"observation {number} has no more pages; there are {sorted(self.kept)}")
        try:
            data = await context.sandbox.read_file(path_of(number), max_bytes=MAX_RESULT_BYTES)
        except SandboxFileError as error:
            raise ToolError(f"the result was kept in {error.path}, which cannot be read: {error.code}") from None
        text = data.decode("utf-8", "replace")
        pages = self._count(text)
        if not 1 <= page <= pages:
            raise ToolError(f"there is no page {page}; observation {number} has {pages}")
        part = text[(page - 1) * self._page_chars : page * self._page_chars]
        return ToolResult(part, members={"page": page, "pages": pages})

    async def show(self, sandbox: Sandbox, number: int, text: str) -> JsonObject:
        """The first page of a result, and of how many. Raises: SandboxGoneError."""
        pages = self._count(text)
        if pages == 1:
            return {"content": text}
        data = text.encode("utf-8", "replace")[:MAX_RESULT_BYTES]
        first = text[: self._page_chars]
        try:
            await sandbox.write_file(path_of(number), data)
        except SandboxFileError as error:
            return {"content": f"{first}\n[... {len(text) - len(first)} more characters: not kept, {error.code}]"}
        self.kept.add(number)
        note = f"[page 1 of {pages}; the next: read_result(number={number}, page=2); all of it: {path_of(number)}]"
        return {"content": f"{first}\n{note}", "page": 1, "pages": pages}

    def _count(self, text: str) -> int:
        return max(1, -(-len(text) // self._page_chars))

    def snapshot(self) -> list[int]:
        return sorted(self.kept)

    def restore(self, state: list[int]) -> None:
        self.kept = set(state)


def path_of(number: int) -> str:
    """Where the result of a call is kept."""
    return f"{FOLDER}/{number}.txt"
