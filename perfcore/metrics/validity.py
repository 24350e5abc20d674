"""How far the figures of a run can be trusted: what the generator itself may have added to them.

`judge` is arithmetic over what was measured elsewhere; it reads no clock and no file. A figure that is None was not
measured, and its signal is left out. The limits are those of the accuracy rules, section 7. A closed model at full
throttle is meant to saturate something: busy loops and waiting for a core only warn there, and the advice says which
side set the rate.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from perfcore.metrics.validity_signal import Signal, exact, least, most, noted
from perfcore.metrics.validity_words import NAMES, advice, reason

# No lag below this warns, so none is invalid either: of a p50 of 0.1 ms a fifth is what any timer is late.
_LEAST_LAG_MS = 1
_BADNESS = {"invalid": 0, "warn": 1, "noted": 2}


@dataclass(frozen=True, slots=True)
class WorkerSignals:
    """What one worker measured of itself over the run; percentages are of the wall time."""

    busy_percent: float | None = None
    """Of its loop, waiting awake for an arrival (spinning) not counted."""
    worst_busy_percent: float | None = None
    """In the worst second."""
    longest_pass_ms: float | None = None
    longest_gc_pause_ms: float | None = None
    """Garbage collection and hooks."""
    run_queue_wait_percent: float | None = None
    descriptors_percent: float | None = None
    """The most that were open, of RLIMIT_NOFILE."""
    gc_pause_p99_ms: float | None = None
    """Garbage collection and hooks at p99 of the passes of the loop."""


@dataclass(frozen=True, slots=True)
class TestSignals:
    """What is known of one test."""

    __test__ = False

    key: str
    is_open: bool
    p50_ms: float | None = None
    """Of the response time."""
    service_p99_ms: float | None = None
    lag_p99_ms: float | None = None
    seconds_of_growing_lag: int | None = None
    """The longest time for which each second's lag was more than that of the second before."""
    client_delay_p99_ms: float | None = None
    planned_starts: int | None = None
    achieved_starts: int = 0
    dropped: int = 0
    stall_share: float | None = None
    """0 to 1: the time in starts that came later than 5 median gaps after the one before."""
    worker_p99_ms: tuple[float | None, ...] = ()
    rate_per_worker: float | None = None
    """Attained; None where this machine was not calibrated."""
    safe_rate_per_worker: float | None = None
    """Up to which the tool's own error was found small."""
    workers_for_a_safe_rate: int | None = None
    """How many would share the rate so that it is safe, where it is not."""
    is_full_throttle: bool = False
    """Whether users of a closed model send again as soon as they have their answer."""


@dataclass(frozen=True, slots=True)
class RunSignals:
    """What is known of the run as a whole, and of the machine that made the load."""

    workers: tuple[WorkerSignals, ...] = ()
    steal_percent: float | None = None
    worst_steal_percent: float | None = None
    throttled_percent: float | None = None
    supervisor_cpu_percent: float | None = None
    ephemeral_ports_percent: float | None = None
    target_is_here: bool = False
    names_of_several: tuple[str, ...] = ()
    """Names with several addresses of which one was used."""
    usable_cores: int = 1


def judge(run: RunSignals, tests: Sequence[TestSignals]) -> dict[str, Any]:
    """The `validity` object of a result: verdict, every signal with its limits, reasons and advice."""
    signals = [*_run_signals(run, any(test.is_open for test in tests))]
    for test in tests:
        signals += _test_signals(test)
    signals.sort(key=lambda signal: NAMES.index(signal.name))  # stable: the tests stay in their order
    states = {signal.state for signal in signals}
    bad = sorted((s for s in signals if s.state != "ok"), key=lambda signal: _BADNESS[signal.state])
    return {
        "verdict": "invalid" if "invalid" in states else "suspect" if "warn" in states else "valid",
        "signals": [signal.document() for signal in signals],
        "reasons": [reason(signal, names_test=len(tests) > 1) for signal in bad],
        "advice": advice(
            bad,
            [worker.busy_percent for worker in run.workers],
            run.usable_cores,
            is_full_throttle=bool(tests) and all(t.is_full_throttle and not t.is_open for t in tests),
            starts_missed=max((_starts_missed(test) for test in tests), default=1.0),
            workers_for_a_safe_rate=max((t.workers_for_a_safe_rate or 0 for t in tests), default=0),
        ),
    }


def _starts_missed(test: TestSignals) -> float:
    """How many times more was planned than was started or dropped; 1 where all was."""
    came = test.achieved_starts + test.dropped
    return max(1.0, test.planned_starts / came) if test.planned_starts and came else 1.0


# -- the rows of the table ------------------------------------------------------------------------------------


def _run_signals(run: RunSignals, is_open: bool) -> Iterator[Signal]:
    busy = _worst(run.workers, "busy_percent")
    if busy is not None:
        worst = _worst(run.workers, "worst_busy_percent")
        limit = 70 if is_open else None
        yield most("loop_busy_percent", exact(busy), 50, limit, worst_second=worst, most_of_a_second=70)
    yield from _worker_signals(run.workers, is_open)
    if run.steal_percent is not None:
        yield most(
            "steal_percent",
            exact(run.steal_percent),
            1,
            5 if is_open else None,
            worst_second=run.worst_steal_percent,
            most_of_a_second=5,
        )
    if run.throttled_percent is not None:
        yield most("cgroup_throttled_percent", exact(run.throttled_percent), 0, 1)
    if run.supervisor_cpu_percent is not None:
        yield most("supervisor_cpu_percent", exact(run.supervisor_cpu_percent), 50, None)
    if run.ephemeral_ports_percent is not None:
        used = exact(run.ephemeral_ports_percent)
        yield most("ephemeral_ports_percent", used, 80, 100, is_broken_when_reached=True)
    yield noted("target_on_this_machine", int(run.target_is_here))
    if run.names_of_several:
        names = ", ".join(run.names_of_several)
        yield noted("names_of_several_addresses", len(run.names_of_several), names)


