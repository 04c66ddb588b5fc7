"""The pages made from the code say what the code says."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from services.decision.core.facts import CATALOGUE
from services.decision.rules.library import FLOORS, SHIPPED
from services.decision.rules.pages import FACTS, SCHEMA, facts_page, pack_schema, schema_text

DOCS = Path(__file__).parents[3] / "docs"
AGAIN = "run `python -m services.decision.rules` and commit what it writes"


def test_the_schema_and_the_catalogue_are_those_of_the_code() -> None:
    assert (DOCS / SCHEMA).read_text(encoding="utf-8") == schema_text(), AGAIN
    assert (DOCS / FACTS).read_text(encoding="utf-8") == facts_page(), AGAIN


@pytest.mark.parametrize("path", [p for p in sorted(SHIPPED.glob("*.yaml")) if p.stem not in FLOORS], ids=lambda path: path.stem)
def test_every_shipped_pack_fits_the_schema(path: Path) -> None:
    found = json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))
    faults = [fault.message for fault in jsonschema.Draft202012Validator(pack_schema()).iter_errors(found)]
    assert faults == []


def test_the_schema_refuses_a_fact_that_is_none() -> None:
    condition = {"$ref": "#/$defs/ConditionText", "$defs": pack_schema()["$defs"]}
    [fault] = jsonschema.Draft202012Validator(condition).iter_errors({"fact": "pain.nwo", "is": "at_most", "value": "2 nrs"})
    assert "pain.nwo" in fault.message


def test_every_fact_says_what_it_means_how_it_is_measured_and_what_is_to_be_reported() -> None:
    for kind in CATALOGUE.values():
        assert kind.meaning and kind.ask, kind.name
        assert kind.kind != "number" or (kind.unit and kind.low < kind.high), kind.name
