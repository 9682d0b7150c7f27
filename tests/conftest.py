"""Fixtures for all tests."""

import pytest

from sim.runner import simulators


@pytest.fixture
def need():
    """A function that skips the test, visibly, when a simulator is not installed."""
    def check(simulator):
        if simulator not in simulators():
            pytest.skip(f"{simulator} is not installed")
    return check
