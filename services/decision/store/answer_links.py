"""Which answer links were used, and whether the keys in whose name they answer are still good."""

from datetime import datetime

from services.decision.store.connection import Connection, touched
from shared.answer_links import AnswerLink


async def is_used(connection: Connection, link: AnswerLink) -> bool:
    return bool(await connection.fetchval("SELECT EXISTS (SELECT 1 FROM answer_links WHERE tenant = $1 AND id = $2)", link.tenant, link.id))


async def take(connection: Connection, link: AnswerLink, now: datetime) -> bool:
    """Uses the link up with the caller's transaction; False when it was used before, or its course was erased meanwhile.

    Of two at once, the second waits for the first.
    """
    tag = await connection.execute(
        "INSERT INTO answer_links (id, tenant, course, decision, used_at) SELECT $1, $2, $3, $4, $5 FROM courses AS c"
        " WHERE c.tenant = $2 AND c.course = $3 FOR KEY SHARE OF c ON CONFLICT DO NOTHING",
        link.id,
        link.tenant,
        link.course,
        link.decision,
        now,
    )
    return touched(tag) == 1


async def may_answer(connection: Connection, link: AnswerLink, now: datetime) -> bool:
    """Whether the clinician's key that the link names could answer by itself at this moment."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM api_keys WHERE id = $1 AND tenant = $2 AND 'clinical:write' = ANY(scopes) "
            "AND (revoked_at IS NULL OR revoked_at > $3) AND (expires_at IS NULL OR expires_at > $3))",
            link.by,
            link.tenant,
            now,
        )
    )
