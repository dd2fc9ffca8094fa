"""A database inside a sandbox: takes requests on descriptor 3, answers on descriptor 4.

Its one argument is JSON, `{"database": path, "tables": {name: path}}`. Where the database is not there yet, its tables
are filled from the files, `.csv` and `.tsv` with a head line or a `.sql` script, all or none. A message is `{"tool":
"sql", "arguments": {"query"}}` or `{"tool": "tables", "arguments": {}}`; the answer has a text, `result` or `error`.

The database is a file, so that a checkpoint of files alone has it, and so that other programs of the policy may open
it. What is only this program's is gone with it: an open transaction, temporary tables.

Statements run one by one and count at once unless a transaction is begun; the first that fails ends the request. They
come from the policy, which has the same rights as this program, so the authorizer and the limits keep accidents in
bounds: no other file is opened, no statement takes more than its time (SIGINT is seen between instructions of the
database's machine) or much memory. What breaks through ends this program alone. Needs Python 3.11.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import sqlite3
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, NoReturn

MARK = 0x656E7673
"""The application id of a database whose tables are filled."""
HEAP_BYTES = 256 << 20
MAX_STATEMENTS = 50
MAX_ROWS = 1000
MAX_CHARS = 80_000
"""Of all that one request shows; an answer is refused past 100,000."""
MAX_CELL_CHARS = 1000
MAX_PADDING = 40
INSTRUCTIONS = 5000
BUSY_S = 2.0

LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 16 << 20,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 50,
}
PRAGMAS = {
    "foreign_key_check", "foreign_key_list", "foreign_keys", "index_info", "index_list", "index_xinfo",
    "integrity_check", "table_info", "table_list", "table_xinfo", "quick_check",
}  # fmt: skip
REFUSED = {sqlite3.SQLITE_ATTACH: "ATTACH and VACUUM", sqlite3.SQLITE_DETACH: "DETACH"}

INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
REAL = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
TOKEN = re.compile(
    r"'(?:[^']|'')*(?:'|\Z)|\"(?:[^\"]|\"\")*(?:\"|\Z)|`[^`]*`?|\[[^\]]*\]?|--[^\n]*|/\*.*?(?:\*/|\Z)|;", re.DOTALL
)
FRAME = re.compile(r"\s*(?:BEGIN|COMMIT|END|PRAGMA)\b", re.IGNORECASE)
"""What a dump has around its statements: they are filled in by one transaction anyway."""
TRIGGER = re.compile(r"\s*CREATE\s+(?:TEMP(?:ORARY)?\s+)?TRIGGER\b", re.IGNORECASE)


class Database:
    """One connection, and what was refused in the statement that runs."""

    def __init__(self, path: str, tables: dict[str, str]) -> None:
        self.connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        self.connection.text_factory = lambda data: data.decode("utf-8", "replace")
        self.connection.execute(f"PRAGMA hard_heap_limit = {HEAP_BYTES}")
        self.connection.execute("PRAGMA synchronous = OFF")  # a machine that fails takes the sandbox with it
        if self.connection.execute("PRAGMA application_id").fetchone() != (MARK,):
            self.fill(tables)
        for limit, most in LIMITS.items():
            self.connection.setlimit(limit, most)
        self.refused = ""
        self.connection.set_authorizer(self.authorize)
        self.connection.set_progress_handler(lambda: 0, INSTRUCTIONS)  # where Python sees that a signal has come

    def fill(self, tables: dict[str, str]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            for name, path in tables.items():
                if path.endswith(".sql"):
                    with Path(path).open(encoding="utf-8") as file:
                        for statement in statements(file.read()):
                            if not FRAME.match(without_comments(statement)):
                                self.connection.execute(statement)
                else:
                    fill_table(self.connection, name, path)
            self.connection.execute(f"PRAGMA application_id = {MARK}")
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.rollback()
            raise

    def authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_PRAGMA:
            allowed = (first or "").lower() in PRAGMAS
            self.refused = "" if allowed else f"PRAGMA {first}"
        elif action in REFUSED:
            self.refused = REFUSED[action]
        elif action == sqlite3.SQLITE_FUNCTION and (second or "").lower() == "load_extension":
            self.refused = "load_extension"
        return sqlite3.SQLITE_DENY if self.refused else sqlite3.SQLITE_OK

    def sql(self, query: str) -> dict[str, Any]:
        every = list(statements(query))
        if not every:
            return {"error": "there is no statement in it"}
        if len(every) > MAX_STATEMENTS:
            return {"error": f"there are {len(every)} statements, at most {MAX_STATEMENTS} are taken at once"}
        shown: list[str] = []
        room = MAX_CHARS
        for number, statement in enumerate(every, 1):
            try:
                text = self.statement(statement, room)
            except (sqlite3.Error, sqlite3.Warning, MemoryError, KeyboardInterrupt, ValueError, OverflowError) as error:
                return {"error": "\n\n".join([self.failure(error, number, len(every)), *shown])}
            head = f"[{number}] {' '.join(statement.split())[:60]}\n" if len(every) > 1 else ""
            shown.append(head + text)
            room = max(0, room - len(head) - len(text))
        if self.connection.in_transaction:
            shown.append("[a transaction is open]")
        return {"result": "\n\n".join(shown)}

    def statement(self, statement: str, room: int) -> str:
        self.refused = ""
        before = self.connection.total_changes
        cursor = self.connection.execute(statement)
        text = table(cursor, room)[: room + MAX_CELL_CHARS] if cursor.description else ""
        cursor.close()
        changed = self.connection.total_changes - before
        if changed:
            note = f"({changed} {'row' if changed == 1 else 'rows'} changed)"
            return f"{text}\n{note}" if text else note
        return text or "(done)"

    def failure(self, error: BaseException, number: int, count: int) -> str:
        if isinstance(error, KeyboardInterrupt) or STOPPED:
            why = "it took too long and was interrupted"
        elif isinstance(error, MemoryError):
            why = "it needs too much memory"
        elif self.refused:
            why = f"{self.refused} cannot be used here"
        else:
            why = str(error)[:MAX_CELL_CHARS]
        if count == 1:
            return why
        before = {1: "nothing was carried out", 2: "the one before was carried out"}
        return f"statement {number} of {count}: {why}; {before.get(number, 'those before were carried out')}"

    def tables(self) -> dict[str, Any]:
        self.refused = ""
        names = self.connection.execute(
            "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%'"
            " ESCAPE '\\' ORDER BY name"
        ).fetchall()
        shown: list[str] = []
        try:
            for name, kind in names:
                ((rows,),) = self.connection.execute(f"SELECT count(*) FROM {quoted(name)}").fetchall()
                columns = self.connection.execute(f"PRAGMA table_info({quoted(name)})").fetchall()
                note = ", a view" if kind == "view" else ""
                shown.append(f"{name} ({rows} {'row' if rows == 1 else 'rows'}{note})")
                shown += [f"  {quoted_if_needed(column)} {described(rest)}".rstrip() for _, column, *rest in columns]
        except (sqlite3.Error, KeyboardInterrupt) as error:
            return {"error": self.failure(error, 1, 1)}
        return {"result": "\n".join(shown)[:MAX_CHARS] or "(there is no table)"}


def described(rest: Sequence[Any]) -> str:
    """Of a column's type, NOT NULL, default and place in the key."""
    kind, required, _, key = rest
    return f"{kind}{' PRIMARY KEY' if key else ''}{' NOT NULL' if required else ''}"


