"""The database: filled from files, asked and changed by a policy, and never in the way of what else runs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from environments.environment import StepContext
from environments.tasks import GraderSpec, Task
from environments.tools.guest import sql_session
from environments.tools.kits.sql import DATABASE, SqlKit
from environments.tools.tool import ArgumentsError, ToolContext, ToolResult
from envserver_sdk.models import Outcome
from tests.unit.local_sandbox import LocalSandbox

FRUIT = 'id,name,price,code,none\n1,apple,0.5,007,\n2,"pear, ""green""",,010,\n\n3,fig\u00fc,2,1,\n'
DUMP = """PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE "or der" (id INTEGER PRIMARY KEY, note TEXT NOT NULL); -- ; is no end here
INSERT INTO "or der" VALUES (1, 'a;b''c'), (2, 'x');
CREATE VIEW short AS SELECT id FROM "or der";
COMMIT;
"""
FOREVER = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"


def task_of(tables: Mapping[str, Any], files: Mapping[str, str] = {}) -> Task:
    data = {path: text.encode() for path, text in files.items()}
    return Task("t", "Ask.", GraderSpec("answer"), files=data, public={"sql": {"tables": tables}})


TASK = task_of(
    {"fruit": "/workspace/fruit.csv", "orders": "/workspace/dump.sql"},
    {"/workspace/fruit.csv": FRUIT, "/workspace/dump.sql": DUMP},
)


class Desk:
    def __init__(self, root: Path) -> None:
        self.sandbox = LocalSandbox(root)
        self.kit = SqlKit()

    async def begin(self, task: Task) -> None:
        for path, data in task.files.items():
            await self.sandbox.write_file(path, data)
        await self.kit.begin(self.sandbox, task, 0)

    async def call(self, name: str, timeout_s: float = 20.0, **arguments: Any) -> ToolResult:
        return await self.kit.tools[name].call(ToolContext(self.sandbox, StepContext(timeout_s), 1), arguments)

    async def sql(self, query: str, timeout_s: float = 20.0) -> ToolResult:
        return await self.call("sql", timeout_s, query=query)


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "desk")
    await made.begin(TASK)
    yield made
    await made.sandbox.destroy()


async def test_tables_are_filled_from_files_with_types_that_their_values_have(desk: Desk) -> None:
    assert (await desk.call("tables")).text == (
        "fruit (3 rows)\n  id INTEGER\n  name TEXT\n  price REAL\n  code TEXT\n  none TEXT\n"
        "or der (2 rows)\n  id INTEGER PRIMARY KEY\n  note TEXT NOT NULL\n"
        "short (2 rows, a view)\n  id INTEGER"
    )


async def test_rows_are_a_table_of_text(desk: Desk) -> None:
    assert (await desk.sql("SELECT id, name, price, code FROM fruit ORDER BY id")).text == (
        "id | name          | price | code\n"
        "---+---------------+-------+-----\n"
        "1  | apple         | 0.5   | 007\n"
        '2  | pear, "green" | NULL  | 010\n'
        "3  | fig\u00fc          | 2.0   | 1\n"
        "(3 rows)"
    )
    assert (await desk.sql('SELECT note FROM "or der" WHERE id = 1')).text.splitlines()[2] == "a;b'c"


async def test_it_can_be_changed(desk: Desk) -> None:
    assert (await desk.sql("UPDATE fruit SET price = 1 WHERE id > 1")).text == "(2 rows changed)"
    assert (await desk.sql("CREATE TABLE t (x)")).text == "(done)"
    assert (await desk.sql("INSERT INTO t VALUES (5) RETURNING x")).text == "x\n-\n5\n(1 row)\n(1 row changed)"
    assert (await desk.sql("SELECT sum(price) AS s FROM fruit")).text.splitlines()[2] == "2.5"


async def test_several_statements_count_one_by_one_until_one_fails(desk: Desk) -> None:
    done = await desk.sql("INSERT INTO fruit (id) VALUES (4); SELECT max(id) AS m FROM fruit; -- the end")
    assert done.text == (
        "[1] INSERT INTO fruit (id) VALUES (4);\n(1 row changed)\n\n"
        "[2] SELECT max(id) AS m FROM fruit;\nm\n-\n4\n(1 row)"
    )
    failed = await desk.sql("INSERT INTO fruit (id) VALUES (5); SELECT missing; INSERT INTO fruit (id) VALUES (6)")
    assert failed.error
    assert failed.text.startswith("Error: statement 2 of 3: no such column: missing; the one before was carried out")
    assert (await desk.sql("SELECT max(id) AS m FROM fruit")).text.splitlines()[2] == "5"


