"""Golden histories: decisions that were recorded once come out with the same bytes for ever, or somebody says why not."""

import orjson
import pytest

from tests.golden.corpus import HERE, decided, histories, kept, packs


@pytest.mark.law("same-bytes")
@pytest.mark.parametrize("name", sorted(histories()))
def test_a_golden_history_is_decided_as_it_always_was(name: str):
    assert decided(histories()[name]) == kept()[name], 'say why with: python -m tests.golden --because "…"'


def test_every_golden_history_is_recorded_with_a_reason():
    assert kept().keys() == histories().keys()
    reasons = (HERE / "reasons.md").read_text()
    assert all(name in reasons for name in kept())
    assert (HERE / "hashes.json").read_bytes() == orjson.dumps(kept(), option=orjson.OPT_INDENT_2) + b"\n"


def test_the_golden_histories_decide_something_each():
    assert all(len(hashes) >= 3 for hashes in kept().values())


@pytest.mark.law("same-bytes")
def test_packs_of_old_are_read_as_the_very_content_they_were():
    assert sorted(packs()) == [
        "sha256:3f90112bcfbac3e4b51f3a4319267e418ef60dc97396cfd03dc065644caa13bf",
        "sha256:dc0547a33bde391c303ed54144bea6a64fe22453abd36e62ce5dfa39cdde2a1a",
    ]
