"""Which time counts, found out as a run goes: driven with rows and instants, without a process or a clock."""

from types import SimpleNamespace

import numpy as np
import pytest
from metrics.rows import START_NS, rows_of

from perfcore.engine import measuring as module
from perfcore.engine.measuring import Measuring
from perfcore.engine.plan import plan_run
from perfcore.metrics.measured_document import UntilFacts
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.precision import look_times_s, precision_level
from perfcore.metrics.run_memory import ARRIVALS, DROPPED, RunMemory
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

MS, SECOND = 1_000_000, 1_000_000_000
UNTIL = {"metric": "p50", "precision": "5%"}


class Tests:
    """Tests of a run that have begun at START_NS, each with these keys of a suite file."""

    __test__ = False

    def __init__(self, *tests, workers=2):
        cases = [TestCase(name=f"T{at}", endpoint="/", **keys) for at, keys in enumerate(tests)]
        self.plan = plan_run(TestSuite(name="s", base_url="http://h", tests=cases), workers)
        self.collector = MetricsCollector(len(cases))
        self.memory = RunMemory(workers, len(cases))
        self.measuring = Measuring(self.plan, self.collector, self.memory)
        self.phase = tuple(range(len(cases)))
        for index, plan in enumerate(self.plan.cases):
            end_ns = None if plan.duration_s is None else START_NS + round(plan.duration_s * SECOND)
            for collector in (self.collector, *self.memory.accumulators):
                collector.tests[index].begin(START_NS, end_ns, round(plan.case.warmup_s * SECOND))
            self.measuring.begin(index)

    def second(self, at, service_ns, *, case=0, count=200):
        """A second's requests, and a tick at its end."""
        every_ns = SECOND // count
        rows = rows_of(
            count, case=case, start_ns=START_NS + at * SECOND, every_ns=every_ns, service_ns=service_ns
        )
        self.collector.fold(rows)
        self.measuring.fold(rows)
        self.tick(at + 1)

    def tick(self, after_s):
        self.measuring.tick(self.phase, START_NS + round(after_s * SECOND))

    def end_s(self, test=0):
        end_ns = self.memory.test_end_ns(test)
        return None if end_ns is None else (end_ns - START_NS) / SECOND


def times(seed, spread, count=200):
    return (np.random.default_rng(seed).lognormal(0, spread, count) * 5 * MS).astype(np.int64)


# -- until --------------------------------------------------------------------------------------------------------


def test_a_test_ends_at_the_first_look_that_knows_enough_and_everybody_is_told() -> None:
    tests = Tests({"duration": "60s", "until": UNTIL})
    for at in range(4):
        tests.second(at, times(at, 0.1))
        assert tests.end_s() == (None if at < 2 else 3)
    for collector in (tests.collector, *tests.memory.accumulators):
        assert collector.tests[0].planned_end_ns == START_NS + 3 * SECOND
    looks = len(look_times_s(60))
    assert tests.measuring.until_facts(0) == UntilFacts(50.0, 0.05, precision_level(looks), looks, 3.0)


def test_what_is_known_worse_takes_longer_and_says_how_long() -> None:
    tests, left_s, ended_s = Tests({"duration": "600s", "until": UNTIL}), [], None
    for at in range(60):
        tests.second(at, times(at, 1.0))
        left_s.append(tests.measuring.until[0].left_s)
        if tests.end_s() is not None:
            ended_s = tests.end_s()
            break
    assert ended_s is not None
    # By hand: of a lognormal's median, 1.2533 standard errors of the mean of the logs, at the level of the looks (3.9).
    needed = (3.9 * 1.2533 / 0.05) ** 2 / 200
    assert 0.6 * needed < ended_s < 2.5 * needed
    told = [left for left in left_s if left is not None]
    assert told[0] > 3
    assert told[-1] == 0


def test_a_test_that_never_knows_enough_runs_to_its_end() -> None:
    tests = Tests({"duration": "10s", "until": {"metric": "p99", "precision": "0.1%"}})
    for at in range(10):
        tests.second(at, times(at, 1.0))
    assert tests.end_s() is None
    facts = tests.measuring.until_facts(0)
    assert (facts.percentile, facts.reached_after_s, facts.looks) == (99.0, None, len(look_times_s(10)))
    assert tests.collector.tests[0].planned_end_ns == START_NS + 10 * SECOND


def test_whoever_was_held_up_looks_once_for_all_looks_that_were_missed() -> None:
    tests = Tests({"duration": "60s", "until": {"metric": "p50", "precision": "0.01%"}})
    state = tests.measuring.until[0]
    tests.tick(2.9)
    assert (state.done_looks, state.precision) == (0, None)
    for at in range(3):
        tests.collector.fold(
            rows_of(200, start_ns=START_NS + at * SECOND, every_ns=5 * MS, service_ns=times(at, 0.5))
        )
    tests.tick(20)
    assert state.done_looks == sum(look <= 20 for look in look_times_s(60))
    known = state.precision
    tests.tick(20.1)
    assert state.precision is known