async def test_a_transaction_lasts_and_is_told(desk: Desk) -> None:
    assert (await desk.sql("BEGIN; DELETE FROM fruit")).text.endswith("[a transaction is open]")
    assert (await desk.sql("SELECT count(*) AS n FROM fruit")).text.splitlines()[2] == "0"
    await desk.sql("ROLLBACK")
    assert (await desk.sql("SELECT count(*) AS n FROM fruit")).text.splitlines()[2] == "3"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELEC 1", 'near "SELEC": syntax error'),
        ("SELECT * FROM missing", "no such table: missing"),
        (" ; -- nothing", "there is no statement in it"),
        ("ATTACH 'x.sqlite' AS x", "ATTACH and VACUUM cannot be used here"),
        ("VACUUM INTO 'x.sqlite'", "ATTACH and VACUUM cannot be used here"),
        ("PRAGMA hard_heap_limit = 0", "PRAGMA hard_heap_limit cannot be used here"),
        ("PRAGMA writable_schema = 1", "PRAGMA writable_schema cannot be used here"),
        ("SELECT load_extension('x')", "load_extension cannot be used here"),
        ("SELECT zeroblob(20000000)", "too big"),
        ("SELECT " + "+".join("1" * 300), "maximum depth 200"),
        ("SELECT 1;" * 51, "there are 51 statements, at most 50"),
        ("SELECT 'unfinished", "unrecognized token"),
    ],
)
async def test_what_cannot_be_done_is_told(desk: Desk, query: str, problem: str) -> None:
    result = await desk.sql(query)
    assert result.error
    assert problem in result.text
    assert not (desk.sandbox.root / "workspace/x.sqlite").exists()
    assert (await desk.sql("SELECT 1")).text == "1\n-\n1\n(1 row)", "a refusal is not remembered"


async def test_a_statement_that_runs_too_long_is_interrupted_and_undone(desk: Desk) -> None:
    slow = FOREVER.replace("SELECT count(*)", "INSERT INTO fruit (id) SELECT n")
    result = await desk.sql(slow, timeout_s=0.5)
    assert (result.error, result.outcome) == (True, Outcome.POLICY_TIMEOUT)
    assert "its state live on" in result.text
    assert (await desk.sql("SELECT count(*) AS n FROM fruit")).text.splitlines()[2] == "3"


async def test_results_are_bounded(desk: Desk) -> None:
    numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 5000) "
    many = await desk.sql(numbers + "SELECT n FROM c")
    assert many.text.endswith("\n1000\n(the first 1000 rows; there are more)")
    wide = await desk.sql(numbers + "SELECT printf('%2000d', n), char(128512) FROM c")
    assert len(wide.text) < 90_000
    assert "... (2000 characters)" in wide.text
    assert "there are more)" in wide.text
    smile = chr(128512)
    smiles = [f"printf('%.1000c', char(128512)) AS '{smile * 36}{number}'" for number in range(78)]
    assert smile * 1000 in (await desk.sql(f"SELECT {', '.join(smiles)}")).text, "four bytes each still are a message"
    await desk.sql(f"CREATE TABLE wide ({', '.join(f'{chr(120) * 800}{number}' for number in range(100))})")
    assert not (await desk.sql("SELECT * FROM wide AS one, wide AS other")).error


def test_no_more_rows_are_read_than_are_shown() -> None:
    class Endless:
        description = (("x",),)
        read = 0

        def __iter__(self) -> Iterator[tuple[str]]:
            while True:
                self.read += 1
                yield ("x" * 900,)

    cursor: Any = Endless()
    assert sql_session.table(cursor, 10_000).endswith("(the first 11 rows; there are more)")
    assert cursor.read < 20


async def test_values_of_every_kind_are_one_line(desk: Desk) -> None:
    result = await desk.sql("SELECT NULL AS a, 1.5 AS b, x'00ff' AS c, 'two' || char(10) || 'lines' AS d")
    assert result.text.splitlines()[2] == "NULL | 1.5 | x'00ff' | two\\nlines"


