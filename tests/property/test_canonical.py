"""Canonical JSON is RFC 8785, byte for byte."""

import json

import pytest
import rfc8785
from hypothesis import example, given, strategies as st

from shared.events import canonical
from shared.events.canonical import MAX_INTEGER, number

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5), max_leaves=20)


@given(JSON)
@example({"\U0001f600": 1, "\ufb33": 2, "€": 3, "\r": 4, "1": 5, "ö": 6})
@example([1e21, 1e20, 123456789012345680000.0, 1e-6, 1e-7, 0.0001, 0.00001, 5e-324, 1.7976931348623157e308, -0.0, 333333333.33333329])
@example('\x00\x1f\x7f\u2028"\\/\b\f\n\r\t')
def test_the_bytes_are_those_of_the_reference_library(value):
    assert canonical(value) == rfc8785.dumps(value)


@given(JSON)
def test_what_is_written_reads_back_equal_and_is_written_the_same_again(value):
    written = canonical(value)
    # JSON numbers are doubles to RFC 8785, whole or not.
    assert canonical(json.loads(written, parse_int=float)) == written


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_the_same_number(value):
    assert float(number(value)) == value


@given(st.dictionaries(TEXT, SCALARS, max_size=8))
def test_the_order_in_which_fields_were_sent_does_not_show(value):
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")], 2**53, {"a": -(2**53)}, "\ud800", {"\udc00": 1}])
def test_what_has_no_exact_form_is_refused(value):
    with pytest.raises(ValueError, match=r"exact form|JSON|surrogates"):
        canonical(value)


@pytest.mark.parametrize("value", [{1: 2}, {"a": {None: 1}}, {1, 2}, b"x", object()])
def test_what_is_not_json_is_refused(value):
    with pytest.raises(TypeError):
        canonical(value)
