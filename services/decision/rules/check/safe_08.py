"""SAFE-08: a threshold cited for one tissue is not used for another."""

from collections.abc import Iterator

from services.decision.core.conditions import flat
from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.athlete import label, listed, number

CODE = "SAFE-08"


def check(case: Case) -> Iterator[Finding]:
    if case.pack is None:
        return
    sources = case.pack.source.text.sources
    for floor in reversed(case.pack.floors):
        sources = floor.text.sources | sources
    spoken = {name: source.tissues for name, source in sources.items()}
    protocol = case.protocol
    for rule in protocol.rules:
        scope = set(rule.tissues if rule.tissues is not None else protocol.population.tissues) & set(protocol.population.tissues)
        for at, entry in enumerate(rule.when):
            for one in flat([entry]):
                fact = protocol.facts[protocol.slots[one.slot].fact]
                if fact.kind != "number" or not one.cite or not isinstance(one.encoded, int):
                    continue
                if not all(spoken.get(cite) for cite in one.cite):
                    continue  # One of its sources speaks for every tissue.
                leaked = sorted(scope - {tissue for cite in one.cite for tissue in spoken[cite]})
                if leaked:
                    said = f"{label(fact)} {number(fact, one.encoded)} is cited for {listed(sorted(_all(spoken, one.cite)))} injuries"
                    yield Finding(
                        CODE,
                        "error",
                        *case.at_rule(rule.id, f"when[{at}]"),
                        f"{said} and used for {listed(leaked)}",
                        f"An athlete with a {leaked[0]} injury is judged by a number that {listed(list(one.cite))} does not give for it.",
                        "Narrow the rule with `tissues`, cite a source for the others, or own the transfer by citing milepost-default too.",
                    )


def _all(spoken: dict[str, list[str]], cites: tuple[str, ...]) -> set[str]:
    return {tissue for cite in cites for tissue in spoken[cite]}
