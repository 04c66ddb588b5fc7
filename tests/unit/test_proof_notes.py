"""Checkpoints are signed notes that witnesses can read; keys of athletes open for their athlete only; commitments tell nothing."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared.proof import Checkpoint, KeyFault, Keyring, NoteFault, Signer, Verifier, commitment, event_salt, leaf_hash, row_salt
from shared.proof.commitments import columns

POINT = Checkpoint("events", 7, 1024, leaf_hash(b"root"), "2026-03-02T07:00:00.000000Z")


def test_a_signed_checkpoint_opens_with_the_public_key_alone():
    signer = Signer(b"s" * 32)
    note = signer.note(POINT)
    assert note.startswith("milepost/events/7\n1024\n") and note.endswith("\n")
    assert Verifier.read(signer.verifier.text).open(note) == POINT


def test_signatures_of_witnesses_are_passed_over():
    signer = Signer(b"s" * 32)
    assert signer.verifier.open(signer.note(POINT) + "— witness.example c2lnbmF0dXJl\n") == POINT


def test_no_changed_byte_of_a_checkpoint_is_accepted():
    signer = Signer(b"s" * 32)
    note = signer.note(POINT).encode()
    for place in range(len(note)):
        changed = note[:place] + bytes([note[place] ^ 1]) + note[place + 1 :]
        try:
            text = changed.decode()
        except UnicodeDecodeError:
            continue
        with pytest.raises(NoteFault):
            signer.verifier.open(text)


def test_another_keys_checkpoint_and_what_is_none_are_refused():
    with pytest.raises(NoteFault, match="not signed with the key"):
        Signer(b"o" * 32).verifier.open(Signer(b"s" * 32).note(POINT))
    for text in ("", "milepost/events/7\n1\n", "a\nb\nc\nd\ne"):
        with pytest.raises(NoteFault):
            Signer(b"s" * 32).verifier.open(text)
    for key in ("", "milepost+00000000+AAAA", "other+" + Signer(b"s" * 32).verifier.text.partition("+")[2]):
        with pytest.raises(NoteFault):
            Verifier.read(key)


def test_an_athletes_key_opens_for_that_athlete_and_under_that_secret_only():
    ring = Keyring(b"k" * 32)
    key = ring.new()
    wrapped = ring.wrap(key, "clinic", "a")
    assert ring.unwrap(wrapped, "clinic", "a") == key
    assert key not in wrapped and ring.wrap(key, "clinic", "a") != wrapped
    for opener, tenant, athlete, stored in (
        (ring, "clinic", "b", wrapped),
        (ring, "clini", "ca", wrapped),
        (Keyring(b"o" * 32), "clinic", "a", wrapped),
        (ring, "clinic", "a", wrapped[:-1] + bytes([wrapped[-1] ^ 1])),
        (ring, "clinic", "a", b""),
    ):
        with pytest.raises(KeyFault):
            opener.unwrap(stored, tenant, athlete)


def test_the_salts_of_two_rows_have_nothing_in_common():
    key = b"k" * 32
    salts = {
        row_salt(event_salt(key, tree, partition, seq), table, place)
        for tree in ("events", "conflicts")
        for partition in (0, 1)
        for seq in (1, 2)
        for table in (b"e", b"d")
        for place in (0, 1)
    }
    assert len(salts) == 32
    assert len({commitment(salt, b"row") for salt in salts}) == 32


def test_columns_are_written_as_the_servers_binary_copy_writes_them():
    moment = datetime(2026, 3, 2, 7, 0, 0, 5, tzinfo=UTC)
    values = (1, -2, "é", moment, b"\0\1", UUID(int=3), None, '{"a": 1}')
    expected = "00000004 00000001 00000008 fffffffffffffffe 00000002 c3a9 00000008 0002f0537c4f0405 00000002 0001"
    expected += " 00000010 00000000000000000000000000000003 ffffffff 00000009 01 7b2261223a20317d"
    micros = ((moment - datetime(2000, 1, 1, tzinfo=UTC)).days * 86_400 + 7 * 3600) * 1_000_000 + 5
    written = columns(values, "iqtzbubj")
    assert written == bytes.fromhex(expected.replace("0002f0537c4f0405", f"{micros:016x}"))
    with pytest.raises(ValueError, match="expected one of"):
        columns([1], "x")
