"""An export as bytes, in pieces: JSON, or a zip of CSV files whose cells no spreadsheet takes for a formula."""

import csv
import io
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from services.decision.arrivals import stamp
from services.decision.export.columns import FORM, KINDS, TABLES, Column, Table

Record = dict[str, Any]
Records = AsyncIterator[tuple[Table, Record | None]]

PIECE: Final = 64 * 1024
"""Bytes gathered before they are handed on."""
# What a spreadsheet begins a formula with, in both widths, and our own mark.
_ACTS: Final = tuple("=+-@＝＋－＠'")


async def as_json(records: Records, tenant: str, athlete: str, at: datetime | None = None) -> AsyncGenerator[bytes, None]:
    """One object: `milepost_export`, whose it is, a list per table, and how many records each list has."""
    made = stamp(at or datetime.now(UTC))
    out = bytearray(orjson.dumps({"milepost_export": FORM, "made_at": made, "tenant": tenant, "subject": athlete})[:-1])
    counts: dict[str, int] = {}
    async for table, record in records:
        if record is None:
            out += (b"],\n" if counts else b",\n") + orjson.dumps(table.name) + b":["
            counts[table.name] = 0
        else:
            out += (b",\n" if counts[table.name] else b"\n") + orjson.dumps(record)
            counts[table.name] += 1
        if len(out) >= PIECE:
            yield bytes(out)
            out.clear()
    yield bytes(out + b'],\n"counts":' + orjson.dumps(counts) + b"}\n")


async def as_csv(records: Records, at: datetime | None = None) -> AsyncGenerator[bytes, None]:
    """A zip with `columns.csv` and one file per table."""
    sink = _Sink()
    made = (at or datetime.now(UTC)).timetuple()[:6]
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_entry("columns.csv", made), _described())
        current: Table | None = None
        file: Any = None
        async for table, record in records:
            if record is None:
                if file is not None:
                    file.close()
                current, file = table, archive.open(_entry(f"{table.name}.csv", made), "w")
                file.write(_line([column.name for column in table.columns]))
            else:
                assert current is table, "a table begins before its records"
                file.write(_line([_cell(column, record[column.name]) for column in table.columns]))
            if sink.size >= PIECE:
                yield sink.taken()
        if file is not None:
            file.close()
    yield sink.taken()


def safe(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula.

    >>> safe("=1+1"), safe("-5"), safe("'quoted"), safe(" +1"), safe("2+")
    ("'=1+1", "'-5", "''quoted", "' +1", '2+')
    """
    return "'" + text if text[:1].isspace() or text.startswith(_ACTS) else text


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.kind == "integer":
        return str(value)
    if column.kind in ("json", "list"):
        return safe(orjson.dumps(value).decode())
    return safe(str(value))


def _described() -> bytes:
    rows = [["table", "column", "form", "says"]]
    rows += [[table.name, column.name, KINDS[column.kind], column.says] for table in TABLES for column in table.columns]
    return b"".join(map(_line, rows))


def _line(cells: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode()


def _entry(name: str, made: tuple[int, ...]) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, made)  # type: ignore[arg-type]
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


class _Sink(io.RawIOBase):
    """Where the zip is written to: kept until it is taken. It cannot seek, so sizes follow the contents."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def size(self) -> int:
        return len(self._held)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        found = bytes(self._held)
        self._held.clear()
        return found
