"""COST: both engines can hold the pack."""

from collections.abc import Iterator

from services.decision.engines.durable_pack import MAX_PROPERTIES, PackRefused, compile_pack
from services.decision.rules.check.finding import Case, Finding

CODE = "COST"
MAX_RULES = 400


def check(case: Case) -> Iterator[Finding]:
    protocol = case.protocol
    if len(protocol.rules) > MAX_RULES:
        said = f"{len(protocol.rules)} rules with the floor; a pack has at most {MAX_RULES}"
        yield Finding(CODE, "error", *case.at("rules"), said, fix="Split the pack by population.")
        return
    try:
        compile_pack(protocol)
    except PackRefused as refused:
        said = f"the second engine cannot hold this pack: {refused}"
        fix = f"Use fewer alternatives in one rule; one pack reads at most {MAX_PROPERTIES} properties."
        yield Finding(CODE, "error", *case.at("rules"), said, fix=fix)
