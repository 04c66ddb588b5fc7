"""What authors read beside their editor: the JSON Schema of a pack, and the catalogue of facts, both made from the code."""

import json
from pathlib import Path
from typing import Any, Final

from services.decision.core.facts import CATALOGUE
from services.decision.core.protocol import FactType
from services.decision.core.units import UNITS
from services.decision.rules.model import PackText

SCHEMA: Final = Path("schemas") / "pack.json"
FACTS: Final = Path("facts.md")
_WORSE: Final = {"higher": "more is worse", "lower": "less is worse", "true": "yes is worse", "false": "no is worse", "none": "neither"}
_FAMILIES: Final = {
    "pain": "Pain",
    "swelling": "Swelling",
    "stiffness": "Stiffness",
    "flag": "Red flags and reviews",
    "function": "Function: tests",
    "technique": "Technique",
    "load": "Load",
    "wellness": "Wellness",
    "readiness": "Readiness",
    "clearance": "Clearances",
    "population": "Whom the protocol is for",
    "standing": "What stands on the course",
}


def pack_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a pack file, with the names of facts and the units of amounts."""
    schema = PackText.model_json_schema(by_alias=True)
    condition = schema["$defs"]["ConditionText"]["properties"]
    condition["fact"] = {"enum": sorted(CATALOGUE), "description": "A fact of the catalogue, docs/facts.md."}
    condition["max_age"] = {"type": "string", "pattern": r"^[0-9]+ (d|wk)$", "description": "How old it may be: 14 d, 6 wk."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:milepost:schema:pack:1", **schema}


def schema_text() -> str:
    return json.dumps(pack_schema(), indent=2, sort_keys=True) + "\n"


def facts_page() -> str:
    """The catalogue as Markdown: for each fact its meaning, its measure, which way is worse, and what has to be reported for it."""
    lines = [
        "# The catalogue of facts",
        "",
        "What rules may read, by family. Made from `services/decision/core/facts/` by `python -m services.decision.rules`. A fact is",
        "unknown, with its reason, until what it comes from has been reported; unknown never advances. `session.*` facts speak of the",
        "last running session, and of each session where a pack's `clean` reads them.",
    ]
    for family in dict.fromkeys((*_FAMILIES, *sorted(kind.family for kind in CATALOGUE.values()))):
        kinds = [kind for _, kind in sorted(CATALOGUE.items()) if kind.family == family]
        if kinds:
            lines += [
                "",
                f"## {_FAMILIES.get(family, family)}",
                "",
                "| fact | what it is | measure | worse | comes from |",
                "|---|---|---|---|---|",
            ]
            lines += [f"| `{k.name}` | {k.meaning} | {measure(k)} | {_WORSE[k.worse]} | {k.ask} |" for k in kinds]
    lines += ["", "## Units", "", "| unit | UCUM | dimension | range | instrument |", "|---|---|---|---|---|"]
    lines += [f"| `{u.word}` | `{u.ucum}` | {u.dimension} | {u.low:g} to {u.high:g} | {u.instrument} |" for u in UNITS.values()]
    return "\n".join(lines) + "\n"


def measure(kind: FactType) -> str:
    """Unit, range and resolution of a number; the words of a choice, from best to worst where one is worse."""
    if kind.kind == "boolean":
        return "yes or no"
    if kind.kind == "choice":
        return ", ".join(kind.choices) if len(kind.choices) <= 8 else f"one of {len(kind.choices)}: {', '.join(kind.choices)}"
    return f"`{kind.unit}`, {kind.low:g} to {kind.high:g} in steps of {1 / kind.scale:g}"


def write_all(folder: Path) -> None:
    (folder / SCHEMA).write_text(schema_text(), encoding="utf-8")
    (folder / FACTS).write_text(facts_page(), encoding="utf-8")
