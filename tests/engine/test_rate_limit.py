"""Instants that several processes share: none twice, none missing, at the limit's distance."""

import mmap
import os
import signal

import pytest

from perfcore.engine.rate_limit import SharedSlots


def shared_words():
    return memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")[:1]


def test_instants_are_an_interval_apart_and_never_before_they_are_asked_for():
    slots = SharedSlots(1000, [0])
    try:
        assert [slots.take(5_000_000) for _ in range(3)] == [5_000_000, 6_000_000, 7_000_000]
        assert slots.take(9_000_000) == 9_000_000  # unused ones are not saved up
        assert slots.take(9_000_001) == 10_000_000
    finally:
        slots.close()


@pytest.mark.parametrize("processes", [2, 7])
def test_processes_take_every_instant_once(processes):
    slots, each = SharedSlots(1_000_000, shared_words()), 2000
    readers = []
    for _ in range(processes):
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                taken = [slots.take(0) for _ in range(each)]
                os.close(reader)
                with os.fdopen(writer, "w") as file:
                    file.write(" ".join(map(str, taken)))
            finally:
                os._exit(0)
        os.close(writer)
        readers.append(reader)
    taken = []
    for reader in readers:
        with os.fdopen(reader) as file:
            taken += [int(word) for word in file.read().split()]
        os.wait()
    slots.close()
    assert sorted(taken) == [at * 1000 for at in range(processes * each)]


def test_a_worker_killed_while_it_holds_the_lock_does_not_stop_the_others():
    slots = SharedSlots(1000, shared_words())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        import fcntl

        fcntl.lockf(slots._fd, fcntl.LOCK_EX)
        os.write(writer, b"x")
        signal.pause()
        os._exit(0)
    os.read(reader, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert slots.take(7) == 7
    slots.close()
    os.close(reader)
    os.close(writer)
