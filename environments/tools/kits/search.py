"""Searching and reading the offline corpus. The tools of a web, without its changes, its costs and its dangers."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from environments.tools.corpus import corpus
from environments.tools.corpus.index import SearchTimeoutError
from environments.tools.kit import Kit
from environments.tools.tool import ToolContext, ToolError, ToolResult, tool

PART_CHARS = 4000
PASSAGE_CHARS = 1000
MAX_QUERY_CHARS = 500
NOTHING = "Nothing was found. Try other words: the name of a country, a city or a chemical element."


class SearchKit(Kit):
    """Two tools: find pages, read one. What a search shows is not what a page says: facts take opening it."""

    name: ClassVar[str] = "search"

    @tool
    async def search_web(
        self,
        context: ToolContext,
        query: Annotated[str, Field(max_length=MAX_QUERY_CHARS)],
        limit: Annotated[int, Field(ge=1, le=20)] = 5,
    ) -> ToolResult:
        """Search for pages by words. Shows their ids and what they are about; open a page to read its facts.

        Args:
            query: A few words: names, and what is wanted of them.
            limit: At most so many pages.
        """
        try:
            hits = await (await corpus()).search(query, limit)
        except SearchTimeoutError as error:
            raise ToolError(f"{error}: use fewer words") from None
        if not hits:
            return ToolResult(
                "Nothing was found. Try other words: the name of a country, a city or a chemical element."
            )
        lines = [f"{place}. [{hit.page_id}] {hit.title}\n   {hit.lead}" for place, hit in enumerate(hits, 1)]
        return ToolResult("\n".join(lines), members={"hits": [hit.page_id for hit in hits]})

    @tool
    async def open_page(
        self,
        context: ToolContext,
        page_id: Annotated[str, Field(max_length=200)],
        part: Annotated[int, Field(ge=1)] = 1,
    ) -> ToolResult:
        """Read a page.

        Args:
            page_id: As a search shows it in brackets, such as country:NO.
            part: Which part of a long page, from 1.
        """
        page = await (await corpus()).page(page_id.strip().strip("[]"))
        if page is None:
            raise ToolError(
                f"there is no page {page_id[:80]!r}: search for it, and give the id that stands in brackets"
            )
        parts = max(1, -(-len(page.text) // PART_CHARS))
        if part > parts:
            raise ToolError(f"the page has {parts} {'part' if parts == 1 else 'parts'}, no part {part}")
        text = page.text[(part - 1) * PART_CHARS : part * PART_CHARS]
        more = f"\n[part {part} of {parts}]" if parts > 1 else ""
        return ToolResult(f"{page.title}\n\n{text}{more}", seen=(page.page_id,))


class RetrievalKit(Kit):
    """One tool: the texts of the best pages at once, as formats know it that have nothing but a search."""

    name: ClassVar[str] = "retrieval"

    @tool
    async def retrieve(
        self,
        context: ToolContext,
        query: Annotated[str, Field(max_length=MAX_QUERY_CHARS)],
        limit: Annotated[int, Field(ge=1, le=5)] = 3,
    ) -> ToolResult:
        """Search for pages by words, and read the beginnings of the best.

        Args:
            query: A few words: names, and what is wanted of them.
            limit: At most so many pages.
        """
        found = await corpus()
        try:
            pages = [await found.page(hit.page_id) for hit in await found.search(query, limit)]
        except SearchTimeoutError as error:
            raise ToolError(f"{error}: use fewer words") from None
        passages = [f"[{page.page_id}] {page.title}\n{page.text[:PASSAGE_CHARS]}" for page in pages if page is not None]
        return ToolResult(
            "\n\n".join(passages) or NOTHING, seen=tuple(page.page_id for page in pages if page is not None)
        )
