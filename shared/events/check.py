"""Form of an event's `data`: Pydantic's findings and the rules between fields, as faults with path and remedy."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from json import dumps
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from shared.events.canonical import MAX_INTEGER
from shared.events.catalogue import MEASURES, READINESS
from shared.events.courses import UNION_TAGS
from shared.events.faults import EventFault, Fault, found
from shared.events.schema import adapter, data_schema
from shared.events.vocabulary import INTERNAL_TYPES, TYPES

MAX_DEPTH = 12
MAX_VALUES = 2_000
MAX_TEXT = 4_000
# So many faults are told of one event; who sends more has sent another thing altogether.
MAX_FAULTS = 50
_TEXT = frozenset({str})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def at(path: str, *steps: str | int) -> str:
    """A path with further steps.

    >>> at("data", "flags", 0), at("data", "pain nrs")
    ('data.flags[0]', 'data["pain nrs"]')
    """
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif _NAME.fullmatch(step):
            path += f".{step}" if path else step
        else:
            path += f"[{dumps(step[:64])}]"
    return path


def suggestion(word: object, words: Sequence[str]) -> str | None:
    """`did you mean …?` where one of the words is close."""
    close = get_close_matches(word, words, 1, 0.6) if isinstance(word, str) else []
    return f"did you mean {close[0]}?" if close else None


def validate_data(event_type: str, data: object) -> dict[str, Any]:
    """The data as plain JSON, exactly the fields that were sent; whole numbers are integers (3.0 becomes 3).

    Raises EventFault with every fault, paths beginning with `data`; KeyError where the type is unknown.
    """
    faults: list[Fault] = []
    checked = check_data(event_type, data, faults)
    if checked is None:
        raise EventFault(faults)
    return checked


def check_data(event_type: str, data: object, faults: list[Fault]) -> dict[str, Any] | None:
    """As `validate_data`, adding to the list of faults; None where there was one."""
    if type(data) is not dict:
        faults.append(Fault("data", "an object", found(data), "send the fields of the event as a JSON object"))
        return None
    before = len(faults)
    budget = [MAX_VALUES]
    plain: dict[str, Any] = _plain(data, "data", 1, budget, faults)
    if len(faults) > before:
        return None
    try:
        # Only the verdict is used: where a field may hold fractions, Pydantic would hand back 3.0 for the 3 that was sent.
        adapter(event_type).validator.validate_python(plain)
    except ValidationError as error:
        faults.extend(_translated(event_type, error))
    between = _BETWEEN_FIELDS.get(event_type)
    if between is not None and (more := list(between(plain))):
        told = {fault.path for fault in faults[before:]}
        faults.extend(fault for fault in more if fault.path not in told)
    return plain if len(faults) == before else None


def _plain(value: Any, path: str, depth: int, budget: list[int], faults: list[Fault]) -> Any:
    """A copy in plain JSON types, whole numbers as integers; stops at the bounds of depth, count and size."""
    kind = type(value)
    if kind is str:
        if len(value) > MAX_TEXT:
            faults.append(Fault(path, f"a text of at most {MAX_TEXT} characters", found(value), "shorten it"))
        return value
    if kind is bool or value is None:
        return value
    if kind is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            faults.append(Fault(path, "a number that JSON holds exactly", found(value), "check the value"))
        return value
    if kind is float:
        if not math.isfinite(value):
            faults.append(Fault(path, "a finite number", found(value), "leave the field out when it is not known"))
        elif value.is_integer():
            return _plain(int(value), path, depth, budget, faults)
        return value
    budget[0] -= len(value) if kind is dict or kind is list else 1
    if budget[0] < 0:
        faults.append(Fault(path, f"at most {MAX_VALUES} values in one event", "more", "send less in one event"))
        return None
    if depth > MAX_DEPTH:
        faults.append(Fault(path, f"at most {MAX_DEPTH} levels of nesting", "more", "send it flatter"))
        return None
    if kind is dict:
        if _TEXT.issuperset(map(type, value)):
            copy = value.copy()
            for key, item in value.items():
                kind = type(item)
                # What is plain already, as nearly everything sent is, needs neither a call nor its path.
                if kind is str:
                    plain = len(item) <= MAX_TEXT
                elif kind is int:
                    plain = -MAX_INTEGER <= item <= MAX_INTEGER
                else:
                    plain = kind is bool or item is None
                if not plain:
                    copy[key] = _plain(item, f"{path}.{key}", depth + 1, budget, faults)
            return copy
    elif kind is list:
        return [_plain(item, f"{path}[{index}]", depth + 1, budget, faults) for index, item in enumerate(value)]
    faults.append(Fault(path, "a JSON value", found(value), "send plain JSON"))
    return None


def _translated(event_type: str, error: ValidationError) -> Iterator[Fault]:
    schema = data_schema(event_type)
    for item in error.errors(include_url=False, include_context=False)[:MAX_FAULTS]:
        steps = [step for step in item["loc"] if step not in UNION_TAGS]
        path = at("data", *steps)
        node = _node(schema, steps)
        kind, value = item["type"], item["input"]
        if kind == "extra_forbidden":
            fields = sorted(_node(schema, steps[:-1]).get("properties", {}))
            do = suggestion(steps[-1], fields) or "leave it out; the fields are " + ", ".join(fields)
            yield Fault(path, "no such field", "an unknown field", do)
        elif kind == "missing":
            yield Fault(path, phrase(node, schema), "nothing", "send this field, it is required")
        elif value is None:
            yield Fault(path, phrase(node, schema), "null", "leave the field out when it is not known")
        else:
            yield Fault(path, phrase(node, schema), found(value), _remedy(node, value))


def _remedy(node: dict[str, Any], value: object) -> str:
    words = _words(node)
    if words:
        return suggestion(value, words) or "send one of these words, or leave the field out if it may be absent"
    kind = node.get("type")
    if kind in ("number", "integer"):
        if isinstance(value, str):
            return "send the number without quotes"
        return "check the value and its unit"
    if kind == "boolean":
        return "send true or false without quotes"
    return "correct the value"


def _words(node: dict[str, Any]) -> list[str]:
    return [str(word) for word in node.get("enum", [node["const"]] if "const" in node else [])]


def _node(schema: dict[str, Any], steps: Sequence[str | int]) -> dict[str, Any]:
    """The part of the schema that a path leads to; empty where it leads nowhere."""
    node = schema
    for step in steps:
        node = _step(_resolved(node, schema), step, schema)
    return _resolved(node, schema)


def _step(node: dict[str, Any], step: str | int, schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(step, int):
        inner: dict[str, Any] = node.get("items", {})
        return inner
    for option in [node, *(_resolved(option, schema) for option in node.get("oneOf", node.get("anyOf", [])))]:
        if step in option.get("properties", {}):
            inner = option["properties"][step]
            return inner
    return {}


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return {**schema["$defs"][reference.rsplit("/", 1)[1]], **node} if reference else node


def phrase(node: dict[str, Any], schema: dict[str, Any]) -> str:
    """What a schema expects, in words.

    >>> phrase({"type": "number", "minimum": 0, "maximum": 10}, {})
    'a number from 0 to 10'
    """
    node = _resolved(node, schema)
    options = node.get("oneOf", node.get("anyOf"))
    if options:
        return " or ".join(phrase(option, schema) for option in options)
    words = _words(node)
    if words:
        if len(words) == 1:
            return words[0]
        return "one of " + ", ".join(words) if len(words) <= 40 else f"one of {len(words)} words such as {', '.join(words[:8])}"
    kind = node.get("type")
    if kind in ("number", "integer"):
        name = "a whole number" if kind == "integer" else "a number"
        return f"{name} from {node['minimum']:g} to {node['maximum']:g}" if "minimum" in node and "maximum" in node else name
    if kind == "boolean":
        return "true or false"
    if kind == "array":
        return f"a list of at most {node['maxItems']}" if "maxItems" in node else "a list"
    if kind == "object":
        return "an object"
    if "format" in node or "examples" in node:
        return str(node.get("description", "a text"))
    if "maxLength" in node:
        return f"a text of 1 to {node['maxLength']} characters without control characters"
    return "a text"


def _settled(data: dict[str, Any]) -> Iterator[Fault]:
    if "settled_min" in data and data.get("settled") is False:
        minutes = found(data["settled_min"])
        yield Fault("data.settled_min", "no minutes before it has settled", minutes, "leave it out, or send settled true")


def _whole(data: dict[str, Any]) -> Iterator[Fault]:
    if data.get("data") == {}:
        yield Fault("data.data", "the whole new data", "an empty object", "send all fields of the event, not only what changes")


def _measured(data: dict[str, Any]) -> Iterator[Fault]:
    test, value, unit = data.get("test"), data.get("value"), data.get("unit")
    measure = MEASURES.get(test) if isinstance(test, str) else None
    if measure is None:
        return
    if isinstance(unit, str) and unit != measure.unit:
        yield Fault("data.unit", measure.unit, found(unit), f"send the value of {test} in {measure.unit}")
    if isinstance(value, int | float) and not isinstance(value, bool) and not measure.low <= value <= measure.high:
        expected = f"a number from {measure.low:g} to {measure.high:g} ({measure.unit})"
        yield Fault("data.value", expected, found(value), "check the value and its unit")


def _readiness(data: dict[str, Any]) -> Iterator[Fault]:
    readiness = data.get("readiness")
    if not isinstance(readiness, dict):
        return
    scale, score = readiness.get("scale"), readiness.get("score")
    bounds = READINESS.get(scale) if isinstance(scale, str) else None
    if bounds and isinstance(score, int | float) and not isinstance(score, bool) and not bounds[0] <= score <= bounds[1]:
        expected = f"a score from {bounds[0]:g} to {bounds[1]:g} on {scale}"
        yield Fault("data.readiness.score", expected, found(score), "check the score and its scale")


_BETWEEN_FIELDS: Final[Mapping[str, Callable[[dict[str, Any]], Iterator[Fault]]]] = MappingProxyType(
    {
        "milepost.symptom.reported": _settled,
        "milepost.milestone.assessed": _measured,
        "milepost.wellness.reported": _readiness,
        "milepost.event.corrected": _whole,
    }
)
"""Rules that read more than one field. They see raw values, so that they speak even where another field is at fault."""


def known(event_type: object, internal: bool) -> bool:
    """Whether a type may stand here; internal types only where history is read."""
    return event_type in TYPES or (internal and event_type in INTERNAL_TYPES)
