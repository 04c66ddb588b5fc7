"""JSON Schema (draft 2020-12) of every event type, and of the CloudEvent around it."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from shared.events.vocabulary import INTERNAL_TYPES, TYPES

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@cache
def adapter(event_type: str) -> "TypeAdapter[dict[str, Any]]":
    """The compiled check of the `data` of a type; KeyError where the type is unknown."""
    return TypeAdapter(TYPES.get(event_type) or INTERNAL_TYPES[event_type])


@cache
def data_schema(event_type: str) -> dict[str, Any]:
    """JSON Schema of the `data` of a type; KeyError where the type is unknown. Not to be changed by the caller."""
    return _tidy(adapter(event_type).json_schema())


def json_schema(event_type: str) -> dict[str, Any]:
    """JSON Schema of a whole CloudEvent of this type, as a sender outside writes it; KeyError where the type is unknown."""
    data = dict(data_schema(event_type))
    definitions = data.pop("$defs", {})
    text = {"type": "string", "minLength": 1, "maxLength": 200}
    schema: dict[str, Any] = {
        "$schema": DRAFT,
        "$id": f"urn:milepost:schema:{event_type}",
        "title": event_type,
        "type": "object",
        "additionalProperties": False,
        "required": ["specversion", "id", "source", "type", "subject", "time", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**text, "description": "unique per source"},
            "source": {**text, "format": "uri-reference"},
            "type": {"const": event_type},
            "subject": {**text, "description": "athlete id, opaque, never a name"},
            "time": {"type": "string", "format": "date-time", "description": "when it happened, with offset"},
            "datacontenttype": {"const": "application/json"},
            "dataschema": {"type": "string", "format": "uri"},
            "course": {**text, "description": "default: the athlete's only open course"},
            "traceparent": text,
            "tracestate": {"type": "string", "minLength": 1, "maxLength": 512},
            "partitionkey": text,
            "sequence": text,
            "terms": {
                "type": "string",
                "pattern": "^ *(no_coach|no_third_party)( +(no_coach|no_third_party))* *$",
                "description": "terms of the data's source: who may not be shown what follows from it",
            },
            "data": data,
        },
    }
    if definitions:
        schema["$defs"] = definitions
    return schema


def write_all(folder: Path) -> list[Path]:
    """Write one `<type>.json` for each type a sender may use; returns the paths written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for event_type in TYPES:
        path = folder / f"{event_type}.json"
        path.write_text(rendered(event_type), encoding="utf-8")
        written.append(path)
    return written


def rendered(event_type: str) -> str:
    """The text of the schema document of a type."""
    return json.dumps(json_schema(event_type), indent=2, ensure_ascii=False) + "\n"


def _tidy(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the titles that Pydantic derives from field names: they say nothing the name does not."""
    tidied: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "title" and isinstance(value, str):
            continue
        if key in ("properties", "$defs"):
            tidied[key] = {name: _tidy(item) for name, item in value.items()}
        elif isinstance(value, dict):
            tidied[key] = _tidy(value)
        elif isinstance(value, list):
            tidied[key] = [_tidy(item) if isinstance(item, dict) else item for item in value]
        else:
            tidied[key] = value
    return tidied
