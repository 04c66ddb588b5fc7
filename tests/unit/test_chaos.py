"""What a short round of `make chaos` does is there to be done, and each part of it has its row."""

from pathlib import Path

from tests.chaos.rows import PARTS
from tests.chaos.short import SIDE_BY_SIDE

ROOT = Path(__file__).parents[2]


def test_every_part_of_a_short_round_is_a_file_of_tests_and_has_its_name():
    files = [file for files in SIDE_BY_SIDE for file in files]
    assert all((ROOT / "tests" / file).is_file() for file in files)
    assert len(files) == len(PARTS) and all(sum(file.endswith(end) for end in PARTS) == 1 for file in files)
