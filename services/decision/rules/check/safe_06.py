"""SAFE-06: red flags dominate."""

from collections.abc import Iterator

from services.decision.core.protocol import Condition, Protocol, Rule
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.laws import RED_FLAG, red_flag_stops

CODE = "SAFE-06"


def check(case: Case) -> Iterator[Finding]:
    for rule in case.protocol.rules:
        if rule.kind == "refer" and rule.excepted_by:
            said = f"{rule.id} refers and is set aside by {', '.join(rule.excepted_by)}"
            yield Finding(CODE, "error", *case.at_rule(rule.id, "unless"), said, fix="Take `unless` out: nothing overrides a red flag.")
        elif rule.kind == "refer" and not _latches(case.protocol, rule):
            yield Finding(
                CODE,
                "warning",
                *case.at_rule(rule.id, "when"),
                f"{rule.id} refers on what may be otherwise tomorrow: its referral ends by itself, and nobody need have seen the athlete",
                fix="Write it as a hold with `running: withheld` and `urgency: review`; only a reported red flag stands until its review.",
            )
    for breach in red_flag_stops(case.proof):
        yield Finding(
            CODE,
            "error",
            *case.at("rules"),
            "a red flag does not stop everything",
            breach.sentence,
            "Include the floor as it stands; `floor.red-flag` refers and withholds running, at every step and for every tissue.",
        )


def _latches(protocol: Protocol, rule: Rule) -> bool:
    """Whether it refers on an open referral alone, which stands until a clinician records the review."""
    return any(isinstance(one, Condition) and one.value is True and protocol.slots[one.slot].fact == RED_FLAG for one in rule.when)
