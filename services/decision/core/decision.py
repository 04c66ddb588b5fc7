"""The decision record: what is recommended about the next session, with its whole explanation, as canonical bytes.

`hash` is the SHA-256 of the RFC 8785 form without `hash`; `id` is a UUIDv5 of course, seq, source and event id.
"""

import hashlib
import uuid
from datetime import datetime
from typing import Any, NamedTuple, Protocol as Port

from services.decision.core.course import Course
from services.decision.core.days import written
from services.decision.core.dosing import change, shown_dose
from services.decision.core.explain import blocking, missing, reasons
from services.decision.core.flags import urgent
from services.decision.core.question import Question
from services.decision.core.settled import Frame, Settled
from services.decision.core.summary import Due, due_report, meanwhile, resume_when, summary
from services.decision.core.telling import Record, Telling
from services.decision.core.timing import timers
from services.decision.core.verdict import Judge, Verdict
from shared.events.canonical import OPEN, canonical_record, canonical_text, left_open, parsed

ENGINE = "reference/1"
NAMESPACE = uuid.UUID("6d696c65-706f-5374-8000-6465636973e1")
_IN_NAMESPACE = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)
_VARIANT = {digit: f"{int(digit, 16) & 0b11 | 0b1000:x}" for digit in "0123456789abcdef"}
"""Of the digit that carries the variant its two upper bits are 1 and 0."""
ARRIVAL_FIELDS = ("seq", "id", "as_of", "as_at", "supersedes", "superseded_because", "hash")
"""What arrival order may decide; everything else is the content."""


_OPEN_BEFORE = ("as_at", "as_of", "blocking")
_OPEN_BEHIND = (
    *("id", "missing", "reasons", "report_due", "seq", "subject", "summary"),
    *("superseded_because", "supersedes"),
)
"""The fields that rest on more than what was settled, in the order in which they are written; `hash` comes between."""
_LEFT_OPEN = {name: left_open() for name in (*_OPEN_BEFORE, "hash", *_OPEN_BEHIND)}
_HASH = b',"hash":'


class Decision(NamedTuple):
    course: str
    seq: int
    id: str
    at: datetime
    """The instant of `as_of`."""
    as_of: str
    as_at: str
    encoded: bytes
    """Canonical JSON with `hash`."""
    cause: tuple[str, str, str]
    """Source, id and type of the event that made it."""
    question: Question
    settled: Settled
    then: tuple[Any, ...]
    """The fields of the course as it stood. What follows is reckoned of it when it is asked for: many decisions are only written."""

    @property
    def body(self) -> Record:
        """The whole record."""
        return parsed(self.encoded)

    @property
    def said(self) -> Record:
        """The fields of the record that follow from what was settled."""
        return self.settled.record or {}

    @property
    def due(self) -> tuple[tuple[str, str], ...]:
        """(kind, instant in UTC) at which time itself makes an event of it; replaces the course's timers."""
        return timers(Course(*self.then), self.settled)

    @property
    def state(self) -> Record:
        """The course as `GET /v1/courses/{course}` shows it."""
        return state(Course(*self.then))


class Latest(Port):
    """The latest decision of a course: what a `Decision` says of itself, or history of it."""

    @property
    def seq(self) -> int: ...

    @property
    def id(self) -> str: ...

    @property
    def at(self) -> datetime: ...

    @property
    def body(self) -> Record: ...


def content(judge: Judge, course: Course, verdict: Verdict) -> Record:
    """Everything that the events alone decide, whatever their arrival."""
    frame, telling = _settled(course, verdict).frame, _told(judge, course, verdict)
    record = parsed(b"".join(_filled(frame, telling, _shown(due_report(course)), b"null", b"null", *[b"null"] * 5)))
    return {name: value for name, value in record.items() if name not in ARRIVAL_FIELDS and name != "subject"}


def _settled(course: Course, verdict: Verdict) -> Settled:
    """What was settled, with its fields of the record written once."""
    settled, standing = verdict.settled, verdict.standing
    if settled.record is None:
        here, rung = course.protocol.step(standing.from_step), course.protocol.step(standing.to_step)
        axes = list(rung.raises) if standing.action == "advance" and rung is not None else []
        referral = urgent(course.flags) if course.flags else None
        settled.record = {
            "course": course.id,
            "action": standing.action,
            "axis": axes[0] if len(axes) == 1 else None,
            "from_step": standing.from_step,
            "to_step": standing.to_step,
            "dose": shown_dose(standing.dose),
            "axes": axes,
            "change": {} if here is None or standing.dose is None else change(here.dose, standing.dose),
            "modifier": standing.modifier,
            "running": standing.running,
            "resume_when": resume_when(verdict),
            "rest_days": standing.rest_days,
            "not_before": None if standing.not_before is None else standing.not_before.isoformat(),
            "eligible_from": None if verdict.eligible_from is None else verdict.eligible_from.isoformat(),
            "valid_until": None if verdict.valid_until is None else verdict.valid_until.isoformat(),
            "urgency": standing.urgency,
            "referral": None if referral is None else {"to": referral.to, "within_h": referral.within_h},
            "stop_if": sorted(course.protocol.stop_if),
            "meanwhile": meanwhile(verdict),
            "answer": answer(course, verdict),
            "disagreement": disagreement(verdict),
            "protocol": {"id": course.protocol.id, "version": course.protocol.version, "hash": course.protocol.hash},
            "engine": ENGINE,
        }
        settled.frame = _framed(settled.record)
    return settled