def _worker_signals(workers: Sequence[WorkerSignals], is_open: bool) -> Iterator[Signal]:
    """Of each figure the worst worker's."""
    limits: tuple[tuple[str, str, int | None, int | None], ...] = (
        ("longest_pass_ms", "longest_pass_ms", 10, 100),
        ("longest_gc_pause_ms", "longest_gc_pause_ms", 1, None),
        ("gc_pause_p99_ms", "gc_pause_p99_ms", None, 10),
        ("run_queue_wait_percent", "run_queue_wait_percent", 1, 10 if is_open else None),
        ("descriptors_percent", "descriptors_percent", 80, 100),
    )
    for name, figure, warn, invalid in limits:
        value = _worst(workers, figure)
        if value is not None:
            is_exhaustible = name == "descriptors_percent"
            yield most(name, exact(value), warn, invalid, is_broken_when_reached=is_exhaustible)


def _worst(workers: Sequence[WorkerSignals], figure: str) -> float | None:
    return max((value for worker in workers if (value := getattr(worker, figure)) is not None), default=None)


def _test_signals(test: TestSignals) -> Iterator[Signal]:
    if test.is_open:
        yield from _schedule_signals(test)
    elif test.stall_share is not None:
        yield most("stall_share_percent", 100 * exact(test.stall_share), 1, None, test=test.key)
    if test.client_delay_p99_ms is not None and test.service_p99_ms is not None and test.service_p99_ms > 0:
        # Each is a part of its request's service time: only chance in what was looked at has it above.
        delay_p99_ms = min(test.client_delay_p99_ms, test.service_p99_ms)
        share = 100 * exact(delay_p99_ms) / exact(test.service_p99_ms)
        detail = f"{delay_p99_ms:.4g} of {test.service_p99_ms:.4g} ms"
        yield most("client_delay_p99_percent", share, 5, 20, test=test.key, detail=detail)
    if test.rate_per_worker is not None and test.safe_rate_per_worker:
        share = 100 * exact(test.rate_per_worker) / exact(test.safe_rate_per_worker)
        detail = f"{test.rate_per_worker:,.0f} of {test.safe_rate_per_worker:,.0f}/s"
        yield most("rate_of_safe_percent", share, 100, None, test=test.key, detail=detail)
    p99s = [exact(p99) for p99 in test.worker_p99_ms if p99 is not None]
    if len(p99s) > 1 and min(p99s) > 0:
        detail = f"from {float(min(p99s)):.4g} to {float(max(p99s)):.4g} ms"
        ratio = max(p99s) / min(p99s)
        yield most("worker_p99_ratio", ratio, Fraction(3, 2), None, test=test.key, detail=detail)


def _schedule_signals(test: TestSignals) -> Iterator[Signal]:
    """Whether an open model kept its schedule."""
    if test.lag_p99_ms is not None:
        yield _lag_signal(test, exact(test.lag_p99_ms))
    if test.seconds_of_growing_lag is not None:
        grew = Fraction(test.seconds_of_growing_lag)
        yield most("schedule_lag_growing_s", grew, None, 5, test=test.key, is_broken_when_reached=True)
    if test.planned_starts:
        share = Fraction(100 * test.achieved_starts, test.planned_starts)
        detail = f"{test.achieved_starts:,} of {test.planned_starts:,}"
        yield least("achieved_starts_percent", share, 99, 95, test=test.key, detail=detail)
    arrivals = max(test.planned_starts or 0, test.achieved_starts + test.dropped)
    if arrivals:
        share, detail = Fraction(100 * test.dropped, arrivals), f"{test.dropped:,} of {arrivals:,}"
        yield most("dropped_arrivals_percent", share, 0, Fraction(1, 10), test=test.key, detail=detail)


def _lag_signal(test: TestSignals, lag_ms: Fraction) -> Signal:
    if test.p50_ms is None:
        return most("schedule_lag_p99_ms", lag_ms, _LEAST_LAG_MS, None, test=test.key)
    p50_ms = exact(test.p50_ms)
    (warn, warn_text), (invalid, invalid_text) = (_lag_limit(p50_ms, percent) for percent in (5, 20))
    return most(
        "schedule_lag_p99_ms",
        lag_ms,
        warn,
        invalid,
        test=test.key,
        warn_text=warn_text,
        invalid_text=invalid_text,
    )


def _lag_limit(p50_ms: Fraction, percent: int) -> tuple[Fraction, str]:
    """So much of the p50, or the least lag that says anything, whichever is more; and in words, which of them it is."""
    limit_ms, least_ms = p50_ms * percent / 100, Fraction(_LEAST_LAG_MS)
    share = f"{percent} % of the p50 ({float(p50_ms):.4g} ms)"
    if limit_ms >= least_ms:
        return limit_ms, share
    return least_ms, f"{_LEAST_LAG_MS} ms, the limit where {share} is less"
