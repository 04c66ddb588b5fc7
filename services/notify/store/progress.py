"""How far DECISIONS was told, and who was erased before it was."""

from collections.abc import Iterable
from typing import Final

from services.notify.store.connection import Connection

# In the name of the key that an erasure leaves destroyed, in the transaction that removes what notify kept of the athlete.
_NOTE: Final = """
WITH noted AS (
    INSERT INTO notice_reading AS r (one, stream_seq) SELECT 1, $1::bigint WHERE $1::bigint IS NOT NULL
    ON CONFLICT (one) DO UPDATE SET stream_seq = CASE WHEN $4 THEN excluded.stream_seq ELSE greatest(r.stream_seq, excluded.stream_seq) END
)
SELECT tenant, substr(athlete, length('erased-') + 1) AS pseudonym FROM keys.athlete_keys
WHERE wrapped IS NULL
    AND (tenant, athlete) IN (SELECT w.tenant, 'erased-' || w.pseudonym FROM unnest($2::text[], $3::text[]) AS w(tenant, pseudonym))
"""


async def note(
    connection: Connection, stream_seq: int | None, people: Iterable[tuple[str, str]], begins: bool = False
) -> set[tuple[str, str]]:
    """Notes that all is told up to there once the transaction commits (None: as before), and returns who of `people` (tenant, pseudonym) is
    erased. Only who `begins` to read takes back what was noted: a process that lost the lead must not, or an erasure would wait for it.

    To be asked once the transaction has locked something of `course_notices`: an erasure then either waits for its COMMIT and removes what
    it wrote, or is over and seen here.
    """
    wanted = sorted(set(people))
    rows = await connection.fetch(_NOTE, stream_seq, [tenant for tenant, _ in wanted], [pseudonym for _, pseudonym in wanted], begins)
    return {(row["tenant"], row["pseudonym"]) for row in rows}


async def read_to(connection: Connection) -> int | None:
    """The stream sequence up to which everything is told; None when nothing was noted yet."""
    noted: int | None = await connection.fetchval("SELECT stream_seq FROM notice_reading")
    return noted
