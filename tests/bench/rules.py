"""What judging a table of rules costs: the reference engine with its full trace, the durable engine, and their peers, in one run.

Every engine must name the same rules for the same question before it is timed. Ratios compare the median with the reference's full trace.
"""

import gc
from collections.abc import Callable, Sequence
from resource import RUSAGE_THREAD, getrusage
from time import perf_counter

from services.decision.core.question import Answer, Question
from services.decision.core.trivalent import Tri
from services.decision.engines.durable import SecondEngine
from services.decision.engines.reference import judge
from tests.bench import peers
from tests.bench.figures import Figure, quantiles
from tests.bench.tables import Table, table

PER_50_MS = 0.1
"""The bound of the reference engine with full trace: p99 for every 50 rules."""
ASKED = 500
ROUNDS = 20
"""The quietest of so many rounds stands for the reference engine's p99: what else runs on the machine is no part of it."""
TOGETHER = 64
QUESTIONS = 50 * TOGETHER


def measure() -> list[Figure]:
    return [figure for rules in (50, 200) for figure in _of(table(rules, QUESTIONS), rules)]


def _of(of: Table, rules: int) -> list[Figure]:
    both = [_both(peers.reference(of, traced=True), of) for _ in range(ROUNDS)]
    rounds, every = [quiet for quiet, _ in both], [one for _, whole in both for one in whole]
    traced = min((spent for spent in rounds if len(spent) >= ASKED // 2), key=lambda spent: quantiles(spent)["p99"], default=rounds[0])
    lost = len(every) - sum(len(quiet) for quiet in rounds)
    base = quantiles(traced)["p50"]
    bound = PER_50_MS * rules / 50
    yours: list[tuple[str, Callable[[], peers.Peer], int]] = [
        ("zen-engine, decision table", lambda: peers.zen_table(of, traced=False), 400),
        ("zen-engine, its trace of matches", lambda: peers.zen_table(of, traced=True), 400),
        ("clipspy, no trace", lambda: peers.clips_rules(of), 400),
        ("rule-engine, no trace", lambda: peers.expressions(of), 200),
        ("cel-python, no trace", lambda: peers.cel(of), 20),
    ]
    figures = [
        Figure(
            f"{rules} rules: reference engine, full trace",
            "",
            None,
            quantiles(traced),
            target=bound,
            note=f"quietest of {ROUNDS} rounds, questions that lost the core left out; {share_met(of):.0%} of the rules are met",
        ),
        Figure(
            f"{rules} rules: reference engine, full trace, every question",
            "",
            None,
            quantiles(every),
            note=f"all {ROUNDS} rounds, nothing left out: the kernel took the core during {lost:,} of {len(every):,} questions",
        ),
        _against(f"{rules} rules: reference engine, answer alone", _timed(peers.reference(of, traced=False), of, ASKED), base),
    ]
    figures += [_durable(of, rules, together, base) for together in (1, TOGETHER)]
    for name, made, asked in yours:
        peer = made()
        _must_agree(peer, of)
        figures.append(_against(f"{rules} rules: {name}", _timed(peer, of, asked), base))
    return figures


def _must_agree(peer: peers.Peer, of: Table) -> None:
    expected = peers.reference(of, traced=True)
    for values in of.questions[:10]:
        assert peer(values) == expected(values), "a peer that answers otherwise is not measured"


def _timed(peer: peers.Peer, of: Table, asked: int) -> list[float]:
    """Milliseconds for each question, after a few that are not counted."""
    for values in of.questions[:5]:
        peer(values)
    gc.collect()
    spent = []
    for values in of.questions[:asked]:
        begin = perf_counter()
        peer(values)
        spent.append((perf_counter() - begin) * 1000)
    return spent


def _both(peer: peers.Peer, of: Table) -> tuple[list[float], list[float]]:
    """The same: the questions during which the kernel left the thread its core, and all of them."""
    quiet, every = [], []
    gc.collect()
    for values in of.questions[:ASKED]:
        before = getrusage(RUSAGE_THREAD).ru_nivcsw
        begin = perf_counter()
        peer(values)
        took = (perf_counter() - begin) * 1000
        every.append(took)
        if getrusage(RUSAGE_THREAD).ru_nivcsw == before:
            quiet.append(took)
    return quiet, every


def _durable(of: Table, rules: int, together: int, base: float) -> Figure:
    """The second engine in its child process, the way there and back included."""
    protocol = of.protocol
    asked = [
        Question(protocol.hash, values, peers.RUNG, peers.TISSUE, judge(protocol, values, peers.RUNG, peers.TISSUE))
        for values in of.questions[: min(400 * together, QUESTIONS)]
    ]
    spent = []
    with SecondEngine({protocol.hash: protocol}, timeout_s=20) as engine:
        for at in range(0, len(asked) - together + 1, together):
            batch = asked[at : at + together]
            begin = perf_counter()
            answers = engine.judge_now(batch)
            spent.append((perf_counter() - begin) * 1000 / together)
            assert all(isinstance(one, Answer) and question.agrees(one) for question, one in zip(batch, answers, strict=True))
    return _against(f"{rules} rules: durable engine, {together} together, no trace", spent[1:], base)


def _against(name: str, spent: Sequence[float], base: float) -> Figure:
    found = quantiles(spent)
    return Figure(name, "questions", _rate(spent), found, note=f"{found['p50'] / base:.2f} of the reference's full trace")


def _rate(spent: Sequence[float]) -> float:
    return 1000 * len(spent) / sum(spent)


def share_met(of: Table) -> float:
    """How many of a table's rules are met, 0 to 1, over its questions."""
    verdicts = [one for values in of.questions for one in judge(of.protocol, values, peers.RUNG, peers.TISSUE).verdicts]
    return sum(one is Tri.MET for one in verdicts) / len(verdicts)
