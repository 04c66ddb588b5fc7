"""How the routes look in /openapi.json: bodies, answers, examples."""

from typing import Any, Final

from services.ingest.formats.cloudevents import BATCH, JSON, LINES, STRUCTURED
from shared.events import TYPES, json_schema
from shared.events.vocabulary import NEEDS_PERSON

_COMPONENTS: Final = "#/components/schemas/"
_ANY_EVENT: Final = {"$ref": f"{_COMPONENTS}Event"}

SYMPTOM: Final = {
    "specversion": "1.0",
    "id": "checkin-2026-03-04",
    "source": "urn:example:app",
    "type": "milepost.symptom.reported",
    "subject": "athlete-17",
    "time": "2026-03-04T07:30:00+01:00",
    "data": {"when": "next_morning", "pain_nrs": 1, "pain_change": "same", "swelling": "none"},
}
SESSION: Final = {
    "specversion": "1.0",
    "id": "run-2026-03-03",
    "source": "urn:example:app",
    "type": "milepost.session.completed",
    "subject": "athlete-17",
    "time": "2026-03-03T17:00:00+01:00",
    "data": {
        "session": "run-2026-03-03",
        "kind": "run_walk",
        "step": "W1",
        "duration_s": 1800,
        "run_s": 360,
        "walk_s": 1440,
        "reps": 6,
        "rpe": 3,
    },
}

EVENTS_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        STRUCTURED: {"schema": _ANY_EVENT, "examples": {"symptom": {"value": SYMPTOM}, "session": {"value": SESSION}}},
        JSON: {
            "schema": {"type": "object"},
            "examples": {
                "structured": {"summary": "A CloudEvent, when no ce- headers are sent", "value": SYMPTOM},
                "binary": {"summary": "Only the data, when the attributes stand in ce- headers", "value": SYMPTOM["data"]},
            },
        },
        BATCH: {"schema": {"type": "array", "items": _ANY_EVENT}, "examples": {"two": {"value": [SESSION, SYMPTOM]}}},
        LINES: {"schema": {"type": "string", "description": "One CloudEvent as JSON per line"}},
    },
}

_TAKEN: Final = {
    "accepted": 1,
    "duplicate": 0,
    "rejected": 0,
    "outcomes": [{"index": 0, "source": "urn:example:app", "id": "checkin-2026-03-04", "outcome": "accepted", "status": 202, "faults": []}],
}

EVENTS_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "description": "Every accepted event is on disk on the bus",
        "content": {JSON: {"schema": {"$ref": f"{_COMPONENTS}Outcomes"}, "example": _TAKEN}},
    }
}

FILE_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "application/vnd.ant.fit": {"schema": {"type": "string", "format": "binary"}},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
        },
    },
}

_FILE_TAKEN: Final = {
    "accepted": 1,
    "duplicate": 0,
    "rejected": 0,
    "outcomes": [{"index": 0, "source": "urn:milepost:file:fit", "id": "9c56:session", "outcome": "accepted", "status": 202, "faults": []}],
    "session": "fit-9c5619cf1aa3ef0d",
    "decoder": "garmin-fit-sdk",
    "events": [
        SESSION
        | {
            "id": "9c56:session",
            "source": "urn:milepost:file:fit",
            "data": {"session": "fit-9c5619cf1aa3ef0d", "kind": "run_walk", "duration_s": 1800, "run_s": 360, "walk_s": 1440, "reps": 6},
        }
    ],
    "warnings": ["the balance of ground contact is left out: the file does not say which side it counts"],
}

FILE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    202: {
        "description": "The file was read, and every accepted event is on disk on the bus",
        "content": {JSON: {"schema": {"$ref": f"{_COMPONENTS}FileOutcomes"}, "example": _FILE_TAKEN}},
    }
}

_OUTCOME: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["index", "source", "id", "outcome", "status", "faults"],
    "properties": {
        "index": {"type": "integer", "minimum": 0, "description": "Place in the request, from 0"},
        "source": {"type": ["string", "null"]},
        "id": {"type": ["string", "null"]},
        "outcome": {"enum": ["accepted", "duplicate", "rejected"]},
        "status": {"type": "integer", "description": "What the event would have been answered alone"},
        "faults": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "expected", "found", "do"],
                "properties": {name: {"type": "string"} for name in ("path", "expected", "found", "do")},
            },
        },
    },
}
_COUNTS: Final[dict[str, Any]] = {name: {"type": "integer", "minimum": 0} for name in ("accepted", "duplicate", "rejected")}
_OUTCOMES: Final[dict[str, Any]] = {
    "type": "object",
    "required": [*_COUNTS, "outcomes"],
    "properties": _COUNTS | {"outcomes": {"type": "array", "items": {"$ref": f"{_COMPONENTS}Outcome"}}},
}
_FILE_OUTCOMES: Final[dict[str, Any]] = {
    "type": "object",
    "required": [*_OUTCOMES["required"], "session", "decoder", "events", "warnings"],
    "properties": _OUTCOMES["properties"]
    | {
        "session": {"type": "string", "description": "The session's id in the events, given or made from the file's digest"},
        "decoder": {"enum": ["garmin-fit-sdk", "fitdecode"], "description": "Which decoder read the file"},
        "events": {"type": "array", "items": {"type": "object"}, "description": "The CloudEvents that were made"},
        "warnings": {"type": "array", "items": {"type": "string"}, "description": "What could not be read, and what was assumed"},
    },
}


def schemas() -> dict[str, Any]:
    """The component schemas: every event type as it is sent here, and the outcomes."""
    components: dict[str, Any] = {"Outcome": _OUTCOME, "Outcomes": _OUTCOMES, "FileOutcomes": _FILE_OUTCOMES}
    for event_type in TYPES:
        schema = _hoisted(json_schema(event_type), components)
        for name in ("$schema", "$id"):
            schema.pop(name)
        if event_type in NEEDS_PERSON:
            # Filled from the key.
            data = schema["properties"]["data"]
            data["required"] = [name for name in data["required"] if name != "by"]
        components[event_type] = schema
    components["Event"] = {
        "oneOf": [{"$ref": _COMPONENTS + event_type} for event_type in TYPES],
        "discriminator": {"propertyName": "type", "mapping": {event_type: _COMPONENTS + event_type for event_type in TYPES}},
    }
    return components


def _hoisted(schema: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    """The schema with its definitions moved among the components, where OpenAPI looks for them."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: item.replace("#/$defs/", _COMPONENTS) if key == "$ref" else moved(item)
                for key, item in value.items()
                if key != "$defs"
            }
        return [moved(item) for item in value] if isinstance(value, list) else value

    components.update({name: moved(definition) for name, definition in schema.get("$defs", {}).items()})
    whole: dict[str, Any] = moved(schema)
    return whole
