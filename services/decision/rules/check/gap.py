"""GAP: where no rule speaks and only the default holds."""

from collections.abc import Iterator

from services.decision.rules.check.finding import Case, Finding

CODE = "GAP"


def check(case: Case) -> Iterator[Finding]:
    """The default is hold, so a gap is safe; it is told because an author may have meant something else to happen there."""
    proof = case.proof
    solver, verdict = proof.solver, proof.verdict
    silent = [solver.no(verdict.held), solver.no(verdict.refer), solver.no(verdict.regressing), solver.no(verdict.advance)]
    advances = [vote for vote in verdict.votes if vote.rule.kind == "advance"]
    entered = solver.any(vote.scope for vote in advances)
    known = [solver.no(vote.unknown) for vote in advances]
    model = proof.find(CODE, *silent, entered, *known, well=(proof.state,))
    if model is None:
        return
    athlete = proof.confirmed(proof.athlete(model, proof.state), "hold")
    yield Finding(
        CODE,
        "info",
        *case.at("rules"),
        "some athletes are held by the default alone: everything is known, no rule holds them, and an advance is not met",
        f"{athlete.words()}, all else well, is held and no rule says why but the advance that is not met.",
    )
