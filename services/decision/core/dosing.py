"""A dose as a record shows it."""

from dataclasses import fields
from functools import lru_cache

from services.decision.core.protocol import Dose
from services.decision.core.telling import Record


@lru_cache(maxsize=1024)
def shown_dose(dose: Dose | None) -> Record:
    """The dose's known measures, and the most sessions a week."""
    if dose is None:
        return {}
    shown = {item.name: getattr(dose, item.name) for item in fields(dose)}
    return {name: value for name, value in shown.items() if value is not None and value is not False and value != ""}


@lru_cache(maxsize=1024)
def change(here: Dose, there: Dose) -> Record:
    """Old and new of what a session asks for, where both are known."""
    pairs = {
        "run_min": (minutes(here.run_s), minutes(there.run_s)),
        "bout_min": (minutes(here.bout_s), minutes(there.bout_s)),
        "distance_m": (here.distance_m, there.distance_m),
        "rpe_max": (here.rpe_max, there.rpe_max),
        "sessions_per_week": (here.sessions_per_week_max, there.sessions_per_week_max),
        "terrain": (here.terrain, there.terrain),
    }
    return {name: [old, new] for name, (old, new) in pairs.items() if old is not None and new is not None}


def minutes(seconds: int | None) -> int | float | None:
    if seconds is None:
        return None
    return seconds // 60 if seconds % 60 == 0 else round(seconds / 60, 1)
