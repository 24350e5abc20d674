"""How busy a loop was, by clocks that the test moves."""

import gc
from dataclasses import dataclass

import pytest

from engine.fake_transport import MS, SECOND
from perfcore.engine import loop_watch
from perfcore.engine.loop_watch import GarbagePauses, LoopWatch
from perfcore.metrics.run_memory import (
    BEHIND_NS,
    BUSY_NS,
    LONGEST_GC_NS,
    LONGEST_PASS_NS,
    WALL_NS,
    WORST_BUSY_PPM,
    RunMemory,
)


@dataclass
class Clocks:
    """In the place of the module `time`."""

    cpu_ns: int = 5 * SECOND
    now_ns: int = 0
    step_ns: int = 0

    def process_time_ns(self) -> int:
        return self.cpu_ns

    def monotonic_ns(self) -> int:
        self.now_ns += self.step_ns
        return self.now_ns


@pytest.fixture
def clocks(monkeypatch):
    fake = Clocks()
    monkeypatch.setattr(loop_watch, "time", fake)
    return fake


@pytest.fixture
def memory():
    return RunMemory(workers=2, tests=1)


def looked(clocks, watch, seconds, *, end=True):
    """A look every 50 ms; of each second its (CPU, spun, behind) in ms. Returns when it ended and the total spun."""
    now_ns, spun_ns = 0, 0
    for cpu_ms, spun_ms, behind_ms in seconds:
        for at in range(20):
            now_ns += 50 * MS
            clocks.cpu_ns += cpu_ms * MS // 20
            spun_ns += spun_ms * MS // 20
            behind_ns = behind_ms * MS if at == 10 else 0
            watch.look(now_ns, spun_ns=spun_ns, longest_pass_ns=3 * MS, behind_ns=behind_ns)
    if end:
        watch.end(now_ns, spun_ns=spun_ns, longest_pass_ns=4 * MS)
    return now_ns, spun_ns


def test_busy_is_cpu_time_without_what_was_spun(clocks, memory):
    looked(clocks, LoopWatch(memory, 1, 0), [(400, 0, 0), (1000, 800, 0), (1000, 1000, 0)])
    assert memory.worker_word(1, BUSY_NS) == 600 * MS
    assert memory.worker_word(1, WALL_NS) == pytest.approx(3 * SECOND)
    assert memory.worker_word(1, WORST_BUSY_PPM) == 400_000
    assert all(memory.worker_word(0, which) == 0 for which in range(8)), "the other worker's"


def test_more_spun_than_cpu_time_is_no_time_less_than_none(clocks, memory):
    looked(clocks, LoopWatch(memory, 0, 0), [(500, 700, 0), (500, 0, 0)])
    assert memory.worker_word(0, BUSY_NS) == 500 * MS


def test_a_part_of_a_second_counts_for_the_whole_and_is_not_the_worst_one(clocks, memory):
    watch = LoopWatch(memory, 0, 0)
    now_ns, spun_ns = looked(clocks, watch, [(200, 0, 0)], end=False)
    clocks.cpu_ns += 100 * MS
    watch.look(now_ns + 100 * MS, spun_ns=spun_ns, longest_pass_ns=0, behind_ns=0)
    watch.end(now_ns + 100 * MS, spun_ns=spun_ns, longest_pass_ns=0)
    assert memory.worker_word(0, BUSY_NS) == 300 * MS
    assert memory.worker_word(0, WALL_NS) == 1100 * MS
    assert memory.worker_word(0, WORST_BUSY_PPM) == 200_000


def test_a_look_that_comes_late_counts_its_own_length(clocks, memory):
    watch = LoopWatch(memory, 0, 0)
    clocks.cpu_ns += SECOND
    watch.look(4 * SECOND, spun_ns=0, longest_pass_ns=0, behind_ns=0)
    assert memory.worker_word(0, WORST_BUSY_PPM) == 250_000


def test_a_second_phase_adds_and_keeps_the_worst(clocks, memory):
    looked(clocks, LoopWatch(memory, 0, 0), [(700, 0, 0)])
    looked(clocks, LoopWatch(memory, 0, 0), [(100, 0, 0)])
    assert memory.worker_word(0, BUSY_NS) == 800 * MS
    assert memory.worker_word(0, WALL_NS) == pytest.approx(2 * SECOND)
    assert memory.worker_word(0, WORST_BUSY_PPM) == 700_000
    assert memory.worker_word(0, LONGEST_PASS_NS) == 4 * MS


def test_how_late_it_was_is_told_second_by_second(clocks, memory):
    watch = LoopWatch(memory, 0, 0)
    told = []
    for at, behind_ms in enumerate((5, 40, 2, 0)):
        now_ns = at * SECOND
        watch.look(now_ns + SECOND // 2, spun_ns=0, longest_pass_ns=0, behind_ns=behind_ms * MS)
        watch.look(now_ns + SECOND, spun_ns=0, longest_pass_ns=0, behind_ns=-(1 << 62))
        told.append(memory.worker_word(0, BEHIND_NS) // MS)
    assert told == [5, 40, 2, 0]


def test_pauses_for_garbage_are_timed_while_they_are_watched(clocks):
    pauses = GarbagePauses()
    clocks.step_ns = 7 * MS
    gc.collect()
    assert pauses.longest_ns == 0
    with pauses:
        gc.collect()
        clocks.step_ns = 3 * MS
        gc.collect()
    assert pauses.longest_ns == 7 * MS
    clocks.step_ns = 90 * MS
    gc.collect()
    assert pauses.longest_ns == 7 * MS


def test_the_longest_pause_stands_beside_the_longest_pass(clocks, memory):
    watch = LoopWatch(memory, 0, 0)
    watch.garbage.longest_ns = 11 * MS
    looked(clocks, watch, [(1, 0, 0)])
    assert memory.worker_word(0, LONGEST_GC_NS) == 11 * MS
    assert memory.worker_word(0, LONGEST_PASS_NS) == 4 * MS
