"""Where an athlete's events go never changes, and the name they go under tells nothing."""

import hashlib
import hmac
from collections import Counter

import pytest
from hypothesis import given, strategies as st

from shared.placing import PARTITIONS, partition, pseudonym

KEY = bytes(range(32))
names = st.text(min_size=1).filter(lambda name: "\0" not in name)


@pytest.mark.parametrize(
    ("tenant", "athlete", "place"),
    [("clinic-a", "athlete-1", 1), ("clinic-a", "athlete-2", 16), ("clinic-b", "athlete-1", 52), ("klinik-ä", "läufer", 27)],
)
def test_places_written_down_once_hold_for_ever(tenant: str, athlete: str, place: int):
    assert partition(tenant, athlete) == place


def test_the_pseudonym_written_down_once_holds_for_ever():
    assert pseudonym(KEY, "clinic-a", "athlete-1") == "2c439568506658e00b0f9ff80f1f3529"


@given(names, names)
def test_the_place_is_the_first_eight_bytes_of_sha_256_modulo_64(tenant: str, athlete: str):
    digest = hashlib.sha256(tenant.encode() + b"\0" + athlete.encode()).hexdigest()
    assert partition(tenant, athlete) == int(digest[:16], 16) % 64


@given(names, names)
def test_the_pseudonym_is_a_keyed_hash_and_fits_a_bus_subject(tenant: str, athlete: str):
    name = pseudonym(KEY, tenant, athlete)
    assert name == hmac.new(KEY, f"{tenant}\0{athlete}".encode(), "sha256").hexdigest()[:32]
    assert name != pseudonym(KEY[::-1], tenant, athlete)


def test_athletes_spread_over_all_partitions():
    counts = Counter(partition("clinic", f"athlete-{number}") for number in range(6400))
    assert set(counts) == set(range(PARTITIONS))
    assert max(counts.values()) < 2 * 100


@pytest.mark.law("no-crossing")
@given(names, names, names, names)
def test_two_athletes_of_two_tenants_never_share_a_pseudonym(tenant: str, athlete: str, other_tenant: str, other: str):
    same = (tenant, athlete) == (other_tenant, other)
    assert (pseudonym(KEY, tenant, athlete) == pseudonym(KEY, other_tenant, other)) == same


@pytest.mark.law("no-crossing")
@pytest.mark.parametrize(("tenant", "athlete"), [("", "a"), ("t", ""), ("t\0a", "b"), ("t", "a\0b")])
def test_names_that_two_athletes_could_share_are_refused(tenant: str, athlete: str):
    for place in (lambda: partition(tenant, athlete), lambda: pseudonym(KEY, tenant, athlete)):
        with pytest.raises(ValueError, match="without NUL"):
            place()


def test_a_short_pseudonym_key_is_refused():
    with pytest.raises(ValueError, match="at least 16"):
        pseudonym(b"short", "t", "a")
