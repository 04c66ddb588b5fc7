"""From a YAML file to checked text: YAML 1.2's core words only, no anchors, no key twice, bounded; every fault with line and column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from services.decision.rules.faults import FaultyPack, PackFault
from services.decision.rules.model import Strict

MAX_BYTES = 1 << 20
MAX_DEPTH = 24
MOST_TOLD = 200
"""Of one and the same slip on many lines, so many are told."""
M = TypeVar("M", bound=BaseModel)
_TRUTHS = ("yes", "no", "on", "off")

_REFUSED = {
    "AnchorToken": "anchors, aliases and tags are not allowed; write it out",
    "AliasToken": "anchors, aliases and tags are not allowed; write it out",
    "TagToken": "anchors, aliases and tags are not allowed; write it out",
    "DirectiveToken": "directives are not allowed; take the line out",
}


_MENDED = {
    "mapping values are not allowed": "put text that holds a colon and a space in quotes, or mend the indent",
    "did not find expected key": "begin it in the same column as the words beside it, and close what was opened",
    "expected <block end>": "begin it in the same column as the words beside it, and close what was opened",
    "could not find expected ':'": "write a colon and a space after the word, or put the text in quotes",
    "unexpected end of stream": "close the quote or bracket that was opened",
    "another document": "a file holds one pack: take out `---` and what follows, or make it a file of its own",
    "cannot start any token": "put text that begins with this character in quotes",
}
"""What the YAML library says of the slips that people make, and what to do about each."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes and resolves plain words as the core schema of YAML 1.2 does, and dates: `yes`, `on`, `1:30` stay text, and so
    does `010`, which is ten to one reader and eight to another.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("date", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", list("0123456789")),
):
    _Loader.add_implicit_resolver(_tag, re.compile(rf"^(?:{_form})$"), _first)


@dataclass(frozen=True, slots=True)
class Source(Generic[M]):
    """A file that was read, what it says, and where it says it."""

    name: str
    text: M
    raw: bytes
    tree: Node | None

    def fault(self, path: str, sentence: str, code: str = "FORM") -> PackFault:
        """A fault at a path as `rules[3].when[0].fact`: at the deepest part of it that the file has."""
        line, column = place(self.tree, [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)])
        return PackFault(self.name, line, column, path, sentence, code)


def read(path: Path, model: type[M]) -> Source[M]:
    """The file as `model`; raises `FaultyPack` with every fault found."""
    return parse(str(path), bytes_of(path), model)


def bytes_of(path: Path) -> bytes:
    """What the file holds, and not much more than a pack may; raises `FaultyPack` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        told = f"cannot be read: {error.strerror}; give the path of a pack file"
        raise FaultyPack([PackFault(str(path), 1, 1, "", told)]) from error


def parse(name: str, raw: bytes, model: type[M]) -> Source[M]:
    """The same of bytes at hand; `name` is what faults call it."""
    tree, plain, faults = understood(name, raw)
    try:
        text = model.model_validate(plain)
    except ValidationError as error:
        raise FaultyPack([*faults, *(_fault(name, tree, one) for one in meant(error.errors()))]) from error
    if faults:
        raise FaultyPack(faults)
    return Source(name, text, raw, tree)


def understood(name: str, raw: bytes) -> tuple[Node | None, Any, list[PackFault]]:
    """The file as YAML says it: its nodes, its plain values, and the faults that leave the rest of it readable. Raises `FaultyPack` where
    it is no YAML of this language at all.
    """
    tree = _tree(name, raw)
    faults: list[PackFault] = []
    return tree, _plain(name, tree, faults), faults


def _tree(name: str, raw: bytes) -> Node | None:
    if len(raw) > MAX_BYTES:
        raise FaultyPack(
            [PackFault(name, 1, 1, "", f"is larger than {MAX_BYTES} bytes; a pack is at most that: split it, or shorten its prose")]
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise FaultyPack([PackFault(name, line, column, "", "is not UTF-8 text from here on; save the file as UTF-8")]) from error
    tabs = [(n, line.index("\t") + 1) for n, line in enumerate(text.split("\n"), 1) if "\t" in line]
    if tabs:
        told = "is not YAML of this language: a tab stands here; write spaces"
        raise FaultyPack([PackFault(name, line, column, "", told) for line, column in tabs[:MOST_TOLD]])
    try:
        _bounded(name, text)
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        unclosed = "end of stream" in str(error.problem)
        mark = (error.context_mark if unclosed else None) or error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        problem = str(error.problem).splitlines()[0]
        do = next(
            (do for said, do in _MENDED.items() if said in problem),
            "look at the quotes, colons and indents of this line and the one before",
        )
        raise FaultyPack([PackFault(name, line, column, "", f"is not YAML: {problem}; {do}")]) from error
    except yaml.reader.ReaderError as error:
        told = "a character stands here that YAML does not allow; take it out"
        raise FaultyPack([PackFault(name, text[: error.position].count("\n") + 1, 1, "", f"is not YAML: {told}")]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise FaultyPack([PackFault(name, 1, 1, "", "is not YAML that can be read")]) from error


def _bounded(name: str, text: str) -> None:
    """Looks at the tokens before anything is built from them: nothing that refers elsewhere, nothing nested without end."""
    depth = 0
    refused: list[PackFault] = []
    for token in yaml.scan(text, Loader=_Loader):
        kind = type(token).__name__
        depth += kind.endswith("StartToken") and kind not in ("StreamStartToken", "DocumentStartToken")
        depth -= kind.endswith("EndToken") and kind not in ("StreamEndToken", "DocumentEndToken")
        told = _REFUSED.get(kind)
        if told is None and depth > MAX_DEPTH:
            told = f"is nested more than {MAX_DEPTH} deep; a pack never needs that"
        if told is not None:
            mark = token.start_mark
            refused.append(PackFault(name, mark.line + 1, mark.column + 1, "", told))
        if depth > MAX_DEPTH or len(refused) >= MOST_TOLD:
            break
    if refused:
        raise FaultyPack(refused)


def _plain(name: str, node: Node | None, faults: list[PackFault]) -> Any:
    """What the node says; keys are text. Keys that stand twice and dates that are none are added to the faults."""
    if isinstance(node, MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                faults.append(_at(name, key, "a key is one word here, not a list or a mapping"))
            elif key.value in found:
                faults.append(_at(name, key, f"is not YAML: found a duplicate key, {key.value}; take one of them out"))
            else:
                found[key.value] = _plain(name, value, faults)
        return found
    if isinstance(node, SequenceNode):
        return [_plain(name, one, faults) for one in node.value]
    return None if node is None else _scalar(name, node, faults)


def _scalar(name: str, node: Node, faults: list[PackFault]) -> Any:
    text: str = node.value
    match node.tag:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text) if len(text) < 20 else text
        case "float":
            return float(text)
        case "date":
            try:
                return date.fromisoformat(text)
            except ValueError:
                faults.append(_at(name, node, f"{text} is not a date of the calendar"))
                return date.max
    return text


def _at(name: str, node: Node, sentence: str) -> PackFault:
    return PackFault(name, node.start_mark.line + 1, node.start_mark.column + 1, "", sentence)


def meant(errors: Sequence[Any]) -> list[Any]:
    """Of a choice of forms that all failed, the faults of the one that was meant: the others only ask for other words."""
    conditions = {error["loc"][:-2] for error in errors if error["loc"][-2:] == ("AnyText", "any") and error["type"] == "missing"}
    found = []
    for error in errors:
        loc = error["loc"]
        form = next((n for n, part in enumerate(loc) if part in ("AnyText", "ConditionText")), None)
        if form is not None and (loc[form] == "AnyText") == (loc[:form] in conditions):
            continue
        either = str(loc[-1]) if loc and isinstance(error["input"], list | str | int | float | bool) else ""
        if either == "str" or either.startswith("list["):
            # Of text and a list of texts, the one that was meant.
            if isinstance(error["input"], list) == (either == "str"):
                continue
            found.append({**error, "loc": loc[:-1]})
            continue
        operator = loc[-2:-1] == ("is",)
        if operator and (loc[-1] == "bool") != (str(error["input"]).lower() in _TRUTHS):
            continue
        found.append({**error, "loc": loc[:-1]} if operator else error)
    return found


def _fault(name: str, tree: Node | None, error: Any) -> PackFault:
    places = placed(error["loc"])
    line, column = place(tree, places)
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in places).lstrip(".")
    return PackFault(name, line, column, path, _sentence(error), _code(places))


def placed(loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """The path in the file that pydantic's means: without the names of the forms it tried."""
    return tuple(part for part in loc if isinstance(part, int) or not part[:1].isupper())


