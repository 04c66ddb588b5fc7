"""What follows from a rule, in words."""

from services.decision.core.protocol import Protocol, Rule

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


def pace_words(pack: Protocol) -> list[str]:
    """How many sessions a step takes, how many steps a week, when a lighter week is due; each with its source."""
    progress = pack.progress
    sessions = "one session that counts" if progress.clean_sessions == 1 else f"{progress.clean_sessions} sessions that count"
    again = f"{progress.after_failure} where it led back before, {progress.on_rebuild} on the way up after a break"
    anew = "; one that does not count begins the count anew" if progress.unclean_restarts else ""
    told = [f"A step takes {sessions}; {again}{anew} ({', '.join(progress.cite)})"]
    for cap in pack.rates:
        what = f"{'different step' if cap.counts == 'trained' else 'step'}{'' if cap.max_steps == 1 else 's'}"
        counted = f"{what} trained at" if cap.counts == "trained" else f"{what} gained"
        axis = f" that raise{'s' if cap.max_steps == 1 else ''} {cap.axis}" if cap.axis else ""
        where = cap.steps[0] if len(cap.steps) == 1 else f"{cap.steps[0]}…{cap.steps[-1]}"
        told.append(f"On the way to {where}: at most {cap.max_steps} {counted}{axis} in any {cap.in_days} days ({', '.join(cap.cite)})")
    if pack.second_setback is not None:
        second = pack.second_setback
        told.append(f"A second way back within {second.within_days} days: {second.steps_back} steps back ({', '.join(second.cite)})")
    if pack.deload is not None:
        light = pack.deload
        fewer = f", {light.fewer_sessions} session{'s' if light.fewer_sessions > 1 else ''} a week fewer" if light.fewer_sessions else ""
        lighter = f"{light.days} lighter ones with {light.share_pct} % of the run time{fewer}"
        told.append(f"After {light.after_days} days {lighter} ({', '.join(light.cite)})")
    return told
