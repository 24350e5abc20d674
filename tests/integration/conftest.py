"""The shared target, for fixtures of a whole file as well; its counters are at zero for each test."""

import pytest


@pytest.fixture(scope="module")
def target(shared_target):
    return shared_target


@pytest.fixture(autouse=True)
def fresh_counters(request):
    if "target" in request.fixturenames:
        request.getfixturevalue("target").reset()
