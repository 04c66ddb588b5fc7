"""The published JSON Schema documents say what the checks hold."""

import json
from pathlib import Path

import pytest

from shared.events import TYPES, json_schema
from shared.events.schema import rendered, write_all

DOCUMENTS = Path(__file__).parents[2] / "docs" / "schemas"


@pytest.mark.parametrize("event_type", TYPES)
def test_the_document_of_each_type_is_current(event_type):
    written = (DOCUMENTS / f"{event_type}.json").read_text(encoding="utf-8")
    assert written == rendered(event_type), "run: python -m shared.events"


def test_no_document_of_a_type_that_is_gone_is_left():
    assert {path.stem for path in DOCUMENTS.glob("milepost.*.json")} == set(TYPES)


def test_write_all_writes_one_document_for_each_type(tmp_path):
    assert [path.stem for path in write_all(tmp_path)] == list(TYPES)


@pytest.mark.parametrize("event_type", TYPES)
def test_no_schema_permits_null_or_unknown_fields(event_type):
    schema = json_schema(event_type)
    assert '"null"' not in json.dumps(schema)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["data"]["additionalProperties"] is False


def test_an_unknown_type_has_no_schema():
    with pytest.raises(KeyError):
        json_schema("milepost.shoe.bought")
