"""The stories that the shipped packs tell."""

from pathlib import Path

import pytest

from services.decision.engines.reference import ReferenceEngine
from services.decision.rules.library import FLOORS, SHIPPED, load_pack
from services.decision.rules.testing.stories import tell_all

PACKS = sorted(path for path in SHIPPED.glob("*.yaml") if path.stem not in FLOORS)


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_every_story_of_a_shipped_pack_ends_as_it_says(path: Path) -> None:
    _, faults = tell_all(load_pack(path), ReferenceEngine())
    assert [str(fault) for fault in faults] == []


def test_a_story_that_ends_otherwise_is_told_with_its_place_and_the_difference(tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    text = (SHIPPED / "mil-knee-overuse.yaml").read_text()
    file.write_text(
        text.replace("expect: {action: advance, from_step: P2, to_step: P3", "expect: {action: advance, from_step: P2, to_step: P4", 1)
    )
    line = next(n for n, one in enumerate(file.read_text().splitlines(), 1) if "to_step: P4" in one)
    _, faults = tell_all(load_pack(file), ReferenceEngine())
    [fault] = faults
    assert (fault.line, "to_step is P3, expected P4" in fault.sentence) == (line, True)


def test_a_story_with_an_event_that_is_none_names_the_field(tmp_path: Path) -> None:
    file = tmp_path / "pack.yaml"
    text = (SHIPPED / "mil-knee-overuse.yaml").read_text()
    file.write_text(text.replace("event: session.completed, session: s1}", "event: session.completed, session: s1, rpe: 30}", 1))
    [fault] = tell_all(load_pack(file), ReferenceEngine())[1]
    assert "data.rpe" in fault.sentence
