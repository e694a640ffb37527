"""What holds for all tests: properties are tried on the same values each time; how many processes run them."""

import os

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


def pytest_xdist_auto_num_workers() -> int:
    """Most tests wait most of the time."""
    return 2 * (os.cpu_count() or 1)
