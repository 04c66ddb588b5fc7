"""What holds for every test: an environment without anybody's settings, Hypothesis without a clock."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings as hypothesis_settings

from shared.settings import PREFIX

# Derandomized: a run says whether this code holds, and the next run says the same; `MILEPOST_HYPOTHESIS=random` searches on.
# No deadline: two cores are shared by servers and tests, and a slow example is not a wrong one.
hypothesis_settings.register_profile(
    "milepost",
    deadline=None,
    derandomize=os.environ.get("MILEPOST_HYPOTHESIS") != "random",
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
hypothesis_settings.load_profile("milepost")

for _name in [name for name in os.environ if name.startswith(PREFIX)]:
    del os.environ[_name]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A directory for embedded servers that does not exist yet."""
    return tmp_path / "data"
