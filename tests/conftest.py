"""What every test shares: thread settings, hypothesis profiles, and the skip of torch tests where torch is missing."""

import os

os.environ["OMP_WAIT_POLICY"] = "passive"  # read once, when OpenFHE loads its OpenMP library

from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
settings.register_profile("ci", derandomize=True, max_examples=50, **COMMON)
settings.register_profile("nightly", max_examples=500, **COMMON)
settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked ``torch`` where the torch extra is not installed."""
    if find_spec("torch") is None:
        skip = pytest.mark.skip(reason="needs the torch extra: pip install 'enclair[torch]'")
        for item in items:
            if item.get_closest_marker("torch"):
                item.add_marker(skip)