async def test_a_trigger_is_one_statement(desk: Desk) -> None:
    await desk.sql(
        'CREATE TRIGGER both AFTER INSERT ON fruit BEGIN UPDATE fruit SET price = 9; DELETE FROM "or der"; END;'
        "INSERT INTO fruit (id) VALUES (9)"
    )
    assert (await desk.sql('SELECT count(*) AS n FROM "or der"')).text.splitlines()[2] == "0"


async def test_what_fails_on_a_full_disk_says_so(desk: Desk) -> None:
    desk.sandbox.room = False
    assert (await desk.sql("SELECT 1")).outcome is Outcome.OK
    assert (await desk.sql("SELECT")).outcome is Outcome.DISK_FULL


async def test_other_programs_may_open_the_file(desk: Desk) -> None:
    path = desk.sandbox.root / DATABASE.removeprefix("/")
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO fruit (id) VALUES (77)")
    other.close()
    assert (await desk.sql("SELECT max(id) AS m FROM fruit")).text.splitlines()[2] == "77"


async def test_a_program_that_ended_goes_on_from_the_file(desk: Desk) -> None:
    await desk.sql("DELETE FROM fruit WHERE id = 1; BEGIN; DELETE FROM fruit")
    state = json.loads(json.dumps(desk.kit.snapshot()))
    await desk.sandbox.stop_processes()
    desk.kit = SqlKit()
    desk.kit.restore(desk.sandbox, TASK, state)
    result = await desk.sql("SELECT count(*) AS n FROM fruit")
    assert result.text.splitlines()[2] == "2", "what was done is kept, what was open is undone, nothing is filled anew"
    assert "this step began a new session" in result.text


async def test_a_task_without_tables_has_an_empty_database(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk")
    await desk.begin(Task("t", "Ask.", GraderSpec("answer")))
    assert desk.sandbox.guest.sessions == {}, "not started before it is used"
    assert (await desk.call("tables")).text == "(there is no table)"
    await desk.sandbox.destroy()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", "x,y\n1\n", "a.csv: line 2 has 1 cells, the head line 2"),
        ("a.csv", "", "a.csv has no head line"),
        ("a.csv", 'x\n"open', "unexpected end of data"),
        ("a.csv", "x,x\n1,2\n", "duplicate column name"),
        ("a.sql", "CREATE TABLE a (x); INSERT INTO b VALUES (1)", "no such table: b"),
        ("a.tsv", "x\ty\n1\t2\t3\n", "a.tsv: line 2 has 3 cells"),
    ],
)
async def test_a_task_whose_tables_cannot_be_filled_is_refused(
    tmp_path: Path, name: str, content: str, problem: str
) -> None:
    desk = Desk(tmp_path / "desk")
    with pytest.raises(ValueError, match=problem):
        await desk.begin(task_of({"a": f"/workspace/{name}"}, {f"/workspace/{name}": content}))
    await desk.sandbox.destroy()


@pytest.mark.parametrize("path", ["fruit.csv", "/workspace/fruit.xls", 3])
async def test_a_task_that_names_no_such_file_is_refused(tmp_path: Path, path: Any) -> None:
    with pytest.raises(ValueError, match=r"sql\.tables\.a of task t is"):
        await Desk(tmp_path).begin(task_of({"a": path}))


async def test_a_query_is_a_text_of_some_length(desk: Desk) -> None:
    for query in ("", "x" * 100_001):
        with pytest.raises(ArgumentsError, match="query"):
            await desk.sql(query)


PARTS = st.sampled_from(["1", "'a;b'", "'it''s;'", '"a;b"', "`;`", "[;]", "-- ';\n", "/* ; ' */", "''", " ", "x"])
STATEMENTS = st.lists(PARTS, max_size=8).map(lambda parts: f"SELECT {' '.join(parts)}\n;")


@given(st.lists(STATEMENTS, max_size=5), st.sampled_from(["", " ", ";", " ; -- no more", "/* nor here"]))
def test_a_text_is_cut_between_its_statements(written: list[str], end: str) -> None:
    assert [part.strip() for part in sql_session.statements("\n".join(written) + end)] == written
    assert all(sqlite3.complete_statement(statement) for statement in written)


@given(st.text(alphabet="'\"`[]-/*;\n CREATEtrig", max_size=300))
def test_any_text_is_cut_without_loss(text: str) -> None:
    found = "".join(sql_session.statements(text))
    meant = sql_session.without_comments(text)
    assert [c for c in sql_session.without_comments(found) if c not in "; \n"] == [c for c in meant if c not in "; \n"]
