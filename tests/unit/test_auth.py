"""How keys are written, and what each role may do."""

import zlib

import pytest
from hypothesis import given, strategies as st

from shared.auth import ROLE_SCOPES, ROLES, SCOPES, KeyText, ScopeRefused, requires
from shared.auth.keytext import _BASE62
from shared.auth.roles import scopes_for


def test_a_new_key_has_the_documented_form_and_reads_back():
    key = KeyText.new()
    prefix, kind, key_id, secret = key.text.split("_")
    assert (prefix, kind, len(key_id), len(secret)) == ("mp", "live", 12, 49)
    assert key_id == key.id
    assert KeyText.parse(key.text) == key


def test_the_last_six_characters_are_the_crc_32_in_base_62():
    text = KeyText.new().text
    number = 0
    for character in text[-6:]:
        number = number * 62 + _BASE62.index(character)
    assert number == zlib.crc32(text[:-6].encode())


def test_a_thousand_keys_differ_in_id_and_secret():
    keys = [KeyText.new() for _ in range(1000)]
    assert len({key.id for key in keys}) == len({key.text[21:64] for key in keys}) == 1000


@given(st.data())
def test_any_single_wrong_character_is_recognised(data: st.DataObject):
    text = KeyText.new().text
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from([character for character in _BASE62 + "_- é" if character != text[place]]))
    with pytest.raises(ValueError, match="key"):
        KeyText.parse(text[:place] + other + text[place + 1 :])


@given(st.data())
def test_two_swapped_neighbours_are_recognised(data: st.DataObject):
    text = KeyText.new().text
    place = data.draw(st.integers(8, len(text) - 2))
    swapped = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if swapped != text:
        with pytest.raises(ValueError, match="key"):
            KeyText.parse(swapped)


@given(st.text())
def test_no_fault_quotes_what_was_sent(text: str):
    with pytest.raises(ValueError, match="key") as fault:
        KeyText.parse(f"mp_live_{text}")
    assert len(text) < 8 or text not in str(fault.value)


def test_a_key_does_not_show_its_secret_when_printed():
    key = KeyText.new()
    assert key.text not in repr(key) and key.text not in str(key) and key.id in repr(key)


def test_every_role_has_scopes_that_exist():
    assert set(ROLES) == {"clinician", "coach", "integrator", "author", "auditor", "admin"}
    for role in ROLES:
        assert scopes_for(role) == ROLE_SCOPES[role] <= set(SCOPES)
        assert scopes_for(role)


def test_every_scope_is_some_roles_own():
    assert set().union(*ROLE_SCOPES.values()) == set(SCOPES)


@given(st.sampled_from(ROLES), st.sets(st.sampled_from(sorted(SCOPES)), min_size=1))
def test_only_a_clinician_writes_clinical_facts_and_a_coach_only_reads_recommendations(role: str, asked: set[str]):
    try:
        granted = scopes_for(role, asked)
    except ScopeRefused:
        lead = "protocols:approve" in asked and role not in ("clinician", "admin")
        assert lead or ("clinical:write" in asked and role != "clinician") or (role == "coach" and asked != {"recommendations:read"})
        return
    assert granted == asked
    assert "protocols:approve" not in granted or role in ("clinician", "admin")
    assert "clinical:write" not in granted or role == "clinician"
    assert role != "coach" or granted == {"recommendations:read"}


def test_a_route_cannot_ask_for_a_scope_that_does_not_exist():
    with pytest.raises(ValueError, match="scope 'events:wirte' does not exist"):
        requires("events:wirte")


def test_what_a_scope_allows_follows_the_words_may_not() -> None:
    """Every refusal reads `this key may not …`: a verb comes first."""
    verbs = ("send", "read", "record", "draft", "approve", "replay", "create", "erase", "export")
    assert {scope: words for scope, words in SCOPES.items() if words.split()[0].rstrip(",") not in verbs} == {}
