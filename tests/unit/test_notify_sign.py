"""Standard Webhooks 1.0, scheme v1, against the specification's vector and two independent implementations."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st
from standardwebhooks import Webhook as Reference
from svix.webhooks import Webhook as Svix

from services.notify.sign import SecretFault, SignatureFault, headers, new_secret, read_secret, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
MOMENT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
GOOD = {"webhook-id": ID, "webhook-timestamp": str(MOMENT), "webhook-signature": SIGNATURE}


def test_the_published_vector_is_reproduced() -> None:
    assert sign(read_secret(SECRET), ID, MOMENT, BODY) == SIGNATURE


def test_the_published_vector_is_accepted() -> None:
    verify(read_secret(SECRET), GOOD, BODY, MOMENT)


@pytest.mark.parametrize("library", [Reference, Svix], ids=["standardwebhooks", "svix"])
def test_other_libraries_accept_what_we_sign(library: type) -> None:
    secret, now = new_secret(), int(datetime.now(UTC).timestamp())
    body = json.dumps({"type": "test", "data": {"größe": "ä"}}, ensure_ascii=False).encode()
    library(secret).verify(body, headers([read_secret(secret)], "msg_1", now, body))


@pytest.mark.parametrize("library", [Reference, Svix], ids=["standardwebhooks", "svix"])
def test_we_accept_what_other_libraries_sign(library: type) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    signed = library(SECRET).sign("msg_1", now, BODY.decode())
    given_ = {"Webhook-Id": "msg_1", "Webhook-Timestamp": str(int(now.timestamp())), "Webhook-Signature": signed}
    verify(read_secret(SECRET), given_, BODY, int(now.timestamp()))


def test_during_a_rotation_either_key_verifies() -> None:
    old, new = read_secret(new_secret()), read_secret(new_secret())
    sent = headers([old, new], ID, MOMENT, BODY)
    verify(old, sent, BODY, MOMENT)
    verify(new, sent, BODY, MOMENT)


def test_signatures_of_unknown_schemes_are_passed_over() -> None:
    verify(read_secret(SECRET), {**GOOD, "webhook-signature": f"v1a,AAAA v2,@ junk {SIGNATURE}"}, BODY, MOMENT)


@pytest.mark.parametrize("off", [-301, 301])
def test_a_message_five_minutes_off_is_refused(off: int) -> None:
    with pytest.raises(SignatureFault, match="300 s"):
        verify(read_secret(SECRET), GOOD, BODY, MOMENT + off)


@pytest.mark.parametrize("name", sorted(GOOD))
def test_a_missing_header_is_named(name: str) -> None:
    with pytest.raises(SignatureFault, match=name):
        verify(read_secret(SECRET), {key: value for key, value in GOOD.items() if key != name}, BODY, MOMENT)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": str(MOMENT + 1)},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,not base64"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": SIGNATURE.replace("v1,", "v2,")},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "-1614265330"},
        {"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"webhook-timestamp": "9" * 400},
    ],
    ids=repr,
)
def test_any_change_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(SignatureFault):
        verify(read_secret(SECRET), {**GOOD, **change}, BODY, MOMENT)


def test_another_body_is_refused() -> None:
    with pytest.raises(SignatureFault):
        verify(read_secret(SECRET), GOOD, b'{"test":2432232314}', MOMENT)


@given(st.fixed_dictionaries({}, optional={name: st.text(alphabet=st.characters()) for name in GOOD}), st.binary())
def test_nothing_malformed_raises_anything_but_the_typed_fault(received: dict[str, str], body: bytes) -> None:
    with pytest.raises(SignatureFault):
        verify(read_secret(SECRET), received, body, MOMENT)


@pytest.mark.parametrize(
    "text", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_@@@@", "whsec_" + base64.b64encode(b"x" * 23).decode(), "whsec_é",
             "whsec_" + base64.b64encode(b"x" * 65).decode(), "whsk_" + base64.b64encode(b"x" * 32).decode()],
)  # fmt: skip
def test_what_is_no_secret_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(SecretFault) as fault:
        read_secret(text)
    assert len(text) < 8 or text[6:] not in str(fault.value)


def test_a_new_secret_holds_32_random_bytes() -> None:
    assert len(read_secret(new_secret())) == 32
    assert new_secret() != new_secret()


def test_an_id_with_a_dot_is_not_signed() -> None:
    with pytest.raises(ValueError, match="dot"):
        sign(b"k" * 32, "msg.1", MOMENT, BODY)
