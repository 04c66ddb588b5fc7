"""What an export holds: its tables in their order, the columns of each, and what they mean. Names are added, never changed."""

from typing import Final, Literal, NamedTuple

FORM: Final = 1
"""Changes only if a column had to change its meaning."""

Kind = Literal["text", "integer", "instant", "json", "list"]
KINDS: Final[dict[Kind, str]] = {
    "text": "text",
    "integer": "a whole number",
    "instant": "RFC 3339 in UTC",
    "json": "a JSON value; in CSV, its text",
    "list": "a list of texts; in CSV, a JSON list",
}


class Column(NamedTuple):
    name: str
    kind: Kind
    says: str


class Table(NamedTuple):
    """`order`: by what the rows are sorted."""

    name: str
    says: str
    order: str
    columns: tuple[Column, ...]


LEFT_OUT: Final = {
    "answer_links": "which links to answer were used (the answer is in `answers`, by the clinician in whose name the link was)",
    "courses.state": "folded states",
    "timers": "dates that are waited for",
    "outbox": "messages on their way out",
    "course_notices": "what of a course was told last (it is in `notices`)",
    "escalations": "notices that were not taken up yet, and when they go further",
    "backtest_differences": "what drafts of rules would have said",
    "shadow_decisions": "what approved rules would have said before they were live",
    "replay_differences": "what came out when history was decided again",
}
"""Tables of the athlete's that an export leaves out, in words."""

_EVENT: Final = (Column("source", "text", "who sent the event"), Column("id", "text", "the event's id, unique within its source"))
_COURSE: Final = Column("course", "text", "the course's id")

