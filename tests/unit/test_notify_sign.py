"""Standard Webhooks 1.0, schemes v1 and v1a, against the published vectors and independent implementations."""

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey
from standardwebhooks import Webhook as Reference
from svix.webhooks import Webhook as Svix

from services.notify.sign import (
    SecretFault,
    SignatureFault,
    headers,
    new_private_key,
    new_secret,
    public_key,
    read_keys,
    read_private_key,
    read_public_key,
    read_secret,
    sign,
    verify,
)

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


LIBRARIES = pytest.mark.parametrize("library", [Reference, Svix], ids=["standardwebhooks", "svix"])


@LIBRARIES
def test_the_published_vector_is_what_other_libraries_sign(library: type) -> None:
    assert library(SECRET).sign(ID, datetime.fromtimestamp(MOMENT, UTC), BODY.decode()) == SIGNATURE


@LIBRARIES
def test_other_libraries_accept_what_we_sign(library: type) -> None:
    secret, now = new_secret(), int(datetime.now(UTC).timestamp())
    body = json.dumps({"type": "test", "data": {"größe": "ä"}}, ensure_ascii=False).encode()
    library(secret).verify(body, headers([read_secret(secret)], "msg_1", now, body))


@LIBRARIES
def test_other_libraries_accept_what_is_signed_with_both_schemes_and_during_a_rotation_and_refuse_every_change(library: type) -> None:
    secret, now = new_secret(), int(datetime.now(UTC).timestamp())
    sent = headers(read_keys(f"{new_secret()} {new_private_key()} {secret}"), "msg_1", now, BODY)
    assert [one.split(",")[0] for one in sent["webhook-signature"].split(" ")] == ["v1", "v1a", "v1"]
    library(secret).verify(BODY, sent)
    alone = headers(read_keys(new_private_key()), "msg_1", now, BODY)
    for other, body in ((sent, BODY + b" "), ({**sent, "webhook-id": "msg_2"}, BODY), (alone, BODY)):
        # Alone: neither library knows v1a. Should one learn it, let it judge v1a as well.
        with pytest.raises(Exception, match="No matching signature"):
            library(secret).verify(body, other)


@LIBRARIES
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


# The Ed25519 vector that the specification's example header and the first server that spoke v1a share.
PRIVATE = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
PUBLIC = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
ASYMMETRIC = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def test_the_published_asymmetric_vector_is_reproduced_and_accepted() -> None:
    key = read_private_key(PRIVATE)
    assert (sign(key, ID, MOMENT, BODY), public_key(key)) == (ASYMMETRIC, PUBLIC)
    verify(read_public_key(PUBLIC), {**GOOD, "webhook-signature": f"{SIGNATURE} {ASYMMETRIC}"}, BODY, MOMENT)


def test_openssl_accepts_what_we_sign_asymmetrically(tmp_path: Path) -> None:
    private = new_private_key()
    sent = headers(read_keys(private), "msg_1", MOMENT, BODY)
    raw = base64.b64decode(public_key(read_private_key(private)).removeprefix("whpk_"))
    # RFC 8410: the fixed header of an Ed25519 public key.
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + raw)
    (tmp_path / "signed").write_bytes(f"msg_1.{MOMENT}.".encode() + BODY)
    (tmp_path / "signature").write_bytes(base64.b64decode(sent["webhook-signature"].removeprefix("v1a,")))
    asked = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key.der", "-rawin", "-in", "signed"]
    run = subprocess.run([*asked, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_libsodium_signs_the_published_asymmetric_vector_and_accepts_what_we_sign() -> None:
    signed = f"{ID}.{MOMENT}.".encode() + BODY
    seed = base64.b64decode(PRIVATE.removeprefix("whsk_"))[:32]
    assert "v1a," + base64.b64encode(SigningKey(seed).sign(signed).signature).decode() == ASYMMETRIC
    private = new_private_key()
    sent = headers(read_keys(private), ID, MOMENT, BODY)["webhook-signature"]
    raw = base64.b64decode(public_key(read_private_key(private)).removeprefix("whpk_"))
    VerifyKey(raw).verify(signed, base64.b64decode(sent.removeprefix("v1a,")))
    with pytest.raises(BadSignatureError):
        VerifyKey(raw).verify(signed + b" ", base64.b64decode(sent.removeprefix("v1a,")))


def test_keys_of_both_schemes_sign_side_by_side_and_either_verifies() -> None:
    secret, private = new_secret(), new_private_key()
    sent = headers(read_keys(f"{secret} {private}"), ID, MOMENT, BODY)
    assert [one.split(",")[0] for one in sent["webhook-signature"].split(" ")] == ["v1", "v1a"]
    verify(read_secret(secret), sent, BODY, MOMENT)
    verify(read_public_key(public_key(read_private_key(private))), sent, BODY, MOMENT)


def test_an_asymmetric_signature_of_other_content_or_key_is_refused() -> None:
    other = read_public_key(public_key(read_private_key(new_private_key())))
    asked = {**GOOD, "webhook-signature": ASYMMETRIC}
    for key, received, body in (
        (other, asked, BODY),
        (read_public_key(PUBLIC), asked, BODY + b" "),
        (read_public_key(PUBLIC), {**asked, "webhook-id": "msg_2"}, BODY),
        (read_public_key(PUBLIC), {**asked, "webhook-signature": ASYMMETRIC.replace("v1a,", "v1,")}, BODY),
        (read_public_key(PUBLIC), {**asked, "webhook-signature": "v1a,AAAA"}, BODY),
    ):
        with pytest.raises(SignatureFault):
            verify(key, received, body, MOMENT)


@pytest.mark.parametrize("text", ["", "whsk_", "whsk_AAAA", PRIVATE[:-8] + "AAAAAA==", "whsec_" + PRIVATE[5:]])
def test_what_is_no_private_key_is_refused(text: str) -> None:
    with pytest.raises(SecretFault):
        read_private_key(text)


def test_an_id_with_a_dot_is_not_signed() -> None:
    with pytest.raises(ValueError, match="dot"):
        sign(b"k" * 32, "msg.1", MOMENT, BODY)
