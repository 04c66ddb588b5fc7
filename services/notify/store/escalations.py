"""What somebody has to take up: opened when it is told, closed by a person, an answer or a newer decision, and said again meanwhile."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from services.notify.notices import ADVICE_TYPES, REFERRED
from services.notify.policy import Policy, needs_answer, still_refers
from services.notify.store import policies
from services.notify.store.connection import Connection
from services.notify.store.courses import CourseKey
from services.notify.store.telling import Telling

EscalationKey = tuple[str, str, str]
"""Tenant, course and kind."""

REFERRAL: Final = "referral"
UNANSWERED: Final = "unanswered"

_OPEN: Final = """
INSERT INTO escalations AS e (tenant, course, kind, athlete, notice, said, step, due, opened_at, closed_because)
SELECT n.tenant, n.course, n.kind, n.athlete, n.notice, n.said, 0, n.due, $9, n.because
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[], $8::text[])
    AS n(tenant, course, kind, athlete, notice, said, due, because)
ON CONFLICT (tenant, course, kind) DO UPDATE SET athlete = excluded.athlete, notice = excluded.notice, said = excluded.said,
    step = excluded.step, due = excluded.due, opened_at = excluded.opened_at, closed_because = excluded.closed_because
"""

# Its parameters are `columns`.
CLOSE: Final = """
UPDATE escalations e SET due = NULL, closed_because = c.because
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS c(tenant, course, kind, because)
WHERE e.tenant = c.tenant AND e.course = c.course AND e.kind = c.kind AND e.due IS NOT NULL
"""


class Escalation(NamedTuple):
    """Something that was not taken up in time; `said` is the stored notice that first said it, `step` how often it was said again."""

    tenant: str
    course: str
    kind: str
    athlete: str
    notice: str
    said: bytes
    step: int


async def open_for(
    connection: Connection, tellings: Sequence[Telling], now: datetime, over: Mapping[EscalationKey, str] = MappingProxyType({})
) -> None:
    """Opens what these notices ask somebody to take up; a newer one of the course takes the place of the older.

    `over` is what `over` of the decisions behind them returned: what they ended again is kept as closed.
    """
    asking = {
        (telling.tenant, telling.notice.course, kind): telling
        for telling in tellings
        if telling.notice.course is not None and not telling.notice.escalation and (kind := _kind(telling)) is not None
    }
    if not asking:
        return
    known = await policies.of(connection, {tenant for tenant, _, _ in asking})
    rows = [
        (*key, telling.notice.athlete or "", telling.id, telling.stored, None if key in over else now + _within(known[key[0]], key[2]))
        for key, telling in sorted(asking.items(), key=itemgetter(0))
    ]
    closed = [over.get(key) for key in sorted(asking)]
    await connection.execute(_OPEN, *(list(column) for column in zip(*rows, strict=True)), closed, now)


def _kind(telling: Telling) -> str | None:
    body = dict(telling.notice.body)
    if telling.notice.type == REFERRED:
        return REFERRAL if still_refers(body) else None
    return UNANSWERED if telling.notice.type in ADVICE_TYPES and needs_answer(body) else None


def _within(policy: Policy, kind: str) -> timedelta:
    return timedelta(seconds=policy.acknowledge_within_s if kind == REFERRAL else policy.answer_within_s)


def over(newest: Mapping[CourseKey, Mapping[str, Any]]) -> dict[EscalationKey, str]:
    """What the newest decision of each course leaves nobody to take up, with the reason."""
    found: dict[EscalationKey, str] = {}
    for (tenant, course), decision in sorted(newest.items(), key=itemgetter(0)):
        body = dict(decision)
        because = "answered by a clinician" if body.get("answer") is not None else "a newer decision does not ask for it"
        if not needs_answer(body):
            found[tenant, course, UNANSWERED] = because
        if not still_refers(body):
            found[tenant, course, REFERRAL] = because
    return found


def columns(over: Mapping[EscalationKey, str]) -> list[list[str]]:
    """The four parameters of `CLOSE`."""
    return [*([key[place] for key in over] for place in range(3)), list(over.values())]


async def due(connection: Connection, now: datetime, limit: int) -> list[Escalation]:
    """Up to `limit` that nobody took up in time, locked; rows that another transaction holds are left to it."""
    rows = await connection.fetch(
        "SELECT tenant, course, kind, athlete, notice, said, step FROM escalations WHERE due <= $1 ORDER BY due LIMIT $2 "
        "FOR UPDATE SKIP LOCKED",
        now,
        limit,
    )
    return [Escalation(**row) for row in rows]


async def next_due(connection: Connection) -> datetime | None:
    """When the next is to be said again."""
    moment: datetime | None = await connection.fetchval("SELECT min(due) FROM escalations")
    return moment


async def said_again(connection: Connection, escalated: Sequence[Escalation], now: datetime) -> None:
    """Puts off until the next time, once more counted."""
    known = await policies.of(connection, {one.tenant for one in escalated})
    rows = [(one.tenant, one.course, one.kind, now + _within(known[one.tenant], one.kind)) for one in escalated]
    await connection.execute(
        "UPDATE escalations e SET step = e.step + 1, due = s.due "
        "FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS s(tenant, course, kind, due) "
        "WHERE e.tenant = s.tenant AND e.course = s.course AND e.kind = s.kind",
        *(list(column) for column in zip(*rows, strict=True)),
    )


class Acknowledged(NamedTuple):
    """Who took a referral up, and when."""

    notice: str
    course: str
    by_key: str
    at: datetime


async def referral(connection: Connection, tenant: str, notice: str) -> str | None:
    """The course of a notice that refers, or None when the tenant has no such notice."""
    course: str | None = await connection.fetchval(
        "SELECT course FROM notices WHERE tenant = $1 AND id = $2 AND type = $3", tenant, notice, REFERRED
    )
    return course


async def acknowledge(connection: Connection, tenant: str, notice: str, course: str, by: str, now: datetime) -> Acknowledged | None:
    """A person takes the course's referral up; nothing is said again. The first acknowledgement of a notice stays.

    None when the notice was erased meanwhile.
    """
    await connection.execute(
        "INSERT INTO acknowledgements (tenant, notice, course, by_key, at) SELECT $1, $2, $3, $4, $5 FROM notices AS n "
        "WHERE n.tenant = $1 AND n.id = $2 ON CONFLICT DO NOTHING",
        tenant,
        notice,
        course,
        by,
        now,
    )
    await connection.execute(CLOSE, [tenant], [course], [REFERRAL], [f"acknowledged by {by}"])
    row = await connection.fetchrow(
        "SELECT notice, course, by_key, at FROM acknowledgements WHERE tenant = $1 AND notice = $2", tenant, notice
    )
    return Acknowledged(**row) if row else None
