"""Parquet: a row a step, with the columns of `columns.py`.

pyarrow is an extra, and imported with the first export. A file is written in row groups into memory that is sent and
emptied after each, so that an export holds one group and one trajectory, however long it is. Flattening and
compressing take time and run in a thread.
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib import import_module
from types import ModuleType
from typing import Any

from envserver.episodes.trajectory import Record
from envserver.export.columns import COLUMNS, rows_of
from envserver.export.selection import Damaged, Selection
from envserver_sdk.errors import NotSupported

MEDIA_TYPE = "application/vnd.apache.parquet"
GROUP_BYTES = 16 << 20
GROUP_ROWS = 16_384
COMPRESSION = "zstd"


async def import_pyarrow() -> ModuleType:
    """pyarrow with its `parquet`. Raises: NotSupported."""
    try:
        return await asyncio.to_thread(_import)
    except ImportError as error:
        raise NotSupported(
            "this server writes no Parquet: install pyarrow beside it, `pip install 'envserver[parquet]'`; "
            "format=jsonl works without",
            capability="parquet",
        ) from error


def _import() -> ModuleType:
    import_module("pyarrow.parquet")  # which becomes its attribute
    return import_module("pyarrow")


async def write_parquet(selection: Selection, pa: ModuleType) -> AsyncGenerator[bytes, None]:
    """The file, in pieces. What is damaged is named in its metadata. Raises: JournalError."""
    file = await asyncio.to_thread(ParquetFile, pa)
    async with aclosing(selection.records()) as records:
        async for each in records:
            if isinstance(each, Damaged):
                file.damaged.append(each.episode_id)
            elif await asyncio.to_thread(file.add, each):
                yield file.take()
            del each
    await asyncio.to_thread(file.finish)
    yield file.take()


class ParquetFile:
    """A file that is taken away while it is written; one thread at a time."""

    def __init__(self, pa: ModuleType) -> None:
        self.damaged: list[str] = []
        """Episodes whose record could not be read."""
        self._pa = pa
        self._sink = _Sink()
        types = {"string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "bool": pa.bool_()}
        fields = [
            pa.field(column.name, types[column.type], metadata={"description": column.meaning}) for column in COLUMNS
        ]
        self._schema = pa.schema(fields)
        self._writer = pa.parquet.ParquetWriter(self._sink, self._schema, compression=COMPRESSION)
        self._rows: list[tuple[Any, ...]] = []
        self._bytes = 0

    def add(self, record: Record) -> bool:
        """Whether there is something to take."""
        rows = rows_of(record)
        self._rows += rows
        self._bytes += sum(len(value) for row in rows for value in row if isinstance(value, (str, bytes)))
        if self._bytes < GROUP_BYTES and len(self._rows) < GROUP_ROWS:
            return False
        self._write_group()
        return True

    def finish(self) -> None:
        if self._rows:
            self._write_group()
        self._writer.add_key_value_metadata({"envserver.damaged": json.dumps(self.damaged)})
        self._writer.close()

    def take(self) -> bytes:
        """What was written since."""
        return self._sink.take()

    def _write_group(self) -> None:
        columns = zip(*self._rows, strict=True)
        arrays = [self._pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(self._pa.table(arrays, schema=self._schema), row_group_size=len(self._rows))
        self._rows, self._bytes = [], 0


class _Sink(io.RawIOBase):
    """A file without an end, whose beginning is taken away."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()
        self._taken = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._taken + len(self._held)

    def write(self, data: Any) -> int:
        before = len(self._held)
        self._held += data
        return len(self._held) - before

    def take(self) -> bytes:
        taken = bytes(self._held)
        self._taken += len(taken)
        self._held.clear()
        return taken
