"""One embedded target for the tests of a file, its counters at zero for each."""

import pytest
from target_process import running_target


@pytest.fixture(scope="module")
def target():
    with running_target() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh_counters(request):
    if "target" in request.fixturenames:
        request.getfixturevalue("target").reset()
