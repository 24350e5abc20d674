"""A worker's side of the talk with its supervisor."""

import json
import socket
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from perfcore.engine import worker
from perfcore.engine.worker import SharedBudget, _Worker
from perfcore.metrics.run_memory import RunMemory


def worker_on(channel: socket.socket) -> _Worker:
    job: Any = SimpleNamespace(memory=RunMemory(1, 1))
    return _Worker(0, channel, job)


@pytest.fixture
def channel():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def fill(speaker: _Worker, theirs: socket.socket) -> None:
    """Failure samples until the queue has no room left."""
    for _ in range(2000):
        speaker.send_if_room({"failure": "x" * 4000})
    with pytest.raises(BlockingIOError):
        theirs.send(b"x" * 4000, socket.MSG_DONTWAIT)


def test_what_the_supervisor_has_to_know_waits_until_it_reads(channel: Any) -> None:
    ours, theirs = channel
    speaker = worker_on(theirs)
    fill(speaker, theirs)
    heard: list[dict[str, Any]] = []

    def read_late() -> None:
        time.sleep(0.2)
        while "done" not in (message := json.loads(ours.recv(worker.PACKET_LIMIT))):
            heard.append(message)
        heard.append(message)

    reader = threading.Thread(target=read_late, daemon=True)
    reader.start()
    speaker.send({"done": True})
    reader.join(10)
    assert heard[-1] == {"done": True}
    assert heard[0].keys() == {"failure"}


def test_a_supervisor_that_never_reads_ends_the_worker(channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _ours, theirs = channel
    speaker = worker_on(theirs)
    fill(speaker, theirs)
    monkeypatch.setattr(worker, "SEND_TIMEOUT_S", 0.05)
    with pytest.raises(TimeoutError):
        speaker.send({"done": True})


def test_a_supervisor_that_is_gone_is_told_nothing(channel: Any) -> None:
    ours, theirs = channel
    ours.close()
    worker_on(theirs).send({"done": True})


def test_a_budget_knows_when_it_is_spent() -> None:
    budget = SharedBudget(2)
    try:
        assert not budget.is_spent()
        assert [budget.take(), budget.take(), budget.take()] == [True, True, False]
        assert budget.is_spent()
    finally:
        budget.close()
