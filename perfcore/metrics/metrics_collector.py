"""Sample rows in, figures out: the one place where a run is counted.

A collector holds one TestFigures a test, all of it integers in one flat array of a layout that only the number
of tests decides. So it can stand in memory shared with a worker, be added to another of the same layout
exactly and in any order, and be sent as it is: `snapshot` says what it holds, `merge` adds one.

Which request counts where (result format): the headline `response` and `service` hold the successful requests,
those that broke nothing but max_time, and the timed-out ones at the time at which they were given up
(`censored`); every other failure goes to `failed`. A failure may lengthen the headline, never shorten it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics import client_delay, histogram, outcomes, samples, slowest, starts, timeline
from perfcore.metrics.client_delay import ClientDelay
from perfcore.metrics.histogram import Distribution, bucket_index
from perfcore.metrics.samples import Rows
from perfcore.metrics.slowest import Slowest
from perfcore.metrics.starts import Starts
from perfcore.metrics.timeline import Timeline

_CONNECT_PHASES = ("dns", "connect", "tls")
_ANSWER_PHASES = ("ttfb", "transfer")
PHASES = (*_CONNECT_PHASES, *_ANSWER_PHASES)
DISTRIBUTIONS = ("response", "service", "failed", "connected", "lag", *PHASES)
_COUNTERS = (
    "requests",
    "failed_requests",
    "interrupted",
    "attempts",
    "retried",
    "resent",
    "connections",
    "received_bytes",
    "sent_bytes",
    "busy_ns",  # time under way of all requests: over the duration, the average number in flight
    "censored",
    "completed_in_plan",  # completions before the planned end, and not before the warm-up's
    "succeeded_in_plan",
    "warmup_requests",
    "warmup_failed",
    "warmup_attempts",
)
_START_NS, _PLANNED_END_NS, _LAST_DONE_NS, _SHORTEST_CENSORED_NS, _MEASURED_FROM_NS = range(5)
_INSTANTS = 8
_STATUSES = 1000
_ERRORS = 64
_KEPT_BY_NUMPY, _EVEN_ROWS = 1024, 64
WORDS_PER_TEST = (
    _INSTANTS
    + len(_COUNTERS)
    + _STATUSES
    + _ERRORS
    + samples.CHECKS
    + slowest.WORDS
    + client_delay.WORDS
    + len(DISTRIBUTIONS) * histogram.WORDS
    + timeline.WORDS
    + starts.WORDS
)

Integers = NDArray[np.int64]


class _Cutter:
    """Cuts consecutive views from a flat array."""

    def __init__(self, words: Integers) -> None:
        self._words = words
        self._at = 0

    def cut(self, length: int) -> Integers:
        view = self._words[self._at : self._at + length]
        self._at += length
        return view


class TestFigures:
    """What is known of one test. Instants are CLOCK_MONOTONIC nanoseconds, durations nanoseconds."""

    __test__ = False

    def __init__(self, words: Integers | None = None, *, has_timeline: bool = True) -> None:
        """`words` is an int64 array of WORDS_PER_TEST zeroes, which may be shared memory."""
        if words is None:
            words = np.zeros(WORDS_PER_TEST, np.int64)
        self.has_timeline = has_timeline
        self.words = words
        cutter = _Cutter(words)
        self._instants = cutter.cut(_INSTANTS)
        self._counters = cutter.cut(len(_COUNTERS))
        self.status_counts = cutter.cut(_STATUSES)
        self.error_counts = cutter.cut(_ERRORS)
        self.failed_check_counts = cutter.cut(samples.CHECKS)
        self.slowest = Slowest(cutter.cut(slowest.WORDS))
        self.client_delay = ClientDelay(cutter.cut(client_delay.WORDS))
        self.distributions = {name: Distribution(cutter.cut(histogram.WORDS)) for name in DISTRIBUTIONS}
        self.timeline = Timeline(cutter.cut(timeline.WORDS))
        self.starts = Starts(cutter.cut(starts.WORDS))

    def begin(self, start_ns: int, planned_end_ns: int | None, warmup_ns: int = 0) -> None:
        """Say when the load starts, if it is bounded by time when it is to end, and how long it warms up."""
        self._instants[_START_NS] = start_ns
        self._instants[_PLANNED_END_NS] = planned_end_ns or 0
        self._instants[_MEASURED_FROM_NS] = start_ns + warmup_ns

    def end_by(self, stop_ns: int) -> None:
        """The load was stopped at this instant: what completes later counts as drained. No effect before `begin`."""
        start_ns, planned_end_ns = self.start_ns, self.planned_end_ns
        if start_ns and (planned_end_ns is None or stop_ns < planned_end_ns):
            self._instants[_PLANNED_END_NS] = max(stop_ns, start_ns)

    def counter(self, name: str) -> int:
        return int(self._counters[_COUNTERS.index(name)])

    def _count(self, name: str, amount: int) -> None:
        self._counters[_COUNTERS.index(name)] += amount

    @property
    def all_requests(self) -> int:
        """Those of the warm-up among them."""
        return self.counter("requests") + self.counter("warmup_requests")

    @property
    def all_failed(self) -> int:
        return self.counter("failed_requests") + self.counter("warmup_failed")

    @property
    def start_ns(self) -> int:
        return int(self._instants[_START_NS])

    @property
    def measured_from_ns(self) -> int:
        """Requests that were due before it are warm-up."""
        return int(self._instants[_MEASURED_FROM_NS])

    @property
    def planned_end_ns(self) -> int | None:
        return int(self._instants[_PLANNED_END_NS]) or None

    @property
    def last_done_ns(self) -> int | None:
        """When the last request ended; None before any did in the measured time."""
        return int(self._instants[_LAST_DONE_NS]) or None

    @property
    def shortest_censored_ns(self) -> int | None:
        """The shortest response time at which a request was given up; None when none was."""
        return int(self._instants[_SHORTEST_CENSORED_NS]) or None

    def fold(self, rows: Rows) -> None:
        """Count rows of this test, interrupted ones included."""
        for part in _in_even_numbers(rows):
            self._fold(part)

    def _fold(self, rows: Rows) -> None:
        if self.measured_from_ns > self.start_ns:
            rows = self._without_warmup(rows)
        interrupted = (rows["flags"] & samples.INTERRUPTED) != 0
        if interrupted.any():
            self._count("interrupted", int(np.count_nonzero(interrupted)))
            rows = rows[~interrupted]
        if rows.size:
            columns = _Columns(rows)
            self._fold_counts(columns)
            self._fold_durations(columns)

    def _without_warmup(self, rows: Rows) -> Rows:
        """Those that were due after the warm-up; the others are counted apart."""
        is_warmup = rows["due_ns"] < self.measured_from_ns
        if is_warmup.any():
            warmup = rows[is_warmup & (rows["flags"] & samples.INTERRUPTED == 0)]
            rows = rows[~is_warmup]
            if warmup.size:
                self._fold_warmup(_Columns(warmup))
        return rows

    def _fold_warmup(self, c: "_Columns") -> None:
        """In no statistic; but the time line has them, and what ended after the warm-up is work done there."""
        self._count("warmup_requests", c.rows.size)
        self._count("warmup_failed", int(np.count_nonzero(c.failed)))
        self._count("warmup_attempts", int(c.rows["attempts"].sum(dtype=np.int64)))
        self._fold_timeline(c)
        since_ns = np.minimum(c.service_ns, c.done_ns - self.measured_from_ns)
        after = since_ns > 0
        if after.any():
            self._count("busy_ns", int(since_ns[after].sum()))
            self._count_completions(c.done_ns[after], c.failed[after])

    def _fold_counts(self, c: "_Columns") -> None:
        requests, failed = c.rows.size, int(np.count_nonzero(c.failed))
        self._count("requests", requests)
        self._count("failed_requests", failed)
        self._count_attempts(c)
        self._count("connections", int(c.rows["connections"].sum(dtype=np.int64)))
        self._count("received_bytes", int(c.rows["received_bytes"].sum()))
        self._count("sent_bytes", int(c.rows["sent_bytes"].sum()))
        self._count("busy_ns", int(c.service_ns.sum() + c.earlier_ns.sum()))
        status = c.rows["status"]
        if failed:
            status = status[c.answered]
            self.error_counts += np.bincount(c.error[c.failed], minlength=_ERRORS)
            self.failed_check_counts += count_bits(c.rows["failed_checks"][c.failed])
            self._count("censored", int(np.count_nonzero(c.censored)))
            if c.censored.any():
                self._note_earlier(_SHORTEST_CENSORED_NS, int(c.response_ns[c.censored].min()))
        self.status_counts += np.bincount(np.minimum(status, _STATUSES - 1), minlength=_STATUSES)
        self.slowest.add(c.rows, c.response_ns)
        self._count_completions(c.done_ns, c.failed)

    def _count_completions(self, done_ns: Integers, failed: NDArray[np.bool_]) -> None:
        last_done_ns = int(done_ns.max())
        self._instants[_LAST_DONE_NS] = max(int(self._instants[_LAST_DONE_NS]), last_done_ns)
        if self.planned_end_ns is not None and last_done_ns > self.planned_end_ns:
            failed = failed[done_ns <= self.planned_end_ns]
        self._count("completed_in_plan", failed.size)
        self._count("succeeded_in_plan", failed.size - int(np.count_nonzero(failed)))

    def _count_attempts(self, c: "_Columns") -> None:
        attempts = np.ascontiguousarray(c.rows["attempts"])
        self._count("attempts", int(attempts.sum(dtype=np.int64)))
        self._count("resent", int(np.count_nonzero(c.resent)))
        self._count("retried", int(np.count_nonzero(c.retried)))

    def _note_earlier(self, word: int, value: int) -> None:
        known = int(self._instants[word])
        if value:
            self._instants[word] = min(known, value) if known else value

    def _fold_durations(self, c: "_Columns") -> None:
        distributions = self.distributions
        distributions["lag"].add(c.lag_ns)
        index = self._fold_timeline(c)
        headline, rows, given_up = c.headline, c.rows, None
        if headline is None:
            response, service = c.response_ns, c.service_ns
        else:
            distributions["failed"].add(c.response_ns[~headline])
            response, service, rows = c.response_ns[headline], c.service_ns[headline], rows[headline]
            given_up = c.censored[headline]
        if response.size:
            self.client_delay.add(rows, response, given_up)
            distributions["response"].add(response, index)
            distributions["service"].add(service)
        connected = c.connected if headline is None else c.connected & headline
        if connected.any():
            distributions["connected"].add(c.response_ns[connected])
        self._fold_phases(c)

    def _fold_timeline(self, c: "_Columns") -> Integers:
        """Returns the bucket_index of the headline's response times."""
        since_start, response = c.done_ns - self.start_ns, c.response_ns
        if c.headline is not None:
            response = response[c.headline]
        index = bucket_index(response)
        if self.has_timeline:
            self.timeline.add(since_start, c.failed)
            self.starts.mark(since_start - c.service_ns)
            if response.size:
                since_start = since_start if c.headline is None else since_start[c.headline]
                self.timeline.add_durations(since_start, response, index)
        return index

    def _fold_phases(self, c: "_Columns") -> None:
        # Every answer was waited for and transferred, if in less than a microsecond; few requests had to connect.
        answered, service_ns = c.rows, c.service_ns
        if c.headline is not None:
            answered, service_ns = answered[c.answered], service_ns[c.answered]
        ttfb_ns = np.multiply(answered["ttfb_us"], 1000, dtype=np.int64)
        transfer_ns = service_ns - ttfb_ns
        has_connected = bool(c.connected.any())
        if has_connected:
            for phase in _CONNECT_PHASES:
                transfer_ns -= np.multiply(answered[f"{phase}_us"], 1000, dtype=np.int64)
        self.distributions["ttfb"].add(ttfb_ns)
        # What is left of the service time; the transport's clock may be a microsecond ahead of the loop's.
        self.distributions["transfer"].add(np.maximum(transfer_ns, 0))
        if has_connected:
            connected = c.rows[c.connected]
            for phase in _CONNECT_PHASES:
                microseconds = connected[f"{phase}_us"]
                present = microseconds[microseconds > 0]
                self.distributions[phase].add(np.multiply(present, 1000, dtype=np.int64))

    def merge(self, other: "TestFigures") -> None:
        """Add another part of the same test."""
        for word in (_START_NS, _PLANNED_END_NS, _MEASURED_FROM_NS):
            self._instants[word] = self._instants[word] or other._instants[word]
        self._note_earlier(_SHORTEST_CENSORED_NS, int(other._instants[_SHORTEST_CENSORED_NS]))
        self._instants[_LAST_DONE_NS] = max(self._instants[_LAST_DONE_NS], other._instants[_LAST_DONE_NS])
        self._counters += other._counters
        self.status_counts += other.status_counts
        self.error_counts += other.error_counts
        self.failed_check_counts += other.failed_check_counts
        self.slowest.merge(other.slowest)
        self.client_delay.merge(other.client_delay)
        for name, distribution in self.distributions.items():
            distribution.merge(other.distributions[name])
        if other.has_timeline:
            self.timeline.merge(other.timeline)
            self.starts.merge(other.starts)

    def take_over(
        self, whole: "TestFigures", warmup: "TestFigures", *, completed: int, succeeded: int, carried_ns: int
    ) -> None:
        """Become what is measured of a whole test, whose warm-up is this; so many ended within the measured time.

        `carried_ns`: how long requests of the warm-up were under way in the measured time.
        """
        for name in ("completed_in_plan", "succeeded_in_plan"):
            self._count(name, -self.counter(name))
        self._count("completed_in_plan", completed)
        self._count("succeeded_in_plan", succeeded)
        self._count("busy_ns", carried_ns)
        last_done_ns = int(whole._instants[_LAST_DONE_NS])
        self._instants[_LAST_DONE_NS] = last_done_ns if last_done_ns > self.measured_from_ns else 0
        self._count("warmup_requests", warmup.counter("requests"))
        self._count("warmup_failed", warmup.counter("failed_requests"))
        self._count("warmup_attempts", warmup.counter("attempts"))
        self.timeline.words[:] = whole.timeline.words
        self.starts.words[:] = whole.starts.words

    def reused_response(self) -> Distribution:
        """Response time of the headline's requests that did not have to connect.

        Derived from two distributions, so that a block costs no third one (see Distribution.without).
        """
        return self.distributions["response"].without(self.distributions["connected"])


