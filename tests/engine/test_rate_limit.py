"""Instants that several processes share: none twice, none missing, at the limit's distance."""

import mmap
import os
import signal

import pytest

from perfcore.engine.rate_limit import HORIZON_NS, SharedSlots


def shared_words():
    return memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("q")[:1]


def test_instants_are_an_interval_apart_and_never_before_they_are_asked_for():
    slots = SharedSlots(1000, [0])
    try:
        assert [slots.take(5_000_000)[0] for _ in range(3)] == [5_000_000, 6_000_000, 7_000_000]
        assert slots.take(9_000_000) == (9_000_000, True)  # unused ones are not saved up
        assert slots.take(9_000_001) == (10_000_000, True)
    finally:
        slots.close()


def test_an_instant_that_is_far_off_is_not_given_but_told():
    slots = SharedSlots(10, [0])
    try:
        assert slots.take(0) == (0, True)
        assert slots.take(1) == (100_000_000, False)
        ask_ns = slots.nearest_ask_ns(100_000_000)
        assert ask_ns == 100_000_000 - HORIZON_NS
        assert slots.take(ask_ns) == (100_000_000, True)
        assert slots.take(ask_ns) == (200_000_000, False)
    finally:
        slots.close()


@pytest.mark.parametrize("processes", [2, 7])
def test_processes_take_every_instant_once(processes):
    slots, each = SharedSlots(10_000_000, shared_words()), 2000
    readers = []
    for _ in range(processes):
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                taken = []
                while len(taken) < each:
                    slot_ns, is_given = slots.take(100 * HORIZON_NS)
                    assert is_given
                    taken.append(slot_ns)
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
    begin_ns = 100 * HORIZON_NS
    assert sorted(taken) == [begin_ns + at * 100 for at in range(processes * each)]


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
    assert slots.take(7) == (7, True)
    slots.close()
    os.close(reader)
    os.close(writer)
