"""A notice in plain words for the person who reads it: a clinician, a coach or an athlete, in the athlete's time zone.

Pure, from the decision record's fields alone. Later channels (chat, e-mail, digests, other languages) render these same `Words`; each
would be one module here beside `clinician.py`, `coach.py` and `athlete.py`, and nothing else would change.
"""

from services.notify.words import reminders
from services.notify.words.athlete import for_athlete
from services.notify.words.clinician import for_clinician
from services.notify.words.coach import for_coach
from services.notify.words.moments import Words

__all__ = ["Words", "for_athlete", "for_clinician", "for_coach", "reminders"]
