"""The difference of two packs in what stands beside the rules: ladder, rest, counts, rates, lighter weeks, population, dates."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.decision.core.protocol import TERRAIN_ORDER, Dose, Protocol

MEASURES = ("run_s", "distance_m", "run_m", "bout_s", "reps", "easy_run_s", "rpe_max", "speed_pct_max", "sessions_per_week_max")


@dataclass(frozen=True, slots=True)
class Changed:
    """One setting. Where it is not plain which way it goes, it counts as more permissive."""

    id: str
    words: str
    more_permissive: bool


def settings(old: Protocol, new: Protocol) -> Iterator[Changed]:
    yield from _ladder(old, new)
    for step in new.rest_days:
        was, now = old.rest_days.get(step), new.rest_days[step]
        if was is not None and was != now:
            yield Changed(f"rest {step}", f"whole dates of rest after {step}: {was} becomes {now}", now < was)
    names = ("clean_sessions", "after_failure", "on_rebuild")
    for name in names:
        was, now = getattr(old.progress, name), getattr(new.progress, name)
        if was != now:
            yield Changed(f"progress {name}", f"{name.replace('_', ' ')}: {was} becomes {now}", now < was)
    for name in ("unclean_restarts", "non_consecutive"):
        was, now = getattr(old.progress, name), getattr(new.progress, name)
        if was != now:
            yield Changed(f"progress {name}", f"{name.replace('_', ' ')}: {_yes(was)} becomes {_yes(now)}", not now)
    if old.rates != new.rates:
        kept = [rate for rate in old.rates if rate not in new.rates]
        yield Changed("rates", f"rate caps: {_rates(old)} become {_rates(new)}", bool(kept))
    for name in ("deload", "second_setback"):
        if getattr(old, name) != getattr(new, name):
            yield Changed(
                name, f"{name.replace('_', ' ')}: {getattr(old, name)} becomes {getattr(new, name)}", getattr(old, name) is not None
            )
    if old.population != new.population:
        wider = not set(new.population.tissues) <= set(old.population.tissues) or not _within(new.population.sites, old.population.sites)
        told = f"for {', '.join(new.population.tissues)} injuries of {', '.join(new.population.sites) or 'any site'}"
        yield Changed("population", f"whom it is for becomes: {told}", wider)
    if old.expires != new.expires:
        later = old.expires is not None and (new.expires is None or new.expires > old.expires)
        yield Changed("expires", f"last date: {old.expires or 'none'} becomes {new.expires or 'none'}", later)


def _ladder(old: Protocol, new: Protocol) -> Iterator[Changed]:
    before, after = ({step.id: step for step in pack.ladder} for pack in (old, new))
    order = [step for step in before if step in after]
    for step in before:
        if step not in after:
            yield Changed(f"ladder {step}", f"step {step} is taken out: what was below it leads further", True)
    for step in after:
        if step not in before:
            yield Changed(f"ladder {step}", f"step {step} is new", True)
    if order != [step for step in after if step in before]:
        yield Changed("ladder", "the steps stand in another order", True)
    for step in order:
        was, now = before[step].dose, after[step].dose
        more, less = _more(was, now), _more(now, was)
        if more or less:
            said = [f"{_measure(name, getattr(was, name))} becomes {_measure(name, getattr(now, name))}" for name in more + less]
            yield Changed(f"dose {step}", f"dose of {step}: {', '.join(said)}", bool(more))


def _more(was: Dose, now: Dose) -> list[str]:
    """Measures of which `now` asks for more; a bound that is no longer given is more."""
    found = []
    for name in MEASURES:
        before, after = getattr(was, name), getattr(now, name)
        if before != after and (after is None or (before is not None and after > before)):
            found.append(name)
    if TERRAIN_ORDER.index(now.terrain) > TERRAIN_ORDER.index(was.terrain):
        found.append("terrain")
    if now.quality and not was.quality:
        found.append("quality")
    return found


def _measure(name: str, value: object) -> str:
    """`run 600 s`, `sessions per week max 3`."""
    unit = name[-2:] if name[-2:] in ("_s", "_m") else ""
    said = f"{name.removesuffix(unit)} {'open' if value is None else value}".replace("_", " ")
    return f"{said} {unit[1:]}".strip()


def _within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
    return not outer or (bool(inner) and set(inner) <= set(outer))


def _rates(pack: Protocol) -> str:
    said = [f"{cap.max_steps} in {cap.in_days} days at {cap.steps[0]} to {cap.steps[-1]}" for cap in pack.rates]
    return "; ".join(said) or "none"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
