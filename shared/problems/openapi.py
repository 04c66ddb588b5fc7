"""How problem documents look in an app's OpenAPI."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI

from shared.problems.problem import FAULTS_SHOWN, MEDIA_TYPE

_REFERENCE: Final = {"$ref": "#/components/schemas/Problem"}
_CONTENT: Final[dict[str, Any]] = {MEDIA_TYPE: {"schema": _REFERENCE}}

_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "RFC 9457 problem document",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:milepost:problem:[a-z0-9-]+$", "description": "What programs may rely on"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "One sentence for a person: what is wrong and what to do"},
        "fault_count": {"type": "integer", "minimum": 1},
        "faults": {
            "type": "array",
            "maxItems": FAULTS_SHOWN,
            "items": {
                "type": "object",
                "required": ["path", "expected"],
                "properties": {
                    "path": {"type": "string", "description": "As in `data.pain_nrs`; empty for the whole"},
                    "found": {"type": "string"},
                    "expected": {"type": "string"},
                    "do": {"type": "string"},
                },
            },
        },
    },
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that may answer these statuses with a problem document; 500 is always among them."""
    return {status: {"description": HTTPStatus(status).phrase, "content": _CONTENT} for status in sorted({*statuses, 500})}


def describe(app: FastAPI) -> None:
    """Name the problem document in the app's OpenAPI, and put it where FastAPI would describe its own validation errors."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(generate())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_problems(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _SCHEMA
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            if not isinstance(operation, dict) or "responses" not in operation:
                continue
            answer = operation["responses"].get("422")
            if answer and answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "").endswith(
                "/HTTPValidationError"
            ):
                answer["content"] = _CONTENT
    return document
