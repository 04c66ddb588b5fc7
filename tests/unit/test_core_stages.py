"""Work in stages, alone and abreast."""

import pytest

from services.decision.core.stages import Staged, abreast, whole


def work(name: str, stages: int, done: list[str]) -> Staged[str]:
    for stage in range(stages):
        done.append(f"{name}{stage}")
        yield
    done.append(f"{name} ends")
    return name.upper()


def test_whole_work_goes_through_every_stage():
    done: list[str] = []
    assert whole(work("a", 2, done)) == "A"
    assert done == ["a0", "a1", "a ends"]


def test_abreast_each_stage_is_gone_through_by_all_before_the_next_and_what_each_gives_keeps_its_place():
    done: list[str] = []
    assert abreast([work("a", 2, done), work("b", 0, done), work("c", 1, done)]) == ["A", "B", "C"]
    assert done == ["a0", "b ends", "c0", "a1", "c ends", "a ends"]


def test_nothing_abreast_gives_nothing():
    assert abreast([]) == []


def test_abreast_raises_what_one_of_them_raises():
    def fails() -> Staged[str]:
        yield
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        abreast([work("a", 3, []), fails()])
