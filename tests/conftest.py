"""What holds for all tests: how Hypothesis draws, and in which order they run."""

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

# Neither a deadline nor a health check by the clock: no outcome may hang on how fast or busy a machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# What draws waits for nothing, so it cannot hang as a server may; it is slow where the machine is. A test
# that is stopped while it draws reads as one whose strategies are flaky.
PROPERTY_TIMEOUT_S = 3_600


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give property tests their time, and keep each folder's tests together in their random order.

    A folder's servers run from its first to its last test; mixed, those of all would run all the time.
    """
    for item in items:
        drawn = is_hypothesis_test(getattr(item, "obj", None))
        if drawn and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PROPERTY_TIMEOUT_S))
    items.sort(key=lambda item: item.nodeid.split("/")[1])
