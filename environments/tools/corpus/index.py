"""The index: SQLite's full-text search over the pages, built by each process at its first use, in about a second.

It is in memory, a copy for each thread that searches: no file that could be stale, shared or tampered with. Queries run
on threads of their own, and are stopped when they take too long.
"""

from __future__ import annotations

import asyncio
import math
import re
import sqlite3
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cache

from environments.tools.corpus.pages import documents

THREADS = 2
QUERY_S = 2.0
MAX_WORDS = 16
MAX_HITS = 20
COMMON_SHARE = 0.25
"""A word that more of the pages have says little, and is looked for only if there is no other."""
_WORD = re.compile(r"\w+")

_SCHEMA = """
CREATE VIRTUAL TABLE pages USING fts5(
    title, lead, facts, page_id UNINDEXED, weight UNINDEXED, tokenize = "unicode61 remove_diacritics 2"
);
CREATE TABLE places (page_id TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5vocab(pages, row);
"""
# A match in the title counts most. Of pages that match alike, the one that more people would mean comes first.
_SEARCH = """
SELECT page_id, title, lead FROM pages WHERE pages MATCH ?
ORDER BY bm25(pages, 8.0, 2.0, 1.0) - 0.6 * weight LIMIT ?
"""
_INSERT = "INSERT INTO pages (rowid, title, lead, facts, page_id, weight) VALUES (?, ?, ?, ?, ?, ?)"
_READ = """
SELECT places.page_id, title, lead, facts FROM places JOIN pages ON pages.rowid = place WHERE places.page_id = ?
"""


@dataclass(frozen=True)
class Hit:
    """A page that a search found."""

    page_id: str
    title: str
    lead: str


@dataclass(frozen=True)
class Page:
    page_id: str
    title: str
    text: str


class SearchTimeoutError(Exception):
    """A query took too long."""


class Corpus:
    """Every page, to be searched and read. Safe for any number of tasks of one event loop."""

    def __init__(self) -> None:
        """Builds the index; blocks for about a second."""
        self._local = threading.local()
        self._data, self._common = _build()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="corpus")

    async def search(self, query: str, limit: int = 5) -> list[Hit]:
        """The best pages first. Raises: SearchTimeoutError."""
        words = list(dict.fromkeys(_WORD.findall(_bare(query.lower()))))[:MAX_WORDS]
        if not words:
            return []
        telling = [word for word in words if word not in self._common] or words
        match = " OR ".join(f'"{word}"' for word in telling)
        rows = await self._run(_SEARCH, (match, min(limit, MAX_HITS)))
        return [Hit(*row) for row in rows]

    async def page(self, page_id: str) -> Page | None:
        """Raises: SearchTimeoutError."""
        rows = await self._run(_READ, (page_id,))
        return Page(rows[0][0], rows[0][1], f"{rows[0][2]}\n\n{rows[0][3]}") if rows else None

    async def _run(self, statement: str, values: tuple[object, ...]) -> list[tuple[str, ...]]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._query, statement, values)

    def _query(self, statement: str, values: tuple[object, ...]) -> list[tuple[str, ...]]:
        connection = self._connection()
        ends_at = time.monotonic() + QUERY_S
        connection.set_progress_handler(lambda: time.monotonic() > ends_at, 10_000)
        try:
            return connection.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise SearchTimeoutError(f"the query took longer than {QUERY_S:g} s") from None
            raise

    def _connection(self) -> sqlite3.Connection:
        """This thread's."""
        if not hasattr(self._local, "connection"):
            self._local.connection = sqlite3.connect(":memory:")
            self._local.connection.deserialize(self._data)
        connection: sqlite3.Connection = self._local.connection
        return connection


def _build() -> tuple[bytes, frozenset[str]]:
    """The database, and the words that too many pages have."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(f"{_SCHEMA} BEGIN;")
        rows = [
            (place, page.title, page.lead, page.facts, page.page_id, math.log10(1 + page.weight))
            for place, page in enumerate(documents(), 1)
        ]
        connection.executemany(_INSERT, rows)
        connection.executemany("INSERT INTO places VALUES (?, ?)", sorted((row[4], row[0]) for row in rows))
        connection.execute("COMMIT")
        common = connection.execute("SELECT term FROM words WHERE doc > ?", (len(rows) * COMMON_SHARE,))
        return connection.serialize(), frozenset(row[0] for row in common)


def _bare(word: str) -> str:
    """As the index has it: without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", word) if not unicodedata.combining(letter))


@cache
def _corpus() -> Corpus:
    return Corpus()


_building = threading.Lock()


def _built() -> Corpus:
    with _building:
        return _corpus()


async def corpus() -> Corpus:
    """This process's, built at its first use, off the event loop."""
    return _corpus() if _corpus.cache_info().currsize else await asyncio.to_thread(_built)
