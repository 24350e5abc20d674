import contextlib
import os
import socket
import time

from perfcore.engine.poller import MAX_EVENTS, READ, WRITE, Poller


def test_what_is_ready_is_told_with_its_events() -> None:
    poller = Poller()
    ours, theirs = socket.socketpair()
    with ours, theirs, contextlib.closing(poller):
        poller.register(ours.fileno(), READ)
        assert poller.wait(0) == []
        theirs.send(b"x")
        for timeout_s in (0, 0.001, 1.0):
            assert poller.wait(timeout_s) == [(ours.fileno(), READ)]
        poller.modify(ours.fileno(), WRITE)
        assert poller.wait(1.0) == [(ours.fileno(), WRITE)]
        poller.unregister(ours.fileno())
        assert poller.wait(0) == []


def test_a_wait_lasts_no_longer_than_asked_and_does_not_return_at_once() -> None:
    with contextlib.closing(Poller()) as poller:
        for timeout_s in (0.0005, 0.0015, 0.003, 0.05):
            begin = time.monotonic()
            assert poller.wait(timeout_s) == []
            took = time.monotonic() - begin
            # Early by up to a millisecond where epoll waits; late by whatever the machine is busy with.
            assert timeout_s - 0.0021 <= took < timeout_s + 2


def test_a_wait_of_no_time_or_less_returns_at_once() -> None:
    with contextlib.closing(Poller()) as poller:
        for timeout_s in (0, 0.0, -1.0):
            assert poller.wait(timeout_s) == []


def test_no_more_is_told_at_once_than_the_batch_allows_and_nobody_is_forgotten() -> None:
    with contextlib.ExitStack() as stack:
        poller = stack.enter_context(contextlib.closing(Poller()))
        pairs = [socket.socketpair() for _ in range(MAX_EVENTS * 2)]
        for ours, theirs in pairs:
            stack.enter_context(ours)
            stack.enter_context(theirs)
            theirs.send(b"x")
            poller.register(ours.fileno(), READ)
        batches = [poller.wait(0) for _ in range(4)]
        assert max(map(len, batches)) == MAX_EVENTS
        assert {fd for batch in batches for fd, _ in batch} == {ours.fileno() for ours, _ in pairs}


def test_closing_gives_the_descriptor_back() -> None:
    before = len(os.listdir("/proc/self/fd"))
    poller = Poller()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    poller.close()
    assert len(os.listdir("/proc/self/fd")) == before
