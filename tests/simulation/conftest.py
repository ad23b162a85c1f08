"""`pytest tests/simulation --seed 17` runs that seed alone besides."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option; it is known when this folder is named on the command line."""
    parser.addoption("--seed", type=int, default=None, help="simulate this seed too, and print its trace")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int | None:
    """Return the seed that was asked for, if any."""
    found = request.config.getoption("--seed", default=None)
    assert found is None or isinstance(found, int)
    return found
