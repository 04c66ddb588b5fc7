"""What is stored of an athlete is small, opens for ever, and only whole."""

import hmac
import os
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, strategies as st

from shared.proof import Envelope, KeyFault
from shared.proof.envelope import PACKED_MARK, PLAIN_MARK
from shared.proof.packing import DICTIONARY, Unpackable, packed, unpacked
from tests.golden.corpus import decisions, histories

KEY = bytes(range(32))


def test_the_dictionary_is_the_one_that_bodies_were_packed_with() -> None:
    # What was packed with it opens with no other: this hash never changes; another dictionary has a file and a mark of its own.
    assert sha256(DICTIONARY.read_bytes()).hexdigest() == "df5f82a2d5a0591b99294c5fc61fdfe3eae2bc8a8af65f437818cc5deae7b36d"


def test_a_body_packed_by_an_earlier_version_opens() -> None:
    frame = bytes.fromhex("28b52ffd233e5d1626288d0000205733227d037c007f1abd8094c0797e1f")
    assert unpacked(frame) == b'{"action":"hold","summary":"Hold at W3"}'


@given(st.binary(max_size=20_000))
def test_any_body_comes_back(body: bytes) -> None:
    assert Envelope(KEY).open(Envelope(KEY).seal(body)) == body


def test_bodies_sealed_before_they_were_packed_open() -> None:
    nonce = os.urandom(12)
    sealed = PLAIN_MARK + nonce + AESGCM(hmac.digest(KEY, b"milepost bodies", "sha256")).encrypt(nonce, b'{"a":1}', None)
    assert Envelope(KEY).open(sealed) == b'{"a":1}'


def test_a_decision_is_stored_in_a_quarter_of_its_bytes() -> None:
    bodies = [body for events in histories().values() for body in decisions(events)]
    stored = [Envelope(KEY).seal(body) for body in bodies]
    assert len(bodies) >= 10
    assert sum(map(len, stored)) * 4 < sum(map(len, bodies))
    assert max(map(len, stored)) < 1_600


def test_a_changed_mark_is_found() -> None:
    sealed = Envelope(KEY).seal(b'{"action":"hold"}')
    assert sealed[:1] == PACKED_MARK
    with pytest.raises(KeyFault):
        Envelope(KEY).open(PLAIN_MARK + sealed[1:])


@pytest.mark.parametrize("frame", [b"", b"{}", packed(b"{}")[:-1]])
def test_bytes_that_are_no_whole_frame_are_refused(frame: bytes) -> None:
    with pytest.raises(Unpackable):
        unpacked(frame)


def test_threads_pack_and_unpack_at_once() -> None:
    bodies = [(b'{"n":%d,"action":"hold"}' % n) * 200 for n in range(400)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda body: unpacked(packed(body)), bodies)) == bodies
