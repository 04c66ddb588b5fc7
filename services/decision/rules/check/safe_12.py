"""SAFE-12: a waiver names who owns it, why, and when it ends."""

from collections.abc import Iterator
from datetime import timedelta

from services.decision.rules.check.finding import Case, Finding

CODE = "SAFE-12"
LONGEST = timedelta(days=365)
"""A waiver is looked at again at least once a year."""


def check(case: Case) -> Iterator[Finding]:
    from services.decision.rules.check.running import AT_READING, CHECKS, NEVER_WAIVED  # The list of checks names this one.

    if case.pack is None:
        return
    for n, waiver in enumerate(case.pack.source.text.waivers):
        place = case.at(f"waivers[{n}]")
        if waiver.check not in (*CHECKS, *AT_READING):
            said = f"{waiver.check} is no check; there are {', '.join(CHECKS)}"
            yield Finding(CODE, "error", *place, said, fix="Name the check as it is printed, as in `check: SAFE-05`.")
        elif waiver.check in NEVER_WAIVED:
            yield Finding(CODE, "error", *place, f"{waiver.check} cannot be waived", fix="Mend what it finds.")
        for what, said in (("owner", waiver.owner), ("reason", waiver.reason)):
            if not said.strip(" .-"):
                yield Finding(CODE, "error", *place, f"the waiver of {waiver.check} has no {what}", fix=f"Say the {what} in words.")
        if case.on is None:
            continue
        if waiver.until < case.on:
            said = f"the waiver of {waiver.check} ended on {waiver.until} and waives nothing now"
            yield Finding(CODE, "error", *place, said, fix="Mend what it waived and take it out, or have it renewed by its owner.")
        elif waiver.until - case.on > LONGEST:
            said = f"the waiver of {waiver.check} runs until {waiver.until}, longer than a year"
            yield Finding(CODE, "error", *place, said, fix="Set `until` to within a year.")
