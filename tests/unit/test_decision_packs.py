"""Which packs are at hand: shipped and published, past their last date or not."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.decision import measures
from services.decision.athletes import restored
from services.decision.engines.reference import ReferenceEngine
from services.decision.lifecycle.pack import Pack, Release
from services.decision.packs import PacksRefused, Published
from services.decision.rules.library import SHIPPED, PackLibrary, load_pack
from services.decision.store.athletes import History

TEXT = (SHIPPED / "mil-knee-overuse.yaml").read_text()
NOW = datetime(2026, 12, 2, tzinfo=UTC)


def published(tmp_path: Path, *texts: str) -> Published:
    files = []
    for n, text in enumerate(texts):
        files.append(tmp_path / f"{n}.yaml")
        files[-1].write_text(text)
    return Published(PackLibrary(ReferenceEngine(), paths=files), ReferenceEngine())


def test_an_expired_live_pack_is_counted_and_told(tmp_path: Path) -> None:
    packs = published(tmp_path, TEXT.replace("review_by:", "expires: 2026-12-01\nreview_by:", 1))
    assert packs.expired(datetime(2026, 12, 1, 12, tzinfo=UTC)) == 0
    assert packs.expired(NOW) == 1
    assert measures.EXPIRED_PACKS._value.get() == 1


def test_a_tenants_own_pack_takes_the_place_of_the_shipped_one_for_that_tenant_alone(tmp_path: Path) -> None:
    packs = published(tmp_path, TEXT)
    shipped = packs.shipped.protocols["mil-knee-overuse"]
    own_file = tmp_path / "own.yaml"
    own_file.write_text(TEXT.replace("version: 1.0.0", "version: 9.0.0", 1))
    own = load_pack(own_file).protocol
    packs.by_hash[own.hash] = own
    packs.lives["north", "mil-knee-overuse"] = Pack(live=own.hash, releases=(Release(own.hash, "9.0.0", NOW, "live"),))
    assert packs.of("north").resolve("mil-knee-overuse") is own
    assert packs.of("south").resolve("mil-knee-overuse") is shipped
    assert packs.of("north").resolve(f"mil-knee-overuse@{shipped.version}") is shipped
    assert packs.of("south").resolve("mil-knee-overuse@9.0.0") is None


@pytest.mark.parametrize(("state", "found"), [("superseded", True), ("retired", False)])
def test_a_superseded_version_can_be_named_and_a_retired_one_only_by_its_content(tmp_path: Path, state: str, found: bool) -> None:
    packs = published(tmp_path, TEXT)
    own_file = tmp_path / "own.yaml"
    own_file.write_text(TEXT.replace("version: 1.0.0", "version: 9.0.0", 1))
    own = load_pack(own_file).protocol
    packs.by_hash[own.hash] = own
    packs.lives["north", "mil-knee-overuse"] = Pack(releases=(Release(own.hash, "9.0.0", NOW, state),))  # type: ignore[arg-type]
    assert (packs.of("north").resolve("mil-knee-overuse@9.0.0") is own) is found
    assert packs.of("north").resolve(own.hash) is own


@pytest.mark.law("same-bytes")
def test_a_course_on_a_pack_that_is_not_at_hand_is_not_folded_on_another(tmp_path: Path) -> None:
    gone = {"protocol": {"id": "mil-knee-overuse", "version": "0.1.0", "hash": "sha256:gone"}}
    with pytest.raises(PacksRefused, match=r"stands on mil-knee-overuse@0\.1\.0"):
        restored(published(tmp_path, TEXT).of("north"), History([], {"c": (1, gone)}))
