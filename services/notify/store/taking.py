"""What decisions change besides the notices they make, in one question: it is asked for every batch."""

import re
from collections.abc import Mapping
from typing import Final

from services.notify.notices import Course
from services.notify.store import courses, escalations
from services.notify.store.connection import Connection
from services.notify.store.courses import CourseKey
from services.notify.store.escalations import EscalationKey
from shared.locks import POSITIONS


def _behind(statement: str, places: int) -> str:
    return re.sub(r"\$(\d+)", lambda found: f"${int(found[1]) + places}", statement)


_TAKE: Final = f"""
WITH saved AS ({courses.SAVE}), closed AS ({_behind(escalations.CLOSE, 8)})
SELECT pg_advisory_xact_lock($13)
"""


async def take(connection: Connection, changed: Mapping[CourseKey, Course], over: Mapping[EscalationKey, str]) -> None:
    """Writes where telling these courses stands now (at least one), closes what is over, and waits in line as `telling.in_line` does."""
    await connection.execute(_TAKE, *courses.columns(changed), *escalations.columns(over), POSITIONS)