def _code(places: Sequence[str | int]) -> str:
    """The law that a key in the wrong form breaks."""
    if places[:1] == ("waivers",):
        return "SAFE-12"
    return "SAFE-10" if places[-1:] and places[-1] in ("evidence", "grade", "cite", "checked_by", "review_by") else "FORM"


def _sentence(error: Any) -> str:
    """What pydantic found, with what YAML may have made of it."""
    told = str(error["msg"][:1].lower() + error["msg"][1:])
    found = error.get("input")
    if error["type"] == "model_type" and not error["loc"]:
        return "is empty, a list or a word; a pack begins with format, pack, version and title, each with its value"
    if error["type"] == "model_type":
        return "words with their values are expected here, as in `fact: pain.now`"
    if error["type"] == "missing":
        return f"{error['loc'][-1]} is required here; add it"
    if error["type"] == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), _words(), n=1)
        return f"{error['loc'][-1]} is not a word of this language here; {f'did you mean {near[0]}?' if near else 'take it out'}"
    if error["type"] in ("date_type", "date_from_datetime_parsing") and isinstance(found, str):
        return f"{found!r} is text; write the date without quotes, as in 2026-11-02"
    if isinstance(found, str) and found.lower() in _TRUTHS and "bool" in error["type"]:
        return f"{found} is a word here, not a truth value; write true or false"
    if isinstance(found, bool) and "string" in error["type"]:
        return f"{str(found).lower()} is a truth value here; put it in quotes if the word is meant"
    if isinstance(found, (int, float)) and "string" in error["type"]:
        return f"{found} has no unit; write it with one, as in `{found} nrs`, or in quotes if text is meant"
    return f"{told}; found {str(found)[:60]!r}" if isinstance(found, (str, int, float, bool)) else told


@lru_cache(maxsize=1)
def _words() -> tuple[str, ...]:
    """Every key of the language."""
    fields = [one for form in Strict.__subclasses__() for one in form.model_fields.items()]
    return tuple(dict.fromkeys(field.alias or name for name, field in fields))


def place(tree: Node | None, parts: Sequence[str | int]) -> tuple[int, int]:
    """Line and column, from 1, of the deepest part of the path that the tree has."""
    line, column, node = 1, 1, tree
    for part in parts:
        if isinstance(node, MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(part)), None)
        elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = (node.value[part], node.value[part])
        else:
            found = None
        if found is None:
            break
        line, column, node = found[0].start_mark.line + 1, found[0].start_mark.column + 1, found[1]
    return line, column
