"""The README says only what holds."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_every_law_of_the_readme_has_a_test_that_carries_its_name():
    laws = set(re.findall(r"^\| ([a-z]+(?:-[a-z]+)+) \|", README, re.MULTILINE)) | {"once"}
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    held = set(re.findall(r'law\("([a-z-]+)"\)', tests))
    assert laws <= held, f"laws without a test: {sorted(laws - held)}"


def test_every_place_the_readme_names_exists():
    table = README.split("## Where things live")[1].split("## Laws")[0]
    named = re.findall(r"`([a-z_]+/[a-z_/.]*)`", table) + re.findall(r"\]\(([a-z/.]+)\)", table)
    places = [name for name in named if name.split("/")[0] in ("services", "shared", "migrations", "deploy", "tests", "docs")]
    assert places
    assert all((ROOT / name).exists() for name in places)
