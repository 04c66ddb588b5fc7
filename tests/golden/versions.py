"""Stored events of every version there ever was, as history holds them and as they are read today; one file each, for ever.

`python -m tests.golden.versions` writes what is missing (never what is there) and takes what the vocabulary gained into `vocabulary.json`,
the data schemas of everything that senders ever could send.
"""

from pathlib import Path
from typing import Any

import orjson

from shared.events import INTERNAL_TYPES, TYPES, parse
from shared.events.schema import data_schema
from shared.events.versions import current, marked

HERE = Path(__file__).parent
EVENTS = HERE / "events"
VOCABULARY = HERE / "vocabulary.json"

Raw = dict[str, Any]

TODAY: dict[str, Raw] = {
    "milepost.time.reached": {"course": "c", "kind": "report_due"},
    "milepost.engine.faulted": {"course": "c", "engine": "durable", "kind": "fault", "tries": 3, "detail": "no answer within the time"},
    "milepost.course.migrated": {
        "course": "c",
        "protocol": "mil-knee-overuse@1.1.0",
        "from_hash": "sha256:1",
        "to_hash": "sha256:2",
        "step": "P2",
        "reason": "the pack was corrected",
        "by": {"id": "k", "role": "clinician"},
    },
}
"""Data as today's release writes it, of each type that has versions."""


def path(event_type: str, version: int) -> Path:
    return EVENTS / f"{event_type}.{version}.json"


def golden(event_type: str, version: int) -> dict[str, Raw]:
    """`stored`: the event as history holds it. `read`: the event as it is read today."""
    found: dict[str, Raw] = orjson.loads(path(event_type, version).read_bytes())
    return found


def read(stored: Raw) -> Raw:
    return parse(stored, internal=True).wire()


def vocabulary() -> dict[str, Raw]:
    """The data schemas of all types as they are now."""
    return {name: data_schema(name) for name in (*TYPES, *INTERNAL_TYPES)}


def narrower(old: Any, new: Any, at: str = "data") -> list[str]:
    """What the old schema takes and the new one may refuse, by place; empty where everything that was ever valid still is."""
    return _narrower(old, new, old.get("$defs", {}), new.get("$defs", {}), at)


def _narrower(old: Raw, new: Raw, olds: Raw, news: Raw, at: str) -> list[str]:
    old, new = _resolved(old, olds), _resolved(new, news)
    choices, others = _choices(old), _choices(new)
    if choices or others:
        pairs = ((one, min((_narrower(one, other, olds, news, at) for other in others or [new]), key=len)) for one in choices or [old])
        return [fault for _, faults in pairs for fault in faults]
    found = []
    words, kept = _words(old), _words(new)
    if kept is not None and (words is None or not words <= kept):
        found.append(f"{at}: no longer takes {sorted(words - kept) if words else 'any value'}")
    if "type" in new and new["type"] != old.get("type") and not (new["type"] == "number" and old.get("type") == "integer"):
        found.append(f"{at}: {old.get('type')} became {new['type']}")
    for name, sign in (("minimum", 1), ("minLength", 1), ("minItems", 1), ("maximum", -1), ("maxLength", -1), ("maxItems", -1)):
        if name in new and (name not in old or sign * new[name] > sign * old[name]):
            found.append(f"{at}: {name} {old.get(name)} became {new[name]}")
    for name in ("pattern", "format"):
        if name in new and new[name] != old.get(name):
            found.append(f"{at}: {name} changed")
    before, after = old.get("properties", {}), new.get("properties", {})
    found += [f"{at}.{name}: is required now" for name in sorted({*new.get("required", [])} - {*old.get("required", [])})]
    if new.get("additionalProperties") is False:
        found += [f"{at}.{name}: is gone" for name in sorted(before.keys() - after.keys())]
    for name in before.keys() & after.keys():
        found += _narrower(before[name], after[name], olds, news, f"{at}.{name}")
    if "items" in old or "items" in new:
        found += _narrower(old.get("items", {}), new.get("items", {}), olds, news, f"{at}[]")
    return found


def _resolved(node: Raw, known: Raw) -> Raw:
    reference = node.get("$ref")
    return {**known[reference.rsplit("/", 1)[1]], **node} if reference else node


def _choices(node: Raw) -> list[Raw]:
    return list(node.get("oneOf") or node.get("anyOf") or ())


def _words(node: Raw) -> set[str] | None:
    if "const" in node:
        return {str(node["const"])}
    return {str(word) for word in node["enum"]} if "enum" in node else None


def main() -> None:
    for event_type, data in TODAY.items():
        file = path(event_type, current(event_type))
        if not file.exists():
            stored: Raw = {"specversion": "1.0", "id": "1", "source": "urn:milepost:decision", "type": event_type, "subject": "a"}
            stored |= {"time": "2026-03-09T00:00:00Z", "course": "c", "tenant": "t", "recordedtime": "2026-03-09T08:00:00Z"}
            stored |= {**marked(event_type), "data": data}
            file.write_bytes(orjson.dumps({"stored": stored, "read": read(stored)}, option=orjson.OPT_INDENT_2) + b"\n")
    before: dict[str, Raw] = orjson.loads(VOCABULARY.read_bytes()) if VOCABULARY.exists() else {}
    lost = [fault for name, old in before.items() if current(name) == 1 for fault in narrower(old, vocabulary().get(name, {}), name)]
    if lost:
        raise SystemExit("senders could send this, and history may hold it: " + "; ".join(lost))
    VOCABULARY.write_bytes(orjson.dumps(vocabulary(), option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main()
