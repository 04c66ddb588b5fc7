"""docs/webhooks.md says what is true."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.notify.notices import TYPES
from services.notify.sign import headers, new_secret, read_secret
from shared.settings import Settings

PAGE = Path(__file__).parents[2].joinpath("docs", "webhooks.md").read_text()


@pytest.fixture
def receive() -> Any:
    """The Python receiver of the page."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)
    return names["receive"]


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


def test_the_page_names_every_type_that_is_sent() -> None:
    assert all(f"`{kind}`" in PAGE for kind in TYPES)


def test_the_page_gives_the_schedule_that_is_the_default() -> None:
    (row,) = re.findall(r"\| after \| (.*) \|", PAGE)
    units = {"s": 1, "min": 60, "h": 3600}
    waits = [0.0 if cell == "at once" else float(cell.split()[0]) * units[cell.split()[1]] for cell in row.split(" | ")]
    assert tuple(waits) == Settings.model_fields["retry_schedule_s"].default