def _framed(record: Record) -> Frame:
    """The record as it is written, with a place for every field that is left open."""
    before, _, behind = canonical_record(record | _LEFT_OPEN).replace(b"%", b"%%").replace(OPEN, b"%b").partition(_HASH + b"%b")
    return Frame(before, behind)


def _told(judge: Judge, course: Course, verdict: Verdict) -> Telling:
    """What is told, with its fields of the record written once."""
    telling = reasons(judge, verdict)
    if telling.of is None or telling.of[0] is not telling.told or telling.of[1] is not verdict.settled:
        told = telling.told
        blocks, lacks = blocking(verdict, told), missing(verdict, told)
        referral = urgent(course.flags) if course.flags else None
        telling.blocking, telling.missing = canonical_text(blocks), canonical_text(lacks)
        telling.summary = canonical_text(summary(verdict, told, blocks, lacks, referral))
        telling.reasons = b"".join((b"[", b",".join([one.encoded for one in told]), b"]"))
        telling.of = (told, verdict.settled)
    return telling


def answer(course: Course, verdict: Verdict) -> Record | None:
    """The clinician's answer to what stands, if there is one."""
    said, standing = course.answered, verdict.standing
    if said is None:
        return None
    stands = said.of == (standing.action, standing.from_step, standing.to_step)
    declined = said.answer == "declined" and said.of[1] == standing.from_step
    modified = said.answer == "modified" and standing.from_step == course.step and course.set_at == said.key
    if not (stands or declined or modified):
        return None
    return {"state": said.answer, "by": said.by, "at": written(said.at)}


def disagreement(verdict: Verdict) -> list[str]:
    met = [rule.disagreement for rule in verdict.settled.heard]
    return sorted(dict.fromkeys([*verdict.view.course.protocol.disagreement, *met]))


def _shown(due: Due | None) -> bytes:
    return b"[]" if due is None else due.encoded


def tell(judge: Judge, course: Course, verdict: Verdict) -> tuple[Settled, Telling]:
    """What `record` writes down, before the course goes on."""
    return _settled(course, verdict), _told(judge, course, verdict)


def record(
    judge: Judge,
    course: Course,
    verdict: Verdict,
    told: tuple[Settled, Telling],
    subject: str,
    seq: int,
    cause: tuple[str, str, str],
    as_at: str,
    kind: str | None,
    before: Latest | None,
    then: tuple[Any, ...],
) -> Decision:
    """The whole decision, with what `tell` found of it. `as_at` is when its cause was known; `kind`, where the cause could supersede, why;
    `before` is the last one, `then` the fields of the course, which goes on.
    """
    (settled, telling), due = told, due_report(course)
    supersedes = None
    if kind is not None and before is not None:
        now, said = content(judge, course, verdict) | {"subject": subject}, before.body
        if any(said.get(name) != value for name, value in now.items()):
            supersedes = before.id
    id, as_of = named("\n".join((course.id, str(seq), cause[0], cause[1]))), written(course.as_of)
    first, rest = _filled(
        settled.frame,
        telling,
        _shown(due),
        canonical_text(as_at),
        canonical_text(as_of),
        canonical_text(id),
        canonical_text(seq),
        canonical_text(subject),
        b"null" if supersedes is None else canonical_record({"event": cause[1], "kind": kind}),
        b"null" if supersedes is None else canonical_text(supersedes),
    )
    encoded = _hashed(first, rest)[1]
    return Decision(course.id, seq, id, course.as_of, as_of, as_at, encoded, cause, verdict.question, settled, then)


def _filled(
    frame: Frame,
    telling: Telling,
    report_due: bytes,
    as_at: bytes,
    as_of: bytes,
    id: bytes,
    seq: bytes,
    subject: bytes,
    because: bytes,
    supersedes: bytes,
) -> tuple[bytes, bytes]:
    """The record as it is written, without its hash: what stands before that, and behind."""
    said = telling.missing, telling.reasons, report_due
    return (
        frame.before % (as_at, as_of, telling.blocking),
        frame.behind % (id, *said, seq, subject, telling.summary, because, supersedes),
    )


def named(name: str) -> str:
    """The UUIDv5 (RFC 9562, 5.5) of the name in this product's namespace, as `uuid.uuid5` gives it, in a fifth of its time."""
    hashed = _IN_NAMESPACE.copy()
    hashed.update(name.encode())
    text = hashed.hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def sealed(body: Record) -> tuple[str, bytes]:
    """The hash of the record without it, and the canonical bytes with it."""
    before = canonical_record({name: value for name, value in body.items() if name < "hash"})[:-1]
    behind = canonical_record({name: value for name, value in body.items() if name > "hash"})[1:]
    return _hashed(before, b"," + behind)


def _hashed(before: bytes, behind: bytes) -> tuple[str, bytes]:
    """Written once: the hash goes in at its place among the fields."""
    told = f"sha256:{hashlib.sha256(before + behind).hexdigest()}"
    return told, b"".join((before, _HASH, b'"', told.encode(), b'"', behind))


def state(course: Course) -> Record:
    """What the course looks like now; its facts are computed on reading."""
    return {
        "course": course.id,
        "status": course.status,
        "protocol": f"{course.protocol.id}@{course.protocol.version}",
        "step": course.step,
        "injury": dict(course.started["injury"]),
        "timezone": course.zone,
        "started": written(course.start_key[0]),
        "last_run": None if course.last_run_day is None else course.last_run_day.isoformat(),
        "open_flags": sorted({flag.flag: None for flag in course.flags}),
    }
