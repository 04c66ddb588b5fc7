"""What follows from a rule, in words."""

from services.decision.core.protocol import Rule

_RUNNING = {
    "as_dosed": "run as dosed",
    "repeat": "repeat the session",
    "walk_only": "walk only",
    "withheld": "no running",
}
_URGENCY = {"review": "a clinician reviews", "stop_and_refer": "stop and refer to a clinician"}


def consequence_words(rule: Rule) -> str:
    """What the rule does where it is met: `one step back, 2 whole days of rest, no running until a clinician has answered`."""
    then = rule.then
    parts: list[str] = []
    if then.to_entry:
        parts.append("back to the entry gates")
    elif then.steps_back:
        parts.append("one step back" if then.steps_back == 1 else f"{then.steps_back} steps back")
    elif rule.kind == "advance":
        parts.append("the next step, if every other advance rule here is met and nothing holds")
    elif rule.kind == "hold":
        parts.append("the step is kept")
    if then.rest_days is not None:
        parts.append(days(then.rest_days))
    if then.running is not None:
        parts.append(_RUNNING[then.running])
    if then.urgency != "routine":
        parts.append(_URGENCY[then.urgency])
    told = ", ".join(parts)
    return f"{told}; until {', or until '.join(then.resume_when)}" if then.resume_when else told


def unknown_words(rule: Rule) -> str:
    """What the rule does while it cannot be judged."""
    if rule.kind == "advance":
        return "While any of this is not known: no advance."
    return (
        "While this is not known: the step is kept."
        if rule.unknown == "hold"
        else "While this is not known: it is shown and does not block."
    )


def days(count: int) -> str:
    return "no whole day of rest after it" if count == 0 else f"{count} whole day{'s' * (count > 1)} of rest"