def statements(text: str) -> Iterator[str]:
    """Cut at semicolons that are no part of a text, a comment or a trigger's body. Linear, but for triggers."""
    start = 0
    for token in TOKEN.finditer(text):
        if token.group() != ";":
            continue
        part = text[start : token.end()]
        if TRIGGER.match(without_comments(part)) and not sqlite3.complete_statement(part):
            continue
        if without_comments(part).strip(" \t\r\n;"):
            yield part
        start = token.end()
    if without_comments(text[start:]).strip():
        yield text[start:]


def without_comments(text: str) -> str:
    return TOKEN.sub(lambda token: " " if token.group().startswith(("--", "/*")) else token.group(), text)


def table(cursor: sqlite3.Cursor, room: int) -> str:
    """Rows as lines of cells, as many as there is room for."""
    head = [cell(column[0]) for column in cursor.description]
    rows: list[list[str]] = []
    used, more = 0, False
    for row in cursor:
        cells = [cell(value) for value in row]
        used += sum(map(len, cells)) + 3 * len(cells)
        if len(rows) == MAX_ROWS or used > room:
            more = True
            break
        rows.append(cells)
    widths = [min(MAX_PADDING, max(map(len, column))) for column in zip(head, *rows, strict=True)]
    lines = [line(head, widths), "-+-".join("-" * width for width in widths)]
    size = 0
    for row in rows:
        text = line(row, widths)
        size += len(text) + 1
        if size > room:
            more = True
            break
        lines.append(text)
    count = len(lines) - 2
    note = f"(the first {count} rows; there are more)" if more else f"({count} {'row' if count == 1 else 'rows'})"
    return "\n".join([*lines, note])


