"""Append-only tables whose rows stand in no partition's history: what of them is committed to, in which order of columns."""

from typing import Final, NamedTuple


class Sealed(NamedTuple):
    """A table with a tree of its own, named as the table. All but `columns` are SQL over `t`, the table."""

    table: str
    row: str
    """Text that names the row."""
    tenant: str
    athlete: str
    """Whose key the row's salt comes from; empty text: the installation's."""
    columns: tuple[str, ...]
    """In the order of the commitment. A column that is added to the table later is not committed to until it is added here, with a
    new tree."""
    since: str | None
    """When the row was written, to look for new rows among the newest only; None looks at all."""


SEALED: Final = (
    Sealed(
        "notices",
        "t.id",
        "t.tenant",
        "coalesce(t.athlete, '')",
        ("id", "outbox", "tenant", "athlete", "course", "seq", "type", "body", "created_at", "position", "planned"),
        "t.created_at",
    ),
    Sealed(
        "attempts",
        "concat_ws(' ', t.delivery, t.n)",
        "t.tenant",
        "coalesce((SELECT n.athlete FROM deliveries AS d JOIN notices AS n ON n.id = d.notice WHERE d.id = t.delivery), '')",
        ("delivery", "n", "tenant", "started_at", "duration_ms", "status", "error", "request_headers", "request_body", "response_body"),
        "t.started_at",
    ),
    Sealed(
        "pack_events",
        "concat_ws(' ', t.scope, t.pack, t.seq)",
        "t.scope",
        "''",
        ("scope", "pack", "seq", "kind", "actor", "role", "hash", "at", "body", "source", "floors"),
        "t.at",
    ),
    Sealed(
        "notice_policies",
        "concat_ws(' ', t.tenant, t.version)",
        "t.tenant",
        "''",
        ("tenant", "version", "coach_release", "acknowledge_within_s", "answer_within_s", "changed_at", "changed_by"),
        "t.changed_at",
    ),
    Sealed(
        "acknowledgements", "concat_ws(' ', t.tenant, t.notice)", "t.tenant", "''", ("tenant", "notice", "course", "by_key", "at"), "t.at"
    ),
    Sealed(
        "answer_links", "concat_ws(' ', t.tenant, t.id)", "t.tenant", "''", ("id", "tenant", "course", "decision", "used_at"), "t.used_at"
    ),
    Sealed(
        "event_terms",
        "json_build_array(t.tenant, t.source, t.id)::text",
        "t.tenant",
        "t.athlete",
        ("tenant", "source", "id", "athlete", "terms"),
        None,
    ),
)

BY_NAME: Final = {one.table: one for one in SEALED}
