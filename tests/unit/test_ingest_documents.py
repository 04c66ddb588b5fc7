"""What /openapi.json shows is what ingest takes."""

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from services.ingest.api.documents import EVENTS_BODY, FILE_RESPONSES, SESSION, SYMPTOM, schemas
from services.ingest.app import create_app
from services.ingest.formats.cloudevents import BATCH
from shared.events import TYPES, parse
from shared.settings import Settings


@pytest.mark.parametrize("event", [SYMPTOM, SESSION])
def test_the_examples_are_events(event):
    parse(event)


def test_the_batch_example_is_valid_against_the_schema_it_stands_by():
    components = {"components": {"schemas": schemas()}}
    Draft202012Validator(EVENTS_BODY["content"][BATCH]["schema"] | components).validate([SESSION, SYMPTOM])
    answer = FILE_RESPONSES[202]["content"]["application/json"]
    Draft202012Validator(answer["schema"] | components).validate(answer["example"])


def test_every_type_is_described_and_by_is_left_to_the_key():
    components = create_app(Settings(pseudonym_key="11" * 32)).openapi()["components"]["schemas"]
    assert set(TYPES) <= set(components)
    assert "by" not in components["milepost.clearance.recorded"]["properties"]["data"]["required"]
    assert "#/$defs/" not in str(components)
