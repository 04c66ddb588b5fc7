"""From a YAML file to checked text: YAML 1.2 only, no anchors, no duplicate keys, bounded size; every fault with line and column."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from services.decision.rules.faults import FaultyPack, PackFault

MAX_BYTES = 1 << 20
M = TypeVar("M", bound=BaseModel)


def read(path: Path, model: type[M]) -> M:
    """The file as `model`; raises `FaultyPack` with every fault found."""
    name = str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FaultyPack([PackFault(name, 1, 1, "", f"cannot be read: {error.strerror}; give the path of a pack file")]) from error
    tree = _tree(name, raw)
    try:
        return model.model_validate(_plain(tree))
    except ValidationError as error:
        raise FaultyPack([_fault(name, tree, one) for one in error.errors()]) from error


def _tree(name: str, raw: bytes) -> Any:
    if len(raw) > MAX_BYTES:
        raise FaultyPack([PackFault(name, 1, 1, "", f"is {len(raw)} bytes; a pack is at most {MAX_BYTES}")])
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FaultyPack([PackFault(name, 1, 1, "", "is not UTF-8 text")]) from error
    yaml = YAML(typ="rt", pure=True)
    yaml.version = (1, 2)
    try:
        for token in yaml.scan(text):
            if type(token).__name__ in ("AnchorToken", "AliasToken", "TagToken"):
                mark = token.start_mark
                told = "anchors, aliases and tags are not allowed; write it out"
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
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _fault(name: str, tree: Any, error: Any) -> PackFault:
    places = [part for part in error["loc"] if isinstance(part, int) or not part[:1].isupper()]
    line, column, node = 1, 1, tree
    for part in places:
        mark = getattr(node, "lc", None)
        try:
            if mark is not None:
                at = mark.key(part) if isinstance(node, CommentedMap) else mark.item(part)
                line, column = at[0] + 1, at[1] + 1
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in places).lstrip(".")
    return PackFault(name, line, column, path, error["msg"][:1].lower() + error["msg"][1:])
