"""Advisory locks that more than one part of the product takes, and the one order in which everybody takes locks.

Whoever needs several takes them in this order, so that nobody ever waits for somebody who waits for them:

1. `course_notices`: its rows by notify while it tells, the whole table by a policy that is put in force and by the eraser;
2. `POSITIONS`;
3. `deliveries`: its rows by notify, the whole table by the eraser;
4. `acknowledgements`: the whole table by the eraser; who adds a row finds the notice still there, or adds none;
5. `SEALS`;
6. `STRETCHES`;
7. `ERASING`: shared by whoever would keep what was read of an athlete before, and looks whether they are still there;
8. `partition_heads`, by partition;
9. rows of other tables: of `courses` before what may only be added while the course is there (`answer_links`, the differences of backtests
   and shadows).

Numbers are arbitrary and ours; each is a lock of the whole database.
"""

from typing import Final

POSITIONS: Final = 0x6D6E7073
"""Held to COMMIT by whoever adds notices, one at a time: `position` is given before the commit, and a reader of the live stream must not
pass one that is still to appear."""

SEALS: Final = 0x6D736561
"""Held to COMMIT by the notary, which numbers seals without gaps."""

STRETCHES: Final = 0x6D707276
"""Held to COMMIT, shared, by whoever proves a stretch of history, and alone by the eraser: what is proven is what is stored then."""

LEAD: Final = 0x6D6E6F74
"""Held for as long as its session lives by the one notify process that tells and delivers."""

ERASING: Final = 0x6D726570
"""Held to COMMIT by the eraser, and shared by replays, which keep what they found of athletes."""
