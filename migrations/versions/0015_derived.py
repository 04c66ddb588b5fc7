"""What is derived of an athlete lies under their key now: the state of a course, and what another pack or a replay would have decided.

What lay in the clear is dropped, for all of it can be made again: a state is folded when it is asked for and kept with the next decision, a
shadow looks at the decisions since it began once more, and a backtest or a replay says that it must be run again.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

GONE = "its differences lay in the clear and were removed when they came under the athletes'' keys: start it again to see them"


def upgrade() -> None:
    # Changing the type writes the table anew, and TRUNCATE begins another file: no dead row keeps what was in the clear.
    op.execute("ALTER TABLE courses ALTER COLUMN state DROP NOT NULL, ALTER COLUMN state TYPE bytea USING NULL::bytea")
    ended = (
        f"because = coalesce(r.because || '; ', '') || '{GONE}', ended_at = coalesce(r.ended_at, clock_timestamp()),"
        " state = CASE r.state WHEN 'running' THEN 'failed' ELSE r.state END"
    )
    op.execute(
        f"UPDATE backtests AS r SET {ended}"
        " WHERE EXISTS (SELECT 1 FROM backtest_differences AS d WHERE d.tenant = r.tenant AND d.backtest = r.id)"
    )
    op.execute(f"UPDATE replays AS r SET {ended} WHERE EXISTS (SELECT 1 FROM replay_differences AS d WHERE d.replay = r.id)")
    op.execute("TRUNCATE backtest_differences, shadow_decisions, replay_differences")
