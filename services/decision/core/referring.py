"""A referral by a pack's own rule latches as a reported red flag does: it stands until a clinician records `red_flag_review`.

It is opened in the fold, where the rule is met, and so is a function of the events and not of their arrival. What a review has seen opens
no referral again: only what was reported since, or that the rule was not met before, does.
"""

from services.decision.core.course import Course
from services.decision.core.flags import OpenFlag
from services.decision.core.protocol import Rule
from services.decision.core.verdict import Judge, Verdict
from shared.events import Event


def refer(judge: Judge, course: Course, verdict: Verdict, event: Event) -> bool:
    """Opens on the course the referrals that the verdict asks for at this event; whether it opened any."""
    if not judge.referring:
        course.referring = ()
        return False
    met = [rule for rule in verdict.settled.met if rule.id in judge.referring]
    stands = [flag.flag for flag in course.flags if not flag.on]
    new = [rule.id for rule in met if rule.id not in stands and (rule.id not in course.referring or _unseen(judge, verdict, rule))]
    course.referring = tuple(rule.id for rule in met)
    key = event.key
    course.flags += tuple(OpenFlag(rule, key) for rule in new)
    course.referred += tuple((rule, event) for rule in new)
    return bool(new)


def _unseen(judge: Judge, verdict: Verdict, rule: Rule) -> bool:
    """Whether the rule is met by anything that the last review cannot have seen."""
    review = verdict.view.course.reviewed
    keys = [key for fact in judge.facts_of_rule[rule.id](verdict.facts) for key in fact.keys]
    return review is None or any(key[0] >= review[0] and key != review for key in keys)
