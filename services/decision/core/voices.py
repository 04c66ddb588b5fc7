"""Which rules in scope speak: what follows from an answer rests on them and on its action alone, but for an advance."""

from collections.abc import Sequence
from itertools import compress, repeat
from operator import is_, is_not

from services.decision.core.protocol import Rule
from services.decision.core.question import Answer
from services.decision.core.scope import Scope
from services.decision.core.trivalent import MET, NOT_MET, Tri


def rules_met(scope: Scope, verdicts: Sequence[Tri]) -> list[Rule]:
    """The rules that are met, but those that advance."""
    return list(compress(scope.guarding, map(is_, scope.of_guarding(verdicts), repeat(MET))))


def rules_heard(scope: Scope, verdicts: Sequence[Tri]) -> list[Rule]:
    """The rules that tell of a disagreement between sources and are met or not known."""
    return [rule for place, rule in scope.outspoken if verdicts[place] is not NOT_MET]


def same_voices(scope: Scope, was: Answer, now: Answer) -> bool:
    """Whether the action is the same, and `rules_met` and `rules_heard` are."""
    if was is now:
        return True
    if was.action != now.action:
        return False
    before, after = was.verdicts, now.verdicts
    for place in compress(range(len(after)), map(is_not, after, before)):
        one, other = before[place], after[place]
        if (one is MET) is not (other is MET) and place in scope.guards:
            return False
        if (one is NOT_MET) is not (other is NOT_MET) and place in scope.speakers:
            return False
    return True
