"""The demonstration is a check: an unsigned webhook is refused and named, and what does not hold ends it with exit 1 and a sentence."""

import time
from collections.abc import Callable
from typing import NoReturn

import aiohttp
import pytest

from services.cli import demo
from services.cli.demo.chain import DoesNotHold
from services.cli.demo.play import check_deliveries
from services.cli.demo.receiver import Receiver
from services.notify.sign import headers, new_secret, read_secret

BODY = b'{"type":"recommendation.changed","timestamp":"2026-03-03T17:00:00Z","data":{"id":"d-1"}}'


class _Chain:
    """What notify says it sent."""

    def __init__(self, *sent: dict[str, str]) -> None:
        self.sent = list(sent)

    async def deliveries(self, endpoint: str) -> list[dict[str, str]]:
        return self.sent


async def deliver(receiver: Receiver, secret: str, notice: str = "msg_1", body: bytes = BODY) -> int:
    signed = headers([read_secret(secret)], notice, int(time.time()), BODY)
    async with aiohttp.ClientSession() as session, session.post(receiver.url, data=body, headers=signed) as answer:
        return answer.status


async def test_a_signed_delivery_is_kept_and_counts_once():
    async with Receiver() as receiver:
        receiver.secret = new_secret()
        assert [await deliver(receiver, receiver.secret) for _ in range(2)] == [204, 204]
        assert receiver.has("d-1") and not receiver.has("d-2")
        assert len(receiver.deliveries) == 1
        sent = _Chain({"notice": "msg_1", "state": "delivered"}, {"notice": "msg_0", "state": "cancelled"})
        assert await check_deliveries(sent, "e", receiver) == (1, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [BODY, BODY.replace(b"d-1", b"d-2")])
async def test_a_delivery_that_is_not_signed_by_us_or_was_changed_does_not_hold(body):
    async with Receiver() as receiver:
        receiver.secret = new_secret()
        secret = new_secret() if body == BODY else receiver.secret
        assert await deliver(receiver, secret, body=body) == 401
        with pytest.raises(DoesNotHold, match="signature that is not valid"):
            await check_deliveries(_Chain(), "e", receiver)  # type: ignore[arg-type]


async def test_a_delivery_that_never_came_or_was_given_up_does_not_hold():
    async with Receiver() as receiver:
        for state, said in (("delivered", "never came"), ("exhausted", "ended as exhausted")):
            sent = _Chain({"notice": "msg_1", "state": state, "because": "status 500"})
            with pytest.raises(DoesNotHold, match=said):
                await check_deliveries(sent, "e", receiver)  # type: ignore[arg-type]


async def test_waiting_for_a_delivery_has_an_end():
    async with Receiver() as receiver:
        assert not await receiver.until(lambda: receiver.has("d-1"), 0.01)


async def test_what_does_not_hold_is_a_sentence_and_exit_1(monkeypatch, capsys):
    def failing(tell: Callable[[str], None]) -> NoReturn:
        raise DoesNotHold("event e-1 was accepted, but no decision came of it within 30 s")

    monkeypatch.setattr(demo, "stage", failing)
    monkeypatch.setattr(demo, "_on_signals", lambda act: None)
    assert await demo._demo(None, once=True) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("milepost demo: this did not hold: event e-1 was accepted, but no decision")
    assert "logs are in" in told
