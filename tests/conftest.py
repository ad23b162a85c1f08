"""What holds for all tests: how Hypothesis draws, and in which order they run."""

import pytest
from hypothesis import HealthCheck, settings

# Neither a deadline nor a health check by the clock: no outcome may hang on how fast or busy a machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each folder's tests together, in the random order that they have there.

    A folder's servers run from its first to its last test; mixed, those of all would run all the time.
    """
    items.sort(key=lambda item: item.nodeid.split("/")[1])
