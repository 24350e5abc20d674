"""One target for all tests of this room; each test starts with counters at zero."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from target_process import TargetProcess, running_target


@pytest.fixture(scope="session")
def shared_target() -> Iterator[TargetProcess]:
    with running_target() as target:
        yield target


@pytest.fixture
def target(shared_target: TargetProcess) -> TargetProcess:
    shared_target.stats_when_closed()
    shared_target.reset()
    return shared_target
