"""JSON from outside: each key once."""

import json
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient
from hypothesis import given, strategies as st

from shared import problems
from shared.documents import NotJson, load

TEXT = st.text(max_size=6)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "body",
    [
        b'{"pain_nrs": 2, "pain_nrs": 7}',
        b'{"data":{"flags":[],"flags":["night_pain"]}}',
        b'[{"a":1},{"a":{"b":1,"c":2,"b":3}}]',
        b'{"pain_nrs": 2, "p\\u0061in_nrs": 7}',
        b'{"reason": "so \\"it\\" is", "a": "x", "a": "x"}',
        '{"grüße": "ä", "b": 1, "grüße": "ä"}'.encode(),
    ],
)
def test_a_key_that_stands_twice_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson, match="stands twice in one object"):
        load(body)


@given(VALUE, st.booleans(), st.booleans())
def test_what_has_each_key_once_is_read_as_it_is(value: Any, ascii_only: bool, indented: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=2 if indented else None)
    try:
        raw = body.encode()
    except UnicodeEncodeError:
        return
    if not any(abs(one) >= 2**63 for one in _integers(value)):
        assert load(raw) == value


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), st.booleans())
def test_of_any_object_told_with_a_key_again_each_is_noticed(pairs: list[tuple[str, str]], ascii_only: bool) -> None:
    told = [*dict(pairs).items(), pairs[0]]
    body = "{" + ", ".join(f"{json.dumps(k, ensure_ascii=ascii_only)}: {json.dumps(v, ensure_ascii=ascii_only)}" for k, v in told) + "}"
    with pytest.raises(NotJson, match="stands twice"):
        load(body.encode())


def _integers(value: Any) -> list[int]:
    if isinstance(value, dict):
        return [one for inner in value.values() for one in _integers(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in _integers(inner)]
    return [value] if isinstance(value, int) else []


async def test_a_route_that_takes_json_refuses_a_key_that_stands_twice_in_words() -> None:
    app = FastAPI(dependencies=[Depends(problems.each_key_once)])
    problems.install(app)

    @app.post("/answers")
    async def answer(body: dict[str, str]) -> dict[str, str]:
        return body

    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
        typed = {"content-type": "application/json"}
        taken = await client.post("/answers", content=b'{"answer":"declined"}', headers=typed)
        refused = await client.post("/answers", content=b'{"answer":"declined","answer":"accepted"}', headers=typed)
    assert taken.json() == {"answer": "declined"}
    assert (refused.status_code, refused.json()["type"].rpartition(":")[2]) == (400, "not-json")
    assert "the key answer stands twice in one object" in refused.json()["detail"]
