"""SAFE-08: a threshold cited for one tissue is not used for another."""

from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.core.protocol import Condition
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import label, listed, number

CODE = "SAFE-08"

ORDERED = ("at_most", "at_least", "below", "above")


def check(case: Case) -> Iterator[Finding]:
    """What nobody says the tissues of is not taken for all of them: a published source of a threshold names them, or says `any`."""
    if case.pack is None:
        return
    population = set(case.protocol.population.tissues)
    untold: set[str] = set()
    for rule in case.protocol.rules:
        scope = population & set(population if rule.tissues is None else rule.tissues)
        for at, entry in enumerate(rule.when):
            for one in flat([entry]):
                yield from _leak(case, one, scope, case.at_rule(rule.id, f"when[{at}]"), untold)
    for at, entry in enumerate(case.protocol.clean):
        for one in flat([entry]):
            yield from _leak(case, one, population, case.at(f"clean[{at}]"), untold)


def _leak(case: Case, one: Condition, scope: set[str], place: tuple[str, int, int, str], untold: set[str]) -> Iterator[Finding]:
    protocol = case.protocol
    if one.op not in ORDERED or not one.cite or any(protocol.grades.get(cite) == "expert_default" for cite in one.cite):
        return  # No threshold, or the transfer is owned.
    fact = protocol.facts[protocol.slots[one.slot].fact]
    silent = [cite for cite in one.cite if not case.tissues_of(cite)]
    for cite in silent:
        if cite not in untold:
            untold.add(cite)
            yield Finding(
                CODE,
                "error",
                *case.at_source(cite),
                f"{cite} does not say for which tissues it speaks, and gives the threshold on {label(fact)} at {place[3]}",
                f"Whether an athlete with a {min(scope, default='bone')} injury may be judged by it cannot be told.",
                "Write `tissues` at the source, as in `tissues: [tendon]`, or `[any]` where it speaks of none in particular.",
            )
    if silent:
        return
    spoken = {tissue for cite in one.cite for tissue in case.tissues_of(cite)}
    leaked = sorted(scope - spoken)
    if leaked and "any" not in spoken:
        said = f"{label(fact)} {number(fact, one.encoded) if isinstance(one.encoded, int) else ''}".rstrip()
        yield Finding(
            CODE,
            "error",
            *place,
            f"{said} is cited for {listed(sorted(spoken))} injuries and used for {listed(leaked)}",
            f"An athlete with a {leaked[0]} injury is judged by a number that {listed(list(one.cite))} does not give for it.",
            "Narrow the rule with `tissues`, cite a source for the others, or own the transfer by citing milepost-default too.",
        )