def _in_even_numbers(rows: Rows) -> Iterator[Rows]:
    """Few rows in two parts: a multiple of 64, and the rest.

    numpy keeps up to seven arrays of every length below 1,024 bytes that it was given back. Columns and masks of rows
    in any number have all those lengths: 4 MB after some minutes, a twentieth of a process.
    """
    odd = rows.size % _EVEN_ROWS if rows.size < _KEPT_BY_NUMPY else 0
    if 0 < odd < rows.size:
        yield rows[:-odd]
        yield rows[-odd:]
    else:
        yield rows


def count_bits(masks: NDArray[np.uint64]) -> Integers:
    """How often each of the 64 bits is set, from the lowest."""
    bits = np.unpackbits(np.ascontiguousarray(masks).view(np.uint8), bitorder="little")
    counts: Integers = bits.reshape(-1, 64).sum(axis=0, dtype=np.int64)
    return counts


class _Columns:
    """The columns of a block of rows that more than one figure needs, each copied once from the wide rows."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.due_ns: Integers = np.ascontiguousarray(rows["due_ns"])
        self.done_ns: Integers = np.ascontiguousarray(rows["done_ns"])
        issued_ns: Integers = np.ascontiguousarray(rows["issued_ns"])
        self.response_ns: Integers = self.done_ns - self.due_ns
        self.service_ns: Integers = self.done_ns - issued_ns
        self.lag_ns: Integers = issued_ns - self.due_ns
        self.earlier_ns: Integers = np.multiply(rows["earlier_us"], 1000, dtype=np.int64)
        self.lag_ns -= self.earlier_ns  # that of the first attempt
        flags = np.ascontiguousarray(rows["flags"])
        self.connected = (flags & samples.CONNECTED) != 0
        self.resent = (flags & samples.RESENT) != 0
        self.retried = (flags & samples.RETRIED) != 0
        self.error = np.ascontiguousarray(rows["error"])
        self.failed = self.error != outcomes.NONE
        # None: all of them, the usual case; `answered` and `censored` are then not looked at.
        self.headline: NDArray[np.bool_] | None = None
        if self.failed.any():
            self.answered = ~self.failed | (self.error > outcomes.LAST_TRANSPORT_KIND)
            self.censored = (self.error == outcomes.TIMEOUT) | (self.error == outcomes.CONNECT_TIMEOUT)
            self.headline = ~self.failed | self.censored | (self.error == outcomes.MAX_TIME)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a collector holds at one moment, cumulative. `words` may be added only to the same `layout`."""

    layout: str
    sequence: int
    words: Integers


