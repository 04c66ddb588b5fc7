"""A pack as durable-rules is given it: rulesets over intervals of small integers.

An unknown value is the widest interval, a known one an interval of one point. A condition is met when it holds at every point of the
interval and possible when it holds at some point, so three-valued logic becomes two plain rules per pack rule: one that fires when
every condition is met, one that fires when none is excluded. That is another way than the reference engine's, on purpose.

Only the profile that durable-rules 2.0.28 was seen to survive is used: one fact per evaluation, no joins, a rule that always fires.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from services.decision.core.protocol import COMPLETE, ENTRY, TISSUES, AnyOf, Condition, Protocol, Rule

BOUND = 1_000_000_000
"""Thresholds lie within; a value beyond is compared as one just inside, which changes no comparison with a threshold."""
MAX_ANTECEDENTS = 12
"""Comparisons in one durable rule; at 16 the library fails at evaluation, not at loading."""
MAX_WIDTH = 60
"""Nodes one ruleset may hold open at once: the library's traversal stack is 64 deep, and overflows at evaluation, not at loading.
It also keeps every property below the 512 rules at which a lookup in the library never ends."""
MAX_PROPERTIES = 200
"""Properties of one fact; the library holds 252."""

EVERY = "every"
"""The rule that fires on every fact: proof that the fact was seen, and without it deleting the state frees memory never allocated."""


class PackRefused(ValueError):
    """The second engine cannot hold this pack; the message says which rule and why."""


class Atom(NamedTuple):
    """`property op number`; the properties `l3` and `h3` are the ends of slot 3, `r` the rung and `t` the tissue."""

    property: str
    op: str
    number: int

    def expression(self) -> dict[str, Any]:
        compared = {self.property: self.number}
        return compared if self.op == "==" else {_OPERATORS[self.op]: compared}


_OPERATORS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}

Alternative = tuple[Atom, ...]
Term = tuple[Alternative, ...]
"""True when every atom of one of the alternatives is."""
Run = tuple[int | None, int | None]
"""Whole numbers from first to last; None is without end."""


@dataclass(frozen=True, slots=True)
class Form:
    """The two readings of a condition or an `AnyOf`."""

    met: Term
    possible: Term


def _runs(members: Iterable[int]) -> list[tuple[int, int]]:
    """Members as stretches of consecutive numbers.

    >>> _runs([4, 1, 2])
    [(1, 2), (4, 4)]
    """
    runs: list[tuple[int, int]] = []
    for member in sorted(set(members)):
        if runs and member == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], member)
        else:
            runs.append((member, member))
    return runs


def _outside(runs: Sequence[tuple[int, int]]) -> list[Run]:
    """Every whole number that is in none of the runs."""
    if not runs:
        return [(None, None)]
    between: list[Run] = [(left[1] + 1, right[0] - 1) for left, right in pairwise(runs)]
    return [(None, runs[0][0] - 1), *between, (runs[-1][1] + 1, None)]


def _inside(low: str, high: str, run: Run) -> Alternative:
    """The whole interval lies in the run; never true of an unknown."""
    first, last = run
    if first is not None and first == last:
        return (Atom(low, "==", first),)
    atoms = []
    if first is not None:
        atoms.append(Atom(low, ">=", first))
    if last is not None:
        atoms.append(Atom(high, "<=", last))
    return tuple(atoms) or (Atom(low, ">", -BOUND),)


def _touching(low: str, high: str, run: Run) -> Alternative:
    """Some point of the interval lies in the run; always true of an unknown."""
    first, last = run
    atoms = []
    if last is not None:
        atoms.append(Atom(low, "<=", last))
    if first is not None:
        atoms.append(Atom(high, ">=", first))
    return tuple(atoms) or (Atom(high, ">", -BOUND),)


def _within(slot: int, runs: Sequence[Run]) -> Form:
    low, high = f"l{slot}", f"h{slot}"
    inside = tuple(_inside(low, high, run) for run in runs)
    if not runs:
        # In no list at all: excluded when known, open while unknown.
        return Form((), ((Atom(low, "==", -BOUND),),))
    # The first alternative takes the unknown, so that never two of them hold and the rule fires once.
    return Form(inside, (_touching(low, high, runs[0]), *inside[1:]))


def _condition(condition: Condition) -> Form:
    slot, encoded = condition.slot, condition.encoded
    members = encoded if isinstance(encoded, tuple) else (encoded,)
    if any(not -BOUND < member < BOUND - 1 for member in members):
        raise PackRefused(f"compares slot {slot} with {encoded}; the second engine reads whole numbers below {BOUND} either way")
    if condition.op == "not_one_of":
        return _within(slot, _outside(_runs(members)))
    if condition.op in ("is", "one_of"):
        return _within(slot, _runs(members))
    (number,) = members
    low, high = f"l{slot}", f"h{slot}"
    worst, best = (high, low) if condition.op in ("at_most", "below") else (low, high)
    sign = {"at_most": "<=", "below": "<", "at_least": ">=", "above": ">"}[condition.op]
    return Form(((Atom(worst, sign, number),),), ((Atom(best, sign, number),),))


def _entry(entry: Condition | AnyOf) -> Form:
    if isinstance(entry, Condition):
        return _condition(entry)
    forms = [_condition(condition) for condition in entry.conditions]
    return Form(tuple(a for form in forms for a in form.met), tuple(a for form in forms for a in form.possible))


def _scope(protocol: Protocol, rule: Rule) -> list[Term]:
    """Where the rule speaks, as conditions on the rung and the tissue."""
    top = len(protocol.ladder)
    rungs: range | list[int] = range(-1, top + 1)
    if rule.steps is not None:
        places = {ENTRY: -1, COMPLETE: top, **{step.id: rung for rung, step in enumerate(protocol.ladder)}}
        rungs = [places[step] for step in rule.steps if step in places]
    elif rule.kind == "advance":
        rungs = range(top)
    tissues = range(len(TISSUES)) if rule.tissues is None else [TISSUES.index(tissue) for tissue in rule.tissues if tissue in TISSUES]
    terms = []
    for name, allowed, every in (("r", rungs, top + 2), ("t", tissues, len(TISSUES))):
        if len(set(allowed)) < every:
            terms.append(tuple(_inside(name, name, run) for run in _runs(allowed)))
    return terms


def _width(terms: Sequence[Term]) -> int:
    return 1 + sum(len(term) - 1 for term in terms)


def _parts(terms: Sequence[tuple[Term, bool]]) -> list[list[list[Term]]]:
    """Terms, each with whether its alternatives can hold together, as parts that must all fire; of each part one durable rule must.

    A part holds at most `MAX_ANTECEDENTS` comparisons and one term whose alternatives can hold together: a rule fires once for each
    alternative that holds, and two such terms would multiply.
    """
    parts: list[list[list[Term]]] = []
    current: list[Term] = []
    overlapping = False
    for term, overlaps in terms:
        size = sum(len(alternative) for alternative in term)
        if not term:
            parts.append([])
        elif size > MAX_ANTECEDENTS:
            # Each alternative has at most two comparisons.
            step = MAX_ANTECEDENTS // 2
            parts.append([[term[start : start + step]] for start in range(0, len(term), step)])
        else:
            held = sum(len(alternative) for other in current for alternative in other)
            if held + size > MAX_ANTECEDENTS or (overlaps and overlapping):
                parts.append([current])
                current, overlapping = [], False
            current.append(term)
            overlapping = overlapping or overlaps
    if current or not parts:
        parts.append([current])
    return parts


def _expression(terms: Sequence[Term]) -> dict[str, Any]:
    # One-way terms first: they share a path with other rules and fail early.
    single = [atom.expression() for term in terms if len(term) == 1 for atom in term[0]]
    several = [
        {"$or": [a[0].expression() if len(a) == 1 else {"$and": [atom.expression() for atom in a]} for a in term]}
        for term in terms
        if len(term) > 1
    ]
    parts = [*single, *several]
    if not parts:
        return {"one": 1}
    return parts[0] if len(parts) == 1 else {"$and": parts}


def compile_pack(protocol: Protocol) -> dict[str, Any]:
    """What the child process is told about a pack; JSON all through.

    `rulesets`: each with `rules` (durable-rules definitions by name, without actions) and `properties` (names the fact must carry).
    `marks`: for each durable rule, the bit it sets. `rules`: for each pack rule its kind, whether an unknown holds, and the bits that make
    it met, possible, and in scope. Raises `PackRefused`.
    """
    rulesets: list[dict[str, Any]] = []
    marks: dict[str, int] = {}
    rules: list[list[Any]] = []
    bits = 0
    width = MAX_WIDTH + 1

    def place(parts: list[list[list[Term]]]) -> list[int]:
        """Puts the parts into rulesets and gives the bit of each."""
        nonlocal bits, width
        placed = []
        for alternatives in parts:
            for terms in alternatives:
                names = {atom.property for term in terms for alternative in term for atom in alternative}
                if width + _width(terms) > MAX_WIDTH or len(names | rulesets[-1]["properties"]) > MAX_PROPERTIES:
                    rulesets.append({"rules": {EVERY: {"all": [{"m": {"one": 1}}]}}, "properties": set()})
                    width = 1
                name = f"d{len(marks)}"
                rulesets[-1]["rules"][name] = {"all": [{"m": _expression(terms)}]}
                rulesets[-1]["properties"] |= names
                marks[name] = bits
                width += _width(terms)
            placed.append(bits)
            bits += 1
        return placed

    for rule in protocol.rules:
        try:
            forms = [(_entry(entry), isinstance(entry, AnyOf)) for entry in rule.when]
            beyond = [c.slot for e in rule.when for c in (e.conditions if isinstance(e, AnyOf) else (e,)) if c.slot >= len(protocol.slots)]
            if beyond:
                raise PackRefused(f"reads slot {beyond[0]} of a pack with {len(protocol.slots)} slots")
        except PackRefused as refusal:
            raise PackRefused(f"pack {protocol.id}@{protocol.version}, rule {rule.id}: {refusal}") from None
        scope = [(term, False) for term in _scope(protocol, rule)]
        met = place(_parts([*scope, *((form.met, overlaps) for form, overlaps in forms)]))
        possible = place(_parts([*scope, *((form.possible, overlaps) for form, overlaps in forms)]))
        in_scope = place(_parts(scope)) if rule.kind == "advance" else []
        rules.append([rule.kind, rule.unknown == "hold", met, possible, in_scope])

    for ruleset in rulesets:
        ruleset["properties"] = sorted(ruleset["properties"])
    return {"rulesets": rulesets, "marks": marks, "rules": rules, "slots": len(protocol.slots)}
