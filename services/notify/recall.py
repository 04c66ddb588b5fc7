"""Puts a policy in force, and takes back from coaches what it does not let them have any more."""

from datetime import datetime

from services.notify.consume import count
from services.notify.notices import CHANGED, SUPERSEDED, Context, Course, taken_back
from services.notify.policy import Policy
from services.notify.release import tightens
from services.notify.store import courses, endpoints, policies, recalls, telling
from services.notify.store.connection import Connection
from services.notify.store.courses import CourseKey
from services.notify.store.recalls import ToldAdvance
from services.notify.store.telling import Telling


async def put_in_force(connection: Connection, tenant: str, policy: Policy, by: str, now: datetime) -> int:
    """One transaction with everything that follows; how many advances are taken back.

    Nobody tells a course meanwhile: what was told under the policy before is all there, and what comes is told under this one.
    """
    await recalls.alone(connection)
    await telling.in_line(connection)
    before = (await policies.of(connection, [tenant]))[tenant]
    await policies.add(connection, tenant, policy, by, now)
    if not tightens(before.coach_release, policy.coach_release):
        return 0
    told = await recalls.told_advances(connection, tenant)
    changed: dict[CourseKey, Course] = {}
    tellings: list[Telling] = []
    for one in told:
        record, key = one.record, (tenant, one.course)
        context = Context(record.get("zone"), tuple(record.get("terms") or ()))
        outbox, kind = _place(one)
        changed[key], notice = taken_back(one.stands, record["body"], outbox, kind, record["subject"], context)
        tellings.append(Telling(tenant, notice, now.isoformat(), f"taken back {one.notice} {now.isoformat()}"))
    await courses.save(connection, changed)
    kept = await telling.keep(connection, tellings, now)
    for endpoint in sorted(kept.endpoints):
        await endpoints.wake(connection, endpoint)
    count(kept)
    return len(told)


def _place(one: ToldAdvance) -> tuple[int | None, str]:
    """The outbox number and type of what takes it back: of one place in the course's order with it, where that is still free."""
    free = [kind for kind in (SUPERSEDED, CHANGED) if kind not in one.types]
    return (one.outbox, free[0]) if free else (None, SUPERSEDED)