def test_looks_are_counted_from_the_end_of_a_fixed_warm_up() -> None:
    tests = Tests({"duration": "60s", "warmup": "5s", "until": UNTIL})
    for at in range(12):
        tests.second(at, times(at, 0.1) * (10 if at < 5 else 1))
    assert tests.end_s() == 8
    assert tests.measuring.until_facts(0).reached_after_s == 3
    assert len(tests.measuring.until[0].looks_s) == len(look_times_s(55))


def test_tests_that_run_together_end_on_their_own() -> None:
    tests = Tests(
        {"duration": "60s", "until": UNTIL}, {"duration": "60s", "until": UNTIL}, {"duration": "60s"}
    )
    for at in range(4):
        tests.second(at, times(at, 0.1))
    assert [tests.end_s(at) for at in range(3)] == [3, None, None]
    assert tests.measuring.until_facts(2) is None


# -- warmup: auto -------------------------------------------------------------------------------------------------


@pytest.fixture
def later(monkeypatch):
    """`settle` long after the end, by its clock."""
    fake = SimpleNamespace(monotonic_ns=lambda: START_NS + 9000 * SECOND)
    monkeypatch.setattr(module, "time", fake)


def warming(tests, seconds, slow=10, case=0):
    for at in range(seconds):
        for worker in range(2):
            tests.memory.set_gauge(worker, case, ARRIVALS, 100 * (at + 1))
            tests.memory.set_gauge(worker, case, DROPPED, at + 1)
        tests.second(at, times(at, 0.1) * (4 if at < slow else 1), case=case)


@pytest.mark.usefixtures("later")
def test_a_warm_up_is_found_at_the_end_and_left_out_with_its_arrivals() -> None:
    tests = Tests({"duration": "30s", "rate": "200/s", "warmup": "auto"})
    warming(tests, 30)
    figures = tests.collector.tests[0]
    assert figures.counter("requests") == 6000
    before = tests.measuring.settle(0)
    measured_from_s = (figures.measured_from_ns - START_NS) / SECOND
    assert measured_from_s == 10
    assert (figures.counter("requests"), figures.counter("warmup_requests")) == (4000, 2000)
    assert figures.distributions["response"].max_ns < 12 * MS
    assert sum(figures.timeline.column("requests")) == 6000
    # Noted at the end of each second, which is the beginning of the next segment.
    assert before == (2 * 100 * 9, 2 * 9)


@pytest.mark.usefixtures("later")
def test_figures_that_were_settled_count_on_as_they_are() -> None:
    tests = Tests({"duration": "30s", "warmup": "auto"})
    warming(tests, 30)
    tests.measuring.settle(0)
    words = tests.collector.tests[0].words.copy()
    assert tests.measuring.settle(0) == (0, 0)
    assert np.array_equal(tests.collector.tests[0].words, words)


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("keys", [{"duration": "30s"}, {"duration": "30s", "warmup": "5s"}])
def test_without_auto_there_is_nothing_to_settle(keys) -> None:
    tests = Tests(keys)
    warming(tests, 30)
    figures = tests.collector.tests[0]
    assert tests.measuring.measured(0, START_NS + 30 * SECOND) == (figures, 0, 0)
    words = figures.words.copy()
    assert tests.measuring.settle(0) == (0, 0)
    assert np.array_equal(figures.words, words)


@pytest.mark.usefixtures("later")
def test_a_test_without_a_request_settles_without_a_warm_up() -> None:
    tests = Tests({"duration": "30s", "warmup": "auto"})
    assert tests.measuring.settle(0) == (0, 0)
    assert tests.collector.tests[0].measured_from_ns == START_NS


@pytest.mark.usefixtures("later")
def test_looks_of_a_test_that_warms_up_are_at_what_counts_by_then() -> None:
    tests = Tests({"duration": "120s", "warmup": "auto", "until": UNTIL})
    warming(tests, 60, slow=8)
    figures, ended_s = tests.collector.tests[0], tests.end_s()
    # The slow beginning alone would be known after three seconds.
    looks_s = look_times_s(120, 20)
    assert ended_s in [np.ceil(look) for look in looks_s[:2]]
    assert tests.measuring.until_facts(0).level == precision_level(len(looks_s))
    tests.measuring.settle(0)
    assert 8 * SECOND <= figures.measured_from_ns - START_NS <= 10 * SECOND
    assert figures.planned_end_ns == START_NS + ended_s * SECOND
    assert figures.distributions["response"].max_ns < 12 * MS


def test_what_a_worker_counted_itself_is_told_where_a_warm_up_is_found():
    tests = [TestCase(name="a", endpoint="/", warmup="auto"), TestCase(name="b", endpoint="/", warmup="1s")]
    plan = plan_run(TestSuite(name="s", base_url="http://h", tests=tests), 1)
    counted = MetricsCollector(2)
    for case in (0, 1):
        counted.tests[case].begin(START_NS, None)
    counted.fold(np.concatenate([rows_of(3, case=0), rows_of(5, case=1)]))
    told = list(Measuring(plan, MetricsCollector(2), RunMemory(1, 2)).uncut(counted))
    assert [text.partition(" requests")[0] for text in told] == ["a: 3"]
    assert list(Measuring(plan, MetricsCollector(2), RunMemory(1, 2)).uncut(MetricsCollector(2))) == []
