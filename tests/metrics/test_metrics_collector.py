"""Counting a run: the result format's arithmetic, against a plain loop over the rows."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.metrics.histogram import Distribution
from perfcore.metrics.metrics_collector import PHASES, MetricsCollector, Snapshot
from perfcore.metrics.outcomes import CODE, ERROR_KINDS
from perfcore.metrics.samples import CONNECTED, INTERRUPTED, RESENT, RETRIED

from .rows import EXPECTATIONS, START_NS, TRANSPORT, random_rows, rows_of

SECOND = 1_000_000_000
PLANNED_END_NS = START_NS + 2 * SECOND


def collector_of(*blocks, tests=1, planned_end_ns=None):
    collector = MetricsCollector(tests)
    for figures in collector.tests:
        figures.begin(START_NS, planned_end_ns)
    for block in blocks:
        collector.fold(block)
    return collector


def figures_of(*blocks, planned_end_ns=None):
    return collector_of(*blocks, planned_end_ns=planned_end_ns).tests[0]


class Plain:
    """The same figures, row by row, as the result format says them."""

    def __init__(self, rows, planned_end_ns=None):
        self.counters = Counter()
        self.status, self.errors = Counter(), Counter()
        self.durations = defaultdict(list)
        self.shortest_censored = self.last_done = None
        for row in rows:
            self._count({name: int(row[name]) for name in rows.dtype.names}, planned_end_ns)

    def _count(self, row, planned_end_ns):
        if row["flags"] & INTERRUPTED:
            self.counters["interrupted"] += 1
            return
        kind = ERROR_KINDS[row["error"]]
        resent = bool(row["flags"] & RESENT)
        connected = bool(row["flags"] & CONNECTED)
        response = row["done_ns"] - row["due_ns"]
        service = row["done_ns"] - row["issued_ns"]
        answered = kind not in TRANSPORT
        self.last_done = max(self.last_done or 0, row["done_ns"])
        in_plan = planned_end_ns is None or row["done_ns"] <= planned_end_ns
        self.counters.update(
            requests=1,
            failed_requests=bool(kind),
            attempts=row["attempts"],
            retried=bool(row["flags"] & RETRIED),
            resent=resent,
            connections=row["connections"],
            received_bytes=row["received_bytes"],
            sent_bytes=row["sent_bytes"],
            busy_ns=service + 1000 * row["earlier_us"],
            completed_in_plan=in_plan,
            succeeded_in_plan=in_plan and not kind,
            censored=kind in ("timeout", "connect_timeout"),
        )
        if kind:
            self.errors[kind] += 1
        if answered:
            self.status[row["status"]] += 1
        self.durations["lag"].append(row["issued_ns"] - row["due_ns"] - 1000 * row["earlier_us"])
        if kind in ("", "expectation:max_time", "timeout", "connect_timeout"):
            self.durations["response"].append(response)
            self.durations["service"].append(service)
            if connected:
                self.durations["connected"].append(response)
        else:
            self.durations["failed"].append(response)
        if kind in ("timeout", "connect_timeout"):
            self.shortest_censored = min(self.shortest_censored or response, response)
        for phase in ("dns", "connect", "tls"):
            if row[f"{phase}_us"]:
                self.durations[phase].append(row[f"{phase}_us"] * 1000)
        if answered:
            phases = [row[f"{phase}_us"] * 1000 for phase in ("dns", "connect", "tls", "ttfb")]
            self.durations["ttfb"].append(phases[-1])
            self.durations["transfer"].append(max(service - sum(phases), 0))


COUNTERS = [
    "requests",
    "failed_requests",
    "interrupted",
    "attempts",
    "retried",
    "resent",
    "connections",
    "received_bytes",
    "sent_bytes",
    "busy_ns",
    "censored",
    "completed_in_plan",
    "succeeded_in_plan",
]


def assert_same(figures, plain):
    assert {name: figures.counter(name) for name in COUNTERS} == {
        name: plain.counters[name] for name in COUNTERS
    }
    status = {int(code): int(figures.status_counts[code]) for code in np.flatnonzero(figures.status_counts)}
    assert status == dict(plain.status)
    errors = {ERROR_KINDS[at]: int(figures.error_counts[at]) for at in np.flatnonzero(figures.error_counts)}
    assert errors == dict(plain.errors)
    assert figures.shortest_censored_ns == plain.shortest_censored
    assert figures.last_done_ns == plain.last_done
    for name, distribution in figures.distributions.items():
        expected = Distribution()
        expected.add(np.array(plain.durations[name], np.int64))
        assert np.array_equal(distribution.words, expected.words), name
        assert distribution.sum_ns == sum(plain.durations[name])


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 400),
    st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.sampled_from([None, START_NS, PLANNED_END_NS, START_NS + 9 * SECOND]),
)
def test_a_block_counts_as_the_result_format_says(seed, count, ok, interrupted, planned_end_ns):
    rows = random_rows(seed, count, ok=ok, interrupted=interrupted)
    figures = figures_of(rows, planned_end_ns=planned_end_ns)
    plain = Plain(rows, planned_end_ns)
    assert_same(figures, plain)
    # The totals add up.
    requests, failed = figures.counter("requests"), figures.counter("failed_requests")
    assert failed == figures.error_counts.sum()
    transport = sum(int(figures.error_counts[CODE[kind]]) for kind in TRANSPORT)
    assert requests == figures.status_counts.sum() + transport
    assert requests == figures.distributions["response"].count + figures.distributions["failed"].count
    assert sum(figures.timeline.column("requests")) == requests
    assert sum(figures.timeline.column("failures")) == failed


@pytest.mark.parametrize("kind", TRANSPORT + EXPECTATIONS)
def test_a_failure_counts_once_under_its_kind(kind):
    status = 0 if kind in TRANSPORT else 503
    figures = figures_of(rows_of(3), rows_of(2, error=CODE[kind], status=status, service_ns=5_000_000))
    assert figures.counter("requests") == 5
    assert figures.counter("failed_requests") == figures.error_counts[CODE[kind]] == 2
    assert figures.status_counts[503] == (0 if kind in TRANSPORT else 2)
    in_headline = kind in ("timeout", "connect_timeout", "expectation:max_time")
    for name in ("response", "service"):
        assert figures.distributions[name].count == (5 if in_headline else 3)
    assert figures.distributions["failed"].count == (0 if in_headline else 2)
    censored = kind in ("timeout", "connect_timeout")
    assert figures.counter("censored") == (2 if censored else 0)
    assert figures.shortest_censored_ns == (5_000_000 if censored else None)


def test_fast_failures_do_not_shorten_the_headline():
    slow = rows_of(10, service_ns=50_000_000)
    figures = figures_of(slow, rows_of(1000, error=CODE["refused"], status=0, service_ns=10_000))
    assert figures.distributions["response"].min_ns == 50_000_000
    assert figures.timeline.max_ms()[0] == 50.0


def test_interrupted_requests_are_in_no_total():
    cut = rows_of(4, flags=INTERRUPTED | CONNECTED, status=0, received_bytes=9, service_ns=9 * SECOND)
    both = figures_of(np.concatenate([rows_of(3), cut]), cut)
    alone = figures_of(rows_of(3))
    assert both.counter("interrupted") == 8
    for name in COUNTERS:
        if name != "interrupted":
            assert both.counter(name) == alone.counter(name)
    assert both.last_done_ns == alone.last_done_ns
    assert both.distributions["response"].count == 3
    assert both.timeline.column("requests") == [3]


@given(
    st.lists(
        st.tuples(st.integers(0, 10**10), st.integers(0, 10**10), st.booleans()), min_size=1, max_size=200
    )
)
@settings(max_examples=30, deadline=None)
def test_response_is_lag_plus_service(instants):
    rows = rows_of(len(instants))
    rows["issued_ns"] = rows["due_ns"] + [lag for lag, _, _ in instants]
    rows["done_ns"] = rows["issued_ns"] + [service for _, service, _ in instants]
    rows["error"] = [CODE["timeout"] if timed_out else 0 for _, _, timed_out in instants]
    distributions = figures_of(rows).distributions
    response, service, lag = (distributions[name].sum_ns for name in ("response", "service", "lag"))
    assert response == lag + service == sum(lag + service for lag, service, _ in instants)


def test_retries_resends_and_attempts_are_counted_apart():
    blocks = [
        rows_of(5),
        rows_of(3, attempts=3, flags=RETRIED),
        rows_of(2, attempts=2, flags=RESENT),
        rows_of(1, attempts=3, flags=RESENT | RETRIED),
        rows_of(1, attempts=4),  # redirects
    ]
    figures = figures_of(np.concatenate(blocks))
    assert figures.counter("attempts") == 5 + 9 + 4 + 3 + 4
    assert figures.counter("retried") == 4
    assert figures.counter("resent") == 3


def test_lag_is_that_of_the_first_attempt():
    rows = rows_of(4, lag_ns=7_000_000, earlier_us=5_000)
    assert figures_of(rows).distributions["lag"].max_ns == 2_000_000


def test_every_connection_of_a_request_is_counted():
    assert figures_of(rows_of(3, connections=2), rows_of(5)).counter("connections") == 6


def test_reused_response_leaves_out_those_that_had_to_connect():
    connecting = rows_of(4, flags=CONNECTED, connections=1, service_ns=80_000_000)
    reset = rows_of(3, flags=CONNECTED, connections=1, error=CODE["reset"], status=0)
    figures = figures_of(rows_of(96), connecting, reset)
    reused = figures.reused_response()
    assert figures.counter("connections") == 7
    assert (reused.count, reused.min_ns, reused.max_ns) == (96, 1_000_000, 1_000_000)


def test_phases_of_connecting_are_over_those_that_connected_and_the_rest_over_all_answers():
    connecting = rows_of(2, flags=CONNECTED, dns_us=10, connect_us=20, tls_us=0, ttfb_us=100)
    others = rows_of(6, ttfb_us=100)
    refused = rows_of(5, error=CODE["refused"], status=0)
    distributions = figures_of(np.concatenate([connecting, others, refused])).distributions
    counts = {phase: distributions[phase].count for phase in PHASES}
    assert counts == {"dns": 2, "connect": 2, "tls": 0, "ttfb": 8, "transfer": 8}
    # Of the millisecond that each took: what ttfb leaves of it, and of two of them what connecting leaves as well.
    assert distributions["transfer"].sum_ns == 6 * 900_000 + 2 * 870_000


def test_a_status_out_of_range_is_counted_all_the_same():
    figures = figures_of(rows_of(2, status=65_535), rows_of(1))
    assert figures.status_counts.sum() == 3


def test_no_rows_count_nothing():
    collector = collector_of(rows_of(0))
    assert collector.snapshot().sequence == 0
    figures = collector.tests[0]
    assert figures.counter("requests") == 0
    assert figures.last_done_ns is figures.shortest_censored_ns is figures.planned_end_ns is None


# -- several tests, several workers ---------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 300), st.integers(1, 3))
def test_a_mixed_block_counts_as_its_parts_do(seed, count, tests):
    rows = random_rows(seed, count, tests=tests)
    mixed = collector_of(rows, tests=tests, planned_end_ns=PLANNED_END_NS)
    apart = collector_of(
        *(rows[rows["case"] == case] for case in range(tests)), tests=tests, planned_end_ns=PLANNED_END_NS
    )
    assert np.array_equal(mixed.words, apart.words)
    for case in range(tests):
        assert_same(mixed.tests[case], Plain(rows[rows["case"] == case], PLANNED_END_NS))


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(0, 3_000),
    st.integers(1, 4),
    st.sampled_from([2 * SECOND, 400 * SECOND]),
    st.randoms(use_true_random=False),
)
def test_one_worker_and_many_count_the_same_to_the_bit(seed, count, workers, span_ns, random):
    rows = random_rows(seed, count, tests=2, span_ns=span_ns)
    alone = collector_of(*np.array_split(rows, 3), tests=2, planned_end_ns=PLANNED_END_NS)
    owner = np.random.default_rng(seed).integers(0, workers, count)
    parts = [
        collector_of(rows[owner == worker], tests=2, planned_end_ns=PLANNED_END_NS)
        for worker in range(workers)
    ]
    random.shuffle(parts)
    for take in (lambda part: part, MetricsCollector.snapshot):
        total = MetricsCollector(2)
        for part in parts:
            total.merge(take(part))
        assert np.array_equal(total.words, alone.words)


def test_a_merged_collector_counts_on():
    first, second, third = (random_rows(seed, 300) for seed in range(3))
    total = collector_of(first, planned_end_ns=PLANNED_END_NS)
    total.merge(collector_of(second, planned_end_ns=PLANNED_END_NS))
    total.fold(third)
    expected = collector_of(np.concatenate([first, second, third]), planned_end_ns=PLANNED_END_NS)
    assert np.array_equal(total.words, expected.words)


def test_a_snapshot_stays_as_it_was_and_later_ones_have_higher_numbers():
    collector = collector_of(rows_of(3))
    before = collector.snapshot()
    words = before.words.copy()
    collector.fold(rows_of(2))
    after_fold = collector.snapshot()
    collector.merge(before)
    after_merge = collector.snapshot()
    assert np.array_equal(before.words, words)
    assert before.sequence < after_fold.sequence < after_merge.sequence
    assert collector.tests[0].counter("requests") == 8


def test_a_snapshot_read_from_bytes_can_be_merged():
    sent = collector_of(random_rows(1, 100), tests=2).snapshot()
    received = Snapshot(sent.layout, sent.sequence, np.frombuffer(sent.words.tobytes(), np.int64))
    total = MetricsCollector(2)
    total.merge(received)
    assert np.array_equal(total.words, sent.words)


def test_collectors_of_different_layouts_do_not_mix():
    with pytest.raises(ValueError, match=r"layout perfcore-1:1x.* cannot take one of perfcore-1:2x"):
        MetricsCollector(1).merge(MetricsCollector(2))
    snapshot = MetricsCollector(1).snapshot()
    with pytest.raises(ValueError, match="cannot take one of other"):
        MetricsCollector(1).merge(Snapshot("other", 0, snapshot.words))


def test_a_collector_may_lie_in_memory_of_its_callers():
    words = np.zeros(MetricsCollector.words_needed(2), np.int64)
    collector = MetricsCollector(2, words)
    collector.fold(rows_of(3, case=1))
    assert MetricsCollector(2, words).tests[1].counter("requests") == 3
    assert MetricsCollector(2, words).tests[0].counter("requests") == 0