class MetricsCollector:
    """The figures of all tests of a suite, in order. `words` may be a part of a shared mapping (zeroes at first)."""

    def __init__(self, tests: int, words: Integers | None = None) -> None:
        self.words: Integers = np.zeros(self.words_needed(tests), np.int64) if words is None else words
        self.layout = f"perfcore-1:{tests}x{WORDS_PER_TEST}"
        self._sequence = 0
        per_test = self.words.reshape(tests, WORDS_PER_TEST)
        self.tests = [TestFigures(per_test[at]) for at in range(tests)]

    @staticmethod
    def words_needed(tests: int) -> int:
        """Length in int64 of the array that holds this many tests."""
        return tests * WORDS_PER_TEST

    def fold(self, rows: Rows) -> None:
        """Count a block of sample rows."""
        if not rows.size:
            return
        self._sequence += 1
        for part in _in_even_numbers(rows):
            self._fold(part)

    def _fold(self, rows: Rows) -> None:
        cases = rows["case"]
        first = int(cases[0])
        if (cases == first).all():
            self.tests[first].fold(rows)
            return
        for case in np.unique(cases):
            self.tests[int(case)].fold(rows[cases == case])

    def snapshot(self) -> Snapshot:
        return Snapshot(self.layout, self._sequence, self.words.copy())

    def merge(self, other: "MetricsCollector | Snapshot") -> None:
        """Add another collector or a snapshot of one. Raises ValueError when the layouts differ."""
        if other.layout != self.layout:
            raise ValueError(f"a collector of layout {self.layout} cannot take one of {other.layout}")
        self._sequence += 1
        source = (
            other if isinstance(other, MetricsCollector) else MetricsCollector(len(self.tests), other.words)
        )
        for mine, theirs in zip(self.tests, source.tests, strict=True):
            mine.merge(theirs)
