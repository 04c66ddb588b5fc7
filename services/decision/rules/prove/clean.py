"""What makes a session clean, as a proposition: a better session is never less clean than a worse one."""

from collections.abc import Iterator
from dataclasses import replace

from services.decision.core.conditions import flat
from services.decision.rules.prove.athlete import label, listed
from services.decision.rules.prove.laws import Breach
from services.decision.rules.prove.proof import Proof


def clean_is_monotone(proof: Proof) -> Iterator[Breach]:
    """SAFE-02 within a session: no session counts as clean that would not with one of its facts better."""
    if not proof.protocol.clean:
        return
    encoding, solver = proof.encoding, proof.solver
    better, _ = encoding.entries(proof.protocol.clean, proof.state, {})
    worse, _ = encoding.entries(proof.protocol.clean, proof.worse, {})
    model = proof.find("SAFE-02", worse, solver.no(better), well=(proof.state, proof.worse))
    if model is None:
        return
    read = [proof.protocol.slots[slot].fact for slot in dict.fromkeys(c.slot for c in flat(proof.protocol.clean))]
    one, other = proof.athlete(model, proof.state), proof.athlete(model, proof.worse)
    changed = [a.fact.name for a, b in zip(one.facts, other.facts, strict=True) if a.value != b.value and a.fact.name in read]
    one, other = replace(one, matters=tuple(changed)), replace(other, matters=tuple(changed))
    said = listed([label(proof.space[name].fact) for name in changed])
    yield Breach(one, f"{one.words()} has not done a clean session; with {said} worse, {other.words()[0].lower()}{other.words()[1:]} has.")
