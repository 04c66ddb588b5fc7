"""SAFE-11: an expired pack holds, loudly."""

from collections.abc import Iterator

from services.decision.rules.check.finding import Case, Finding
from services.decision.rules.prove.laws import expired_holds

CODE = "SAFE-11"


def check(case: Case) -> Iterator[Finding]:
    for breach in expired_holds(case.proof):
        yield Finding(
            CODE,
            "error",
            *case.at("rules"),
            "an athlete advances under an expired pack",
            breach.sentence,
            "Include the floor as it stands; `floor.expired` holds until the course is moved to a protocol in force.",
        )
    expires = case.protocol.expires
    if expires is not None and case.on is not None and expires < case.on:
        said = f"expired on {expires}: every course under it holds"
        yield Finding(CODE, "error", *case.at("expires"), said, fix="Publish a version whose sources were read again, with a later date.")
    begins = None if case.pack is None else case.pack.source.text.effective_from
    if begins is not None and case.on is not None and case.on < begins:
        said = f"says that it takes effect on {begins}, and is in force from the moment it is published"
        yield Finding(
            CODE, "warning", *case.at("effective_from"), said, fix="Publish it for that date (`--at`), or take `effective_from` out."
        )
    if expires is not None and begins is not None and expires < begins:
        said = f"expires on {expires}, before it takes effect on {begins}"
        yield Finding(CODE, "error", *case.at("expires"), said, fix="Put the dates in order.")