TABLES: Final = (
    Table(
        "events",
        "Every event that was received about the athlete, and what became of it.",
        "partition, seq",
        (
            Column("partition", "integer", "the part of history the event stands in"),
            Column("seq", "integer", "its number there, in the order received"),
            *_EVENT,
            Column("type", "text", "what kind of event"),
            Column("time", "instant", "when it happened"),
            Column("recorded_at", "instant", "when it was received"),
            Column("status", "text", "what became of it last: accepted, refused or parked (it waits for another event)"),
            Column("path", "text", "where it was at fault"),
            Column("reason", "text", "why it was refused, or what it waits for"),
            Column("event", "json", "the event itself, as received; a text where it was not JSON"),
        ),
    ),
    Table(
        "outcomes",
        "What became of each event, each time that it changed.",
        "partition, seq, n",
        (
            *_EVENT,
            Column("partition", "integer", "the part of history"),
            Column("seq", "integer", "the number of the event whose arrival brought this"),
            Column("n", "integer", "place among what that arrival brought"),
            Column("status", "text", "accepted, refused or parked"),
            Column("path", "text", "where it was at fault"),
            Column("reason", "text", "why"),
        ),
    ),
    Table(
        "conflicts",
        "What was sent under the source and id of another event, with other content; it was kept and had no effect.",
        "recorded_at, source, id",
        (*_EVENT, Column("recorded_at", "instant", "when it was received"), Column("event", "json", "what was sent")),
    ),
    Table(
        "courses",
        "The athlete's returns to running.",
        "course",
        (
            _COURSE,
            Column("protocol", "text", "the protocol it follows now, as id@version"),
            Column("status", "text", "open, paused or ended"),
            Column("decisions", "integer", "how many decisions were made"),
            Column("as_of", "instant", "up to when the latest decision knows what happened"),
        ),
    ),
    Table(
        "decisions",
        "Every decision, with its explanation in plain words.",
        "course, seq",
        (
            _COURSE,
            Column("seq", "integer", "the decision's number in its course"),
            Column("id", "text", "the decision's id"),
            Column("because_source", "text", "source of the event that made it"),
            Column("because_id", "text", "id of the event that made it"),
            Column("as_of", "instant", "up to when it knows what happened"),
            Column("as_at", "instant", "when the event that made it was received"),
            Column("action", "text", "advance, hold or regress"),
            Column("from_step", "text", "the step in force"),
            Column("to_step", "text", "the step recommended"),
            Column("running", "text", "as_dosed, repeat, walk_only or withheld"),
            Column("urgency", "text", "routine, review or stop_and_refer"),
            Column("not_before", "text", "the first date of the next session (ISO 8601)"),
            Column("summary", "text", "the decision in one sentence"),
            Column("explanation", "text", "what to do and why, in the athlete's words"),
            Column("decision", "json", "the whole record: dose, reasons, rules, evidence, citations"),
        ),
    ),
    Table(
        "answers",
        "What clinicians answered to recommendations.",
        "partition, seq",
        (
            *_EVENT,
            Column("time", "instant", "when it was answered"),
            Column("status", "text", "accepted, refused or parked: what became of the answer's event"),
            _COURSE,
            Column("decision", "text", "the decision's id, where it was named"),
            Column("of", "json", "what had been recommended, where it was named"),
            Column("answer", "text", "accepted, declined or modified"),
            Column("step", "text", "the step set instead"),
            Column("reason", "text", "why"),
            Column("by", "json", "who answered"),
        ),
    ),
    Table(
        "notices",
        "What was told to others about the athlete.",
        "position",
        (
            Column("id", "text", "the notice's id"),
            Column("type", "text", "what kind of notice"),
            _COURSE,
            Column("seq", "integer", "the decision it tells of"),
            Column("created_at", "instant", "when it was made"),
            Column("notice", "json", "what it says"),
        ),
    ),
    Table(
        "deliveries",
        "To whom each notice went, and what became of that.",
        "position, id",
        (
            Column("id", "text", "the delivery's id"),
            Column("notice", "text", "the notice's id"),
            Column("recipient", "text", "the server it went to"),
            Column("role", "text", "in whose words it was told"),
            Column("third_party", "text", "yes where the recipient is outside the clinic, else no"),
            Column("state", "text", "pending, delivered, cancelled, exhausted or blocked"),
            Column("because", "text", "why it was cancelled or blocked"),
            Column("created_at", "instant", "when it was planned"),
            Column("done_at", "instant", "when it ended"),
        ),
    ),
    Table(
        "attempts",
        "Every attempt of a delivery, with what left.",
        "started_at, delivery, n",
        (
            Column("delivery", "text", "the delivery's id"),
            Column("n", "integer", "the attempt's number"),
            Column("started_at", "instant", "when it began"),
            Column("duration_ms", "integer", "how long it took, in milliseconds"),
            Column("status", "integer", "the HTTP status that the recipient answered"),
            Column("error", "text", "why there was no answer"),
            Column("sent", "text", "the body that left"),
            Column("heard", "text", "the body of the answer"),
        ),
    ),
    Table(
        "acknowledgements",
        "Who took up a referral of the athlete.",
        "at, notice",
        (
            Column("notice", "text", "the notice that said it"),
            _COURSE,
            Column("by_key", "text", "the key of the person or system that took it up"),
            Column("at", "instant", "when"),
        ),
    ),
    Table(
        "terms",
        "Terms that sources attached to events: who may not be shown what follows from them.",
        "source, id",
        (*_EVENT, Column("terms", "list", "no_coach, no_third_party")),
    ),
    Table(
        "packs",
        "The rules that decided: every version of every protocol that a decision names.",
        "id, version, hash",
        (
            Column("id", "text", "the protocol's id"),
            Column("version", "text", "its version"),
            Column("hash", "text", "the hash of its content"),
            Column("text", "text", "its rules, as written (YAML)"),
            Column("floors", "list", "the rules that hold under every protocol, as it included them"),
        ),
    ),
)


_PREFACE: Final = """# What an export holds

`GET /v1/athletes/{athlete}/export` (scope `athletes:export`) and `milepost export` give everything that history holds of one athlete, as it
stood at one moment. JSON has one list per table; CSV is a zip with one file per table, and `columns.csv`, which is this page. Columns of
the two have the same names. `counts` at the end of the JSON says how long each list is; an export that was cut off is neither JSON nor a
zip that opens.

CSV is RFC 4180 in UTF-8, every cell quoted, an empty cell for what is absent. A spreadsheet must not take a text for a formula: a text
cell that begins with `=`, `+`, `-`, `@`, their full-width forms, an apostrophe, or white space has an apostrophe in front. Whoever reads
the file by program takes one leading apostrophe off every cell that has one.

Not in it, because it follows from what is, or only waits for its turn:

LEFT_OUT

Written by `python -m services.decision.export`.
"""


def documented() -> str:
    """docs/export.md, from the tables."""
    lines = _PREFACE.replace("LEFT_OUT", "\n".join(f"- {one}" for one in LEFT_OUT.values())).splitlines()
    for table in TABLES:
        lines += ["", f"## {table.name}", "", f"{table.says} By {table.order}.", "", "| column | form | says |", "|---|---|---|"]
        lines += [f"| `{one.name}` | {KINDS[one.kind]} | {one.says} |" for one in table.columns]
    return "\n".join(lines) + "\n"
