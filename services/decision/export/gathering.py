"""Rows of history as the records of an export."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from services.decision.arrivals import stamp
from services.decision.export.columns import TABLES, Table
from services.decision.lifecycle import store as packs
from services.decision.packs import Published
from services.decision.rendering import render
from services.decision.store import erasures, exports
from services.decision.store.bodies import envelopes
from services.decision.store.connection import Connection
from shared.placing import pseudonym

Record = dict[str, Any]
Row = Mapping[str, Any]


class NothingKnown(Exception):
    """History has nothing of this athlete; or, with `erased`, was asked to forget them."""

    def __init__(self, erased: bool) -> None:
        super().__init__("erased" if erased else "unknown")
        self.erased = erased


async def gather(
    connection: Connection, library: Published, pseudonym_key: bytes, tenant: str, athlete: str
) -> AsyncGenerator[tuple[Table, Record | None], None]:
    """Every record of every table in order, as it stands at one moment; each table begins with None. `library` has everything published,
    `pseudonym_key` finds out who was erased. Raises `NothingKnown` before the first.
    """
    async with exports.snapshot(connection):
        if await erasures.of(connection, tenant, pseudonym(pseudonym_key, tenant, athlete)) is not None:
            raise NothingKnown(erased=True)
        # A pseudonym names the record of an erasure, and no athlete.
        if not await exports.is_known(connection, tenant, athlete) or await erasures.of(connection, tenant, athlete) is not None:
            raise NothingKnown(erased=False)
        sealed = await envelopes(connection, [(tenant, athlete)])
        named: dict[str, Record] = {}
        for table in TABLES:
            yield table, None
            if table.name == "packs":
                for record in await _packs(connection, library, tenant, named):
                    yield table, record
                continue
            async with aclosing(exports.rows(connection, sealed, table.name, tenant, athlete)) as rows:
                async for row in rows:
                    record = _OF.get(table.name, dict)(row)
                    if table.name == "decisions":
                        protocol = record["decision"]["protocol"]
                        named[protocol["hash"]] = protocol
                        record["explanation"] = render(record["decision"], "athlete", library.by_hash.get(protocol["hash"]))["text"]
                    yield table, {column.name: _plain(record.get(column.name)) for column in table.columns}


def _event(row: Row) -> Record:
    return {**row, "event": _json(row["body"])}


def _decision(row: Row) -> Record:
    body = orjson.loads(row["body"])
    told = {name: body[name] for name in ("action", "from_step", "to_step", "running", "urgency", "not_before", "summary")}
    return {**row, **told, "decision": body}


def _answer(row: Row) -> Record:
    found = _json(row["body"])
    body = found if isinstance(found, dict) else {}
    data = body["data"] if isinstance(body.get("data"), dict) else {}
    said = {name: data.get(name) for name in ("decision", "of", "answer", "step", "reason", "by")}
    return {**row, "course": body.get("course"), **said}


def _notice(row: Row) -> Record:
    return {**row, "notice": _json(row["body"])}


def _delivery(row: Row) -> Record:
    third = row["third_party"]
    return {
        **row,
        # The path of an address may hold its owner's secret.
        "recipient": None if row["url"] is None else urlsplit(row["url"]).netloc.rpartition("@")[2],
        "third_party": None if third is None else "yes" if third else "no",
    }


_OF: Final[dict[str, Callable[[Row], Record]]] = {
    "events": _event,
    "conflicts": _event,
    "decisions": _decision,
    "answers": _answer,
    "notices": _notice,
    "deliveries": _delivery,
}


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


async def _packs(connection: Connection, library: Published, tenant: str, named: Mapping[str, Record]) -> list[Record]:
    """Every pack that a decision names, with its text."""
    shipped = {
        pack.protocol.hash: packs.Source(pack.source.raw, tuple(floor.raw for floor in pack.floors)) for pack in library.shipped.packs
    }
    wanted = [(scope, one["id"], hash) for hash, one in named.items() if hash not in shipped for scope in (tenant, packs.SHARED)]
    texts = {**await packs.sources(connection, wanted), **shipped}
    found = []
    for hash, one in sorted(named.items(), key=lambda item: (item[1]["id"], item[1]["version"], item[0])):
        text = texts.get(hash)
        told = {"id": one["id"], "version": one["version"], "hash": hash, "text": None, "floors": None}
        found.append(told if text is None else {**told, "text": text.pack.decode(), "floors": [floor.decode() for floor in text.floors]})
    return found
