"""Real processes: each of these tests forks."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from integration.runs import is_alive, process_of, python
from target_process import ROOT

from engine.http_harness import WAIT_S, until
from perfcore.engine import worker_group
from perfcore.engine.worker import OUT_OF_MEMORY_CODE
from perfcore.engine.worker_group import WorkerGroup
from perfcore.errors import SetupFailedError


def receive(group: WorkerGroup, count: int) -> list[tuple[int, dict[str, Any] | None]]:
    deadline = time.monotonic() + WAIT_S
    received: list[tuple[int, dict[str, Any] | None]] = []
    while len(received) < count:
        assert time.monotonic() < deadline, received
        received += group.receive(0.05)
    return received


def echoes(index: int, channel: socket.socket, _supervisor: int) -> int:
    """Sends back what it is told with its number, until it is told to quit."""
    while (packet := channel.recv(65536)) and b"quit" not in packet:
        channel.send(packet.replace(b"?", str(index).encode()))
    return 0


def test_every_worker_is_told_and_heard() -> None:
    group = WorkerGroup(3, echoes)
    try:
        pids = group.pids
        assert len(set(pids)) == 3
        for worker in range(3):
            group.send(worker, {"say": "?"})
        assert sorted(receive(group, 3), key=lambda said: said[0]) == [
            (worker, {"say": str(worker)}) for worker in range(3)
        ]
        assert group.alive == [0, 1, 2]
    finally:
        group.quit()
    assert all(not Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_killed_worker_is_reported_with_its_cause_and_the_others_go_on() -> None:
    group = WorkerGroup(3, echoes)
    try:
        os.kill(group.pids[1], signal.SIGKILL)
        assert receive(group, 1) == [(1, None)]
        assert group.cause_of_death(1) == "was killed by signal 9"
        assert group.alive == [0, 2]
        group.send(1, {"say": "nothing"})  # nobody is told, nothing is raised
        group.send(2, {"say": "?"})
        assert receive(group, 1) == [(2, {"say": "2"})]
        pids = [pid for pid in group.pids if pid]
        assert len(pids) == 2
    finally:
        group.kill()
    assert all(not Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize(("code", "cause"), [(0, "ended with exit code 0"), (3, "ended with exit code 3")])
def test_a_worker_that_ends_by_itself_is_reported_with_its_code(code: int, cause: str) -> None:
    group = WorkerGroup(1, lambda _index, _channel, _pid: code)
    try:
        assert receive(group, 1) == [(0, None)]
        assert group.cause_of_death(0) == cause
    finally:
        group.kill()


def test_an_exception_in_a_worker_stays_in_it() -> None:
    def fails(_index: int, _channel: socket.socket, _pid: int) -> int:
        raise KeyboardInterrupt

    group = WorkerGroup(1, fails)
    try:
        assert receive(group, 1) == [(0, None)]
        assert group.cause_of_death(0) == "ended with exit code 1"
    finally:
        group.kill()


def test_what_a_worker_said_before_it_died_is_heard_though_it_read_nothing() -> None:
    def speaks_and_dies(_index: int, channel: socket.socket, _pid: int) -> int:
        import select

        select.select([channel], [], [], WAIT_S)  # something lies there, and is left there
        channel.send(b'{"last": "words"}')
        return 1

    group = WorkerGroup(1, speaks_and_dies)
    try:
        group.send(0, {"unread": True})
        assert receive(group, 2) == [(0, {"last": "words"}), (0, None)]
    finally:
        group.kill()


def test_killing_ends_workers_that_ignore_everything() -> None:
    def deaf(_index: int, _channel: socket.socket, _pid: int) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)
        return 0

    before = len(os.listdir("/proc/self/fd"))
    group = WorkerGroup(4, deaf)
    pids = group.pids
    group.kill()
    assert all(not Path(f"/proc/{pid}").exists() for pid in pids)
    assert len(os.listdir("/proc/self/fd")) == before
    group.kill()  # again: nothing to do


def test_a_stopped_worker_is_killed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_group, "END_TIMEOUT_S", 0.3)
    group = WorkerGroup(3, echoes)
    pids = group.pids
    os.kill(pids[0], signal.SIGSTOP)
    os.kill(pids[2], signal.SIGSTOP)
    group.kill_worker(0)
    assert not Path(f"/proc/{pids[0]}").exists()
    assert group.alive == [1, 2]
    begun = time.monotonic()
    group.quit()
    assert 0.3 <= time.monotonic() - begun < 5
    assert all(not Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_fork_that_fails_leaves_no_worker_and_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    real, forked = os.fork, []

    def fork() -> int:
        if len(forked) == 2:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        pid = real()
        if pid:
            forked.append(pid)
        return pid

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(SetupFailedError, match="worker 2 of 4 could not be started"):
        WorkerGroup(4, echoes)
    assert len(forked) == 2
    assert all(not Path(f"/proc/{pid}").exists() for pid in forked)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_worker_without_memory_is_told_from_one_that_fails() -> None:
    def runs_out(index: int, _channel: socket.socket, _pid: int) -> int:
        if index == 0:
            raise MemoryError
        return OUT_OF_MEMORY_CODE if index == 1 else 1

    group = WorkerGroup(3, runs_out)
    try:
        assert sorted(worker for worker, _ in receive(group, 3)) == [0, 1, 2]
        causes = [group.cause_of_death(worker) for worker in range(3)]
        assert causes == ["ran out of memory", "ran out of memory", "ended with exit code 1"]
        assert [group.ran_out_of_memory(worker) for worker in range(3)] == [True, True, False]
    finally:
        group.kill()


@pytest.mark.parametrize(
    ("kills", "cause"),
    [
        ([4, 4], "was killed by signal 9"),
        ([4, 5], "was killed by signal 9 (the kernel was ending processes for lack of memory)"),
    ],
)
def test_a_kill_is_the_kernels_where_it_has_counted_one(
    monkeypatch: pytest.MonkeyPatch, kills: list[int], cause: str
) -> None:
    left = iter(kills)
    monkeypatch.setattr(worker_group, "_out_of_memory_kills", lambda: next(left))
    group = WorkerGroup(1, echoes)
    try:
        os.kill(group.pids[0], signal.SIGKILL)
        receive(group, 1)
        assert group.cause_of_death(0) == cause
    finally:
        group.kill()


SUPERVISOR = """
import os, sys, time
from perfcore.engine.worker import become_worker
from perfcore.engine.worker_group import WorkerGroup
def work(index, channel, supervisor):
    become_worker(supervisor)
    channel.send(b'{"ready": true}')
    if index:
        while True: pass  # one that is busy, and one that waits
    time.sleep(3600)
group = WorkerGroup(2, work)
ready = []
while len(ready) < 2:
    ready += group.receive(1)
print(*group.pids, flush=True)
time.sleep(3600)
"""


def test_workers_die_with_a_killed_supervisor() -> None:
    with process_of(ROOT, python(SUPERVISOR)) as supervisor:
        assert supervisor.stdout is not None
        pids = [int(word) for word in supervisor.stdout.readline().split()]
        assert len(pids) == 2
        supervisor.kill()
        killed_at = time.monotonic()
        supervisor.wait(WAIT_S)
        until(lambda: not any(is_alive(pid) for pid in pids))
        # A run promises a second and the kernel takes microseconds; the rest is for a machine that is busy.
        assert time.monotonic() - killed_at < 3.0
