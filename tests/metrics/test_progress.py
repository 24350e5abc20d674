"""What a progress view is given."""

import dataclasses

import pytest

from perfcore.metrics.progress import RunProgress, TestProgress


def test_progress_is_a_value_that_a_view_cannot_change():
    test = TestProgress(
        key="profile",
        name="Profile",
        state="running",
        elapsed_s=1.0,
        planned_s=None,
        planned_requests=100,
        requests=50,
        failed=0,
        rate=50.0,
        p50_ms=1.0,
        p99_ms=2.0,
        users=10,
    )
    run = RunProgress(1.0, (test,))
    assert run == RunProgress(1.0, (dataclasses.replace(test),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        test.requests = 51