def line(cells: list[str], widths: list[int]) -> str:
    return " | ".join(text.ljust(width) for text, width in zip(cells, widths, strict=True)).rstrip()


def cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        text = f"x'{value[: MAX_CELL_CHARS // 2].hex()}'"
        return text if len(value) <= MAX_CELL_CHARS // 2 else f"{text}... ({len(value)} bytes)"
    text = str(value)
    if len(text) > MAX_CELL_CHARS:
        text = f"{text[:MAX_CELL_CHARS]}... ({len(text)} characters)"
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def quoted_if_needed(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else quoted(name)


def fill_table(connection: sqlite3.Connection, name: str, path: str) -> None:
    """A table from a file with a head line. A column is of the narrowest type that all its values have."""
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, delimiter="\t" if path.endswith(".tsv") else ",", strict=True)
        head = next(rows, None)
        if not head:
            raise ValueError(f"{path} has no head line")
        values = []
        for row in rows:
            if row and len(row) != len(head):
                raise ValueError(f"{path}: line {rows.line_num} has {len(row)} cells, the head line {len(head)}")
            if row:
                values.append([text if text else None for text in row])
    kinds = [kind_of(column) for column in zip(*values, strict=True)] if values else ["TEXT"] * len(head)
    columns = ", ".join(f"{quoted(column.strip())} {kind}" for column, kind in zip(head, kinds, strict=True))
    connection.execute(f"CREATE TABLE {quoted(name)} ({columns})")
    connection.executemany(f"INSERT INTO {quoted(name)} VALUES ({', '.join('?' * len(head))})", values)


def kind_of(column: Sequence[str | None]) -> str:
    texts = [text for text in column if text is not None]
    if texts and all(INTEGER.fullmatch(text) for text in texts):
        return "INTEGER"
    if texts and all(REAL.fullmatch(text) for text in texts):
        return "REAL"
    return "TEXT"


STOPPED: list[int] = []
"""Not empty once SIGINT has come during a request."""


def stop(number: int, frame: object) -> NoReturn:
    STOPPED.append(number)
    raise KeyboardInterrupt


def answer(database: Database, request: dict[str, Any]) -> dict[str, Any]:
    STOPPED.clear()
    tools: dict[str, Callable[..., dict[str, Any]]] = {"sql": database.sql, "tables": database.tables}
    try:
        signal.signal(signal.SIGINT, stop)
        try:
            return tools[request["tool"]](**request["arguments"])
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        return {"error": "it took too long and was interrupted"}
    except MemoryError:
        return {"error": "it needs too much memory"}
    except sqlite3.Error as error:
        return {"error": str(error)}


def read_message(descriptor: int) -> bytes | None:
    length = b""
    while not length.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            return None
        length += byte
    data, size = b"", int(length)
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        if not part:
            return None
        data += part
    return data


def write_message(descriptor: int, data: bytes) -> None:
    data = b"%d\n%s" % (len(data), data)
    while data:
        data = data[os.write(descriptor, data) :]


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = json.loads(sys.argv[1])
    database = None
    while (message := read_message(3)) is not None:
        try:
            database = database or Database(settings["database"], settings["tables"])
        except (OSError, ValueError, csv.Error, sqlite3.Error) as error:
            said: dict[str, Any] = {"error": f"the database cannot be opened: {error}"}
        else:
            said = answer(database, json.loads(message))
        write_message(4, json.dumps(said, ensure_ascii=False).encode("utf-8", "backslashreplace"))


if __name__ == "__main__":
    main()
