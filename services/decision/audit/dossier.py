"""The dossier of a course: one signed file with everything that is needed to check it, on a machine that has nothing else."""

import base64
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from services.decision.audit import proofs
from services.decision.audit.rows import leaves_of
from services.decision.lifecycle import store as packs
from services.decision.notary import signed_at
from services.decision.packs import Published
from services.decision.store.bodies import envelopes
from services.decision.store.connection import Connection, borrowed, bound
from services.decision.store.reads import CourseRead
from shared.events import canonical
from shared.placing import partition
from shared.proof import Keyring, Signer

FORM: Final = 1
PURPOSE: Final = b"milepost dossier 1\n"
"""In front of what is signed, so that no other signature of the key can stand for it."""

Record = dict[str, Any]

_DELIVERIES: Final = """
SELECT n.id AS notice, n.type, n.seq, n.created_at, d.id AS delivery, d.endpoint, d.state, d.because, a.n, a.started_at, a.status, a.error,
    a.request_headers::text AS headers, a.request_body
FROM notices AS n LEFT JOIN deliveries AS d ON d.notice = n.id LEFT JOIN attempts AS a ON a.delivery = d.id
WHERE n.tenant = $1 AND n.course = $2 AND (n.athlete IS NULL OR n.athlete = $3) ORDER BY n.created_at, n.id, d.id, a.n
"""


async def make(engine: AsyncEngine, ring: Keyring, library: Published, tenant: str, course: CourseRead) -> Record:
    """The signed dossier. Holds every event of the athlete, because the course is a fold over them; decisions of the athlete's other
    courses are there by their commitments only. Raises `ProofFault` for a history that is not what was signed.
    """
    place = partition(tenant, course.athlete)
    async with bound(engine, tenant) as connection:
        key = await proofs.key_of(connection, ring, tenant, course.athlete)
        leaves = await leaves_of(connection, key, tenant, course.athlete, place, courses={course.course})
    point = await proofs.signed_up_to(engine, ring, place, leaves[-1]["seq"])
    async with borrowed(engine) as connection:
        await proofs.include(connection, leaves, point)
    async with bound(engine, tenant) as connection:
        named = await _named(connection, tenant, course.athlete)
        body: Record = {
            "milepost_dossier": FORM,
            "made_at": signed_at(datetime.now(UTC)),
            "tenant": tenant,
            "subject": course.athlete,
            "course": course.course,
            "erased": key is None,
            "key": Signer(ring.signing_seed).verifier.text,
            "checkpoint": point.note,
            "leaves": leaves,
            "protocols": {} if key is None else {course: one["hash"] for (course, seq), one in named.items() if seq == 1},
            "packs": await _packs(connection, library, tenant, {one["hash"]: one for one in named.values()}),
            "deliveries": await _deliveries(connection, tenant, course),
        }
    return signed(body, Signer(ring.signing_seed))


def signed(body: Record, signer: Signer) -> Record:
    """The dossier with its signature over everything else."""
    return {**body, "signature": base64.b64encode(signer.sign(PURPOSE + canonical(body))).decode()}


def decisions_of(leaves: list[Record]) -> list[Record]:
    """The decision records that the leaves show, in the order made."""
    bodies = [shown["row"]["body"] for leaf in leaves for shown in leaf["rows"] if shown["table"] == "decisions" and "row" in shown]
    return [orjson.loads(body) for body in bodies]


async def _named(connection: Connection, tenant: str, athlete: str) -> dict[tuple[str, int], Record]:
    """(course, decision's number) to the pack it names, for every course of the athlete: where an event belongs depends on them all."""
    rows = await connection.fetch(
        "SELECT course, seq, body FROM decisions"
        " WHERE tenant = $1 AND course IN (SELECT course FROM courses WHERE tenant = $1 AND athlete = $2) ORDER BY course, seq",
        tenant,
        athlete,
    )
    sealed = await envelopes(connection, [(tenant, athlete)])
    return {(row["course"], row["seq"]): orjson.loads(sealed.body(tenant, athlete, row["body"]))["protocol"] for row in rows}


async def _packs(connection: Connection, library: Published, tenant: str, named: dict[str, Record]) -> list[Record]:
    """The text of every pack of these hashes, with the floors it included."""
    shipped = {pack.protocol.hash: pack for pack in library.shipped.packs}
    wanted = [(scope, one["id"], hash) for hash, one in named.items() if hash not in shipped for scope in (tenant, packs.SHARED)]
    recorded = await packs.sources(connection, wanted)
    found = []
    for hash, one in sorted(named.items()):
        if hash in shipped:
            text, floors = shipped[hash].source.raw, [floor.raw for floor in shipped[hash].floors]
        elif hash in recorded:
            text, floors = recorded[hash].pack, list(recorded[hash].floors)
        else:
            continue
        found.append({**one, "text": text.decode(), "floors": [floor.decode() for floor in floors]})
    return found


async def _deliveries(connection: Connection, tenant: str, course: CourseRead) -> list[Record]:
    """Everything that was told of the course, with every attempt and the exact bytes that left.

    Not what was told of somebody else, whose refused event named it.
    """
    rows = await connection.fetch(_DELIVERIES, tenant, course.course, course.athlete)
    return [
        {
            "notice": row["notice"],
            "type": row["type"],
            "seq": row["seq"],
            "told_at": signed_at(row["created_at"]),
            "delivery": row["delivery"],
            "endpoint": row["endpoint"],
            "state": row["state"],
            "because": row["because"],
            "attempt": row["n"],
            "at": None if row["started_at"] is None else signed_at(row["started_at"]),
            "status": row["status"],
            "error": row["error"],
            "headers": None if row["headers"] is None else orjson.loads(row["headers"]),
            "body": None if row["request_body"] is None else row["request_body"].decode("utf-8", "replace"),
        }
        for row in rows
    ]
