"""The embedded target has a core of its own where the workers leave one."""

import os
from pathlib import Path

import pytest
from integration.runs import children, one_test, started
from waiting import wait_until

from perfcore.engine import core_split
from perfcore.engine.core_split import keep_to, split_cores

needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core cannot be split")


@pytest.mark.parametrize(
    ("usable", "workers", "split"),
    [
        ({0, 1}, 1, ({0}, {1})),
        ({9, 4, 6, 2}, 1, ({2, 4, 6}, {9})),
        ({9, 4, 6, 2}, 3, ({2, 4, 6}, {9})),
        ({9, 4, 6, 2}, 4, (None, None)),
        ({3}, 1, (None, None)),
        ({0, 1}, 2, (None, None)),
    ],
)
def test_the_last_core_is_the_targets_unless_the_workers_need_all(
    monkeypatch: pytest.MonkeyPatch,
    usable: set[int],
    workers: int,
    split: tuple[set[int] | None, set[int] | None],
) -> None:
    monkeypatch.setattr(core_split.os, "sched_getaffinity", lambda pid: usable)
    assert split_cores(workers) == split


def test_cores_that_are_not_there_change_nothing() -> None:
    before = os.sched_getaffinity(0)
    keep_to(frozenset({1023}))
    assert os.sched_getaffinity(0) == before


def cores_of_a_run(tmp_path: Path, *options: str) -> tuple[set[int], list[set[int]]]:
    """Of the supervisor, and of its children."""
    suite = one_test("embedded", endpoint="/bytes/1", rate="20/s", duration="10s", graceful_stop="100ms")
    with started(tmp_path, suite, *options) as process:

        def affinities() -> list[set[int]]:
            return [os.sched_getaffinity(pid) for pid in children(process.pid)]

        workers = int(options[1])
        wait_until(lambda: len(children(process.pid)) == workers + 1, "the workers and the target")
        supervisor = os.sched_getaffinity(process.pid)
        wanted = split_cores(workers)
        if wanted.target is not None:
            wait_until(lambda: set(map(frozenset, affinities())) == set(wanted), "cores of their own")
        return supervisor, affinities()


@needs_two_cores
def test_workers_and_target_keep_apart_and_the_supervisor_goes_where_it_likes(tmp_path: Path) -> None:
    supervisor, (target, worker) = cores_of_a_run(tmp_path, "--procs", "1")
    assert supervisor == os.sched_getaffinity(0) == worker | target
    assert not worker & target


def test_workers_who_need_every_core_stay_on_all_of_them_as_the_target_does(tmp_path: Path) -> None:
    every = os.sched_getaffinity(0)
    supervisor, others = cores_of_a_run(tmp_path, "--procs", str(len(every)))
    assert all(cores == every for cores in [supervisor, *others])
