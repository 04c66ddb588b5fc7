"""LIVE: every step can be left upwards by somebody."""

from collections.abc import Iterator

from services.decision.core.protocol import ENTRY
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import listed
from services.decision.rules.prove.reach import dead_ends

CODE = "LIVE"


def check(case: Case) -> Iterator[Finding]:
    yield from case.of_history(CODE)
    for stuck in dead_ends(case.proof):
        who = f"with a {' or '.join(stuck.tissues)} injury"
        path = "rules" if stuck.step == ENTRY else f"ladder[{case.protocol.place[stuck.step]}]"
        if stuck.reviewed:
            said = f"at {stuck.step} nobody {who} advances by rule: {listed(stuck.reviewed)} asks a clinician, who sets what follows"
            yield Finding(CODE, "info", *case.at_rule(stuck.reviewed[0]), said)
            continue
        why = "its rules exclude one another" if stuck.entered else "no advance rule applies there"
        yield Finding(
            CODE,
            "error",
            *case.at(path),
            f"nobody {who} can ever leave {stuck.step}: {why}",
            f"An athlete at {stuck.step} {who}, whatever is reported, is never advanced.",
            "Give the step an advance rule that somebody can meet, or a hold with `urgency: review` that says who decides.",
        )
