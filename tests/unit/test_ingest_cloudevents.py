"""The modes of CloudEvents over HTTP, and the headers of binary mode."""

import pytest

from services.ingest.formats.cloudevents import binary, is_binary, mode_of
from shared.documents import NotJson, load
from shared.events import EventFault


@pytest.mark.parametrize(
    ("content_type", "ce_headers", "mode"),
    [
        ("application/cloudevents+json", False, "structured"),
        ("application/cloudevents+json; charset=UTF-8", True, "structured"),
        ("application/json", False, "structured"),
        ("application/json", True, "binary"),
        ("Application/CloudEvents-Batch+JSON", False, "batch"),
        ("application/x-ndjson", False, "lines"),
        ("application/json; charset=latin-1", False, None),
        ("application/xml", True, None),
        ("text/plain", False, None),
        ("", False, None),
        ("nonsense", False, None),
    ],
)
def test_the_media_type_names_the_mode(content_type, ce_headers, mode):
    assert mode_of(content_type, ce_headers) == mode


def test_attributes_in_headers_are_percent_decoded_once():
    headers = [("ce-specversion", "1.0"), ("CE-Subject", "athl%C3%A8te%20%2525"), ("content-type", "application/json")]
    assert is_binary(headers)
    assert binary(headers, b'{"when": "daily"}') == {"specversion": "1.0", "subject": "athlète %25", "data": {"when": "daily"}}


def test_a_quoted_header_is_unquoted():
    assert binary([("ce-id", '"a \\"b\\" \\\\ c"')], b"{}")["id"] == 'a "b" \\ c'


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ([("ce-id", "%FF")], "id"),
        ([("ce-id", "\xe9")], "id"),
        ([("ce-id", "1"), ("CE-ID", "2")], "id"),
        ([("ce-datacontenttype", "application/json")], "datacontenttype"),
        ([("ce-data", "{}")], "data"),
    ],
)
def test_headers_that_cannot_be_read_are_named(headers, path):
    with pytest.raises(EventFault) as caught:
        binary(headers, b"{}")
    assert [fault.path for fault in caught.value.faults] == [path]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": NaN}', b'{"a": 1}{', b'"\\ud800"', b"[" * 5000])
def test_what_is_not_json_says_where_and_not_what(body):
    with pytest.raises(NotJson, match=r"line \d+ column \d+"):
        load(body)
