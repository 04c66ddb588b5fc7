"""What time itself brought: a report that did not come, a recommendation that ran out, a course that stalled; for each reader.

What ran out is told by its date alone to coaches and athletes: a step or a dose that holds no longer would be taken for one that does.
"""

from typing import Final

from services.notify.words.moments import Record, Words, day, known, moment

AFTERWARDS: Final = "Read what holds now before the next session."


def report_due(body: Record, role: str, timestamp: str, zone: str | None) -> Words:
    """`body` names the instant (`at`) by which the report was expected."""
    expected = f"It was expected by {moment(body['at'], zone)}."
    if role == "athlete":
        summary, following = "Your report on the morning after your run has not come.", "Please report how it feels now."
    else:
        summary, following = "The report on the morning after the last run has not come.", "Ask the athlete how the morning was."
    return Words(summary, (expected, "What is not known never supports an advance."), following, _known(timestamp, zone))


def expired(body: Record, role: str, timestamp: str, zone: str | None) -> Words:
    """`body` is the decision that ran out."""
    until = f"It was good until {day(body['valid_until'])}."
    if role in ("coach", "athlete"):
        return Words("What you were told last has run out.", (until,), AFTERWARDS, _known(timestamp, zone))
    answered = "It had been answered." if body.get("answer") is not None else "It had not been answered."
    summary = f"A recommendation has run out: {body.get('summary') or 'see the record.'}"
    return Words(summary, (until, answered), AFTERWARDS, _known(timestamp, zone))


def stalled(body: Record, role: str, timestamp: str, zone: str | None) -> Words:
    """`body` says which of the two it is (`because`), the step and the `days`."""
    at_least = f"at least {body['days']} days"
    if body["because"] == "same_step":
        summary = f"The course has stayed at step {body['step']} for {at_least}."
        return Words(summary, (), "Look at what stands in the way and at what is missing.", _known(timestamp, zone))
    if role == "athlete":
        summary, following = f"Nothing has been heard from you for {at_least}.", "Report how you are, or speak with your clinician."
    else:
        summary = f"Nothing has been heard of this course for {at_least}."
        following = "Ask the athlete; pause or end the course if that is how it is."
    return Words(summary, (), following, _known(timestamp, zone))


def _known(timestamp: str, zone: str | None) -> str:
    return known({"as_at": timestamp}, zone)
