"""From a YAML file to checked text: YAML 1.2 only, no anchors, no duplicate keys, bounded size; every fault with line and column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from services.decision.rules.faults import FaultyPack, PackFault

MAX_BYTES = 1 << 20
MAX_DEPTH = 24
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Source(Generic[M]):
    """A file that was read, what it says, and where it says it."""

    name: str
    text: M
    raw: bytes
    tree: Any

    def fault(self, path: str, sentence: str, code: str = "FORM") -> PackFault:
        """A fault at a path as `rules[3].when[0].fact`: at the deepest part of it that the file has."""
        line, column = place(self.tree, [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)])
        return PackFault(self.name, line, column, path, sentence, code)


def read(path: Path, model: type[M]) -> Source[M]:
    """The file as `model`; raises `FaultyPack` with every fault found."""
    name = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FaultyPack([PackFault(name, 1, 1, "", f"cannot be read: {error.strerror}; give the path of a pack file")]) from error
    return parse(name, raw, model)


def parse(name: str, raw: bytes, model: type[M]) -> Source[M]:
    """The same of bytes at hand; `name` is what faults call it."""
    tree = _tree(name, raw)
    try:
        return Source(name, model.model_validate(_plain(tree)), raw, tree)
    except ValidationError as error:
        raise FaultyPack([_fault(name, tree, one) for one in error.errors()]) from error


def _tree(name: str, raw: bytes) -> Any:
    if len(raw) > MAX_BYTES:
        raise FaultyPack(
            [PackFault(name, 1, 1, "", f"is larger than {MAX_BYTES} bytes; a pack is at most that: split it, or shorten its prose")]
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FaultyPack([PackFault(name, 1, 1, "", "is not UTF-8 text")]) from error
    yaml = YAML(typ="rt", pure=True)
    yaml.version = (1, 2)
    try:
        depth = 0
        for token in yaml.scan(text):
            kind = type(token).__name__
            depth += kind.endswith("StartToken") and kind != "StreamStartToken"
            depth -= kind.endswith("EndToken") and kind != "StreamEndToken"
            told = None
            if kind in ("AnchorToken", "AliasToken", "TagToken"):
                told = "anchors, aliases and tags are not allowed; write it out"
            elif depth > MAX_DEPTH:
                told = f"is nested more than {MAX_DEPTH} deep; a pack never needs that"
            if told is not None:
                mark = token.start_mark
                raise FaultyPack([PackFault(name, mark.line + 1, mark.column + 1, "", told)])
        return yaml.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        raise FaultyPack([PackFault(name, line, column, "", f"is not YAML: {str(error.problem).splitlines()[0]}")]) from error
    except (YAMLError, RecursionError) as error:
        raise FaultyPack([PackFault(name, 1, 1, "", "is not YAML that can be read")]) from error


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    if isinstance(node, date) and not isinstance(node, datetime):
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _fault(name: str, tree: Any, error: Any) -> PackFault:
    places = [part for part in error["loc"] if isinstance(part, int) or not part[:1].isupper()]
    line, column = place(tree, places)
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in places).lstrip(".")
    return PackFault(name, line, column, path, _sentence(error), _code(places))


def _code(places: Sequence[str | int]) -> str:
    """The law that a key in the wrong form breaks."""
    if places[:1] == ["waivers"]:
        return "SAFE-12"
    return "SAFE-10" if places[-1:] in (["evidence"], ["grade"], ["cite"], ["checked_by"], ["review_by"]) else "FORM"


def _sentence(error: Any) -> str:
    """What pydantic found, with what YAML may have made of it."""
    told = str(error["msg"][:1].lower() + error["msg"][1:])
    found = error.get("input")
    if error["type"] == "missing":
        return f"{error['loc'][-1]} is required here; add it"
    if error["type"] == "extra_forbidden":
        return f"{error['loc'][-1]} is not a word of this language here; take it out, or look for its right name"
    if error["type"] in ("date_type", "date_from_datetime_parsing") and isinstance(found, str):
        return f"{found!r} is text; write the date without quotes, as in 2026-11-02"
    if isinstance(found, str) and found.lower() in ("yes", "no", "on", "off") and "bool" in error["type"]:
        return f"{found} is a word here, not a truth value; write true or false"
    if isinstance(found, bool) and "string" in error["type"]:
        return f"{str(found).lower()} is a truth value here; put it in quotes if the word is meant"
    if isinstance(found, (int, float)) and "string" in error["type"]:
        return f"{found} has no unit; write it with one, as in `{found} nrs`, or in quotes if text is meant"
    return f"{told}; found {str(found)[:60]!r}" if isinstance(found, (str, int, float, bool)) else told


def place(tree: Any, parts: Sequence[str | int]) -> tuple[int, int]:
    """Line and column, from 1, of the deepest part of the path that the tree has."""
    line, column, node = 1, 1, tree
    for part in parts:
        mark = getattr(node, "lc", None)
        try:
            if mark is not None:
                at = mark.key(part) if isinstance(node, CommentedMap) else mark.item(part)
                line, column = at[0] + 1, at[1] + 1
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
    return line, column
