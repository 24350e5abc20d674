"""From the counted figures of one test to its part of results.json.

The names and meanings are the result format's; every total that the format says adds up is taken from the same
counters here, so that it cannot drift.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from perfcore.metrics import outcomes
from perfcore.metrics.calibration import ToolError
from perfcore.metrics.confidence import LEVEL, confidence
from perfcore.metrics.histogram import SCHEME, Distribution
from perfcore.metrics.measured_document import (
    UntilFacts,
    stall_share_of,
    steadiness_document,
    until_document,
    warmup_document,
)
from perfcore.metrics.metrics_collector import PHASES, TestFigures
from perfcore.metrics.samples import CHECKS
from perfcore.metrics.statistics import (
    STANDARD_PERCENTILES,
    all_percentiles,
    enough_exceedances,
    percentile_key,
    quantile_fraction,
)
from perfcore.metrics.trace_ids import TraceIds

_PHASE_PERCENTILES = (50.0, 95.0, 99.0)
_CORRECTED_PERCENTILES = (50.0, 99.0)


@dataclass(frozen=True, slots=True)
class TestFacts:
    """What a test's figures do not say themselves. Instants are CLOCK_MONOTONIC nanoseconds."""

    __test__ = False

    name: str
    request: str  # `GET /users/profile`
    concurrent_users: int
    load: Mapping[str, Any]  # the load model in words and numbers, as the plan has it
    engine: str
    reached_planned_end: (
        bool  # its time was over, or it was stopped, before its users had done their iterations
    )
    max_in_flight: int
    dropped: int = 0  # arrivals of an open model that found nobody free
    check_names: tuple[str, ...] = ()  # in the order of the bits of a sample's failed_checks
    further_percentiles: tuple[float, ...] = ()
    failures: list[dict[str, Any]] = field(default_factory=list)
    addresses: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    http_versions: Mapping[str, int] = field(default_factory=dict)
    recognised: int | None = None  # answers that needed no parser; None where every one has it
    trace_ids: TraceIds | None = None  # those that its requests carried
    is_open: bool = False
    warmup: Literal["fixed", "auto", "none"] = "none"
    until: UntilFacts | None = None
    load_changes_s: float | None = (
        0.0  # how long the load rises at the beginning; None: it changes all the time
    )
    tool_error: ToolError | None = None  # at its rate; None without a calibration


def test_document(figures: TestFigures, facts: TestFacts) -> dict[str, Any]:
    """One test's object under `results`."""
    load_s, drain_s = _load_and_drain_s(figures, facts.reached_planned_end)
    load_end_ns = figures.measured_from_ns + round(load_s * 1e9)
    in_flight = _average_in_flight(figures, load_s + drain_s)
    timings = _timing_documents(figures, facts)
    return {
        "name": facts.name,
        "request": facts.request,
        "load": dict(facts.load),
        "warmup": warmup_document(figures, facts.warmup),
        "until": until_document(facts.until),
        **_totals_document(figures),
        "dropped_arrivals": facts.dropped,
        "requests_per_second": _rate(figures.counter("completed_in_plan"), load_s),
        "success_per_second": _rate(figures.counter("succeeded_in_plan"), load_s),
        **timings,
        "schedule_lag": _lag_document(figures.distributions["lag"]),
        "stall_share": None if facts.is_open else _share(stall_share_of(figures, load_end_ns)),
        "steadiness": steadiness_document(figures, load_end_ns, facts.load_changes_s),
        "client_delay": client_delay_document(figures),
        "tool_error": None if facts.tool_error is None else facts.tool_error.document(),
        "phases": {name: phase_document(figures.distributions[name]) for name in PHASES},
        "status_codes": {
            str(status): int(figures.status_counts[status])
            for status in np.flatnonzero(figures.status_counts)
        },
        "errors": {
            outcomes.ERROR_KINDS[code]: int(figures.error_counts[code])
            for code in np.flatnonzero(figures.error_counts)
        },
        "checks": checks_document(figures, facts.check_names),
        "failures": facts.failures,
        "slowest": slowest_document(figures, facts.trace_ids),
        "bytes": {"received": figures.counter("received_bytes"), "sent": figures.counter("sent_bytes")},
        "connections_opened": figures.counter("connections"),
        "engine": facts.engine,
        "recognised_share": _recognised_share(figures, facts.recognised),
        "http_versions": dict(facts.http_versions),
        "addresses": {address: dict(counts) for address, counts in facts.addresses.items()},
        "parallel_execution": {
            "concurrent_users": facts.concurrent_users,
            "total_duration_ms": _ms(load_s * 1e9),
            "drain_ms": _ms(drain_s * 1e9),
            # Looked at ten times a second over several workers; as many as on average there were at some instant.
            "max_in_flight": max(facts.max_in_flight, math.ceil(in_flight)),
            "avg_in_flight": in_flight,
        },
        "iterations": {
            "completed": figures.counter("requests"),
            "failed": figures.counter("failed_requests"),
            "interrupted": figures.counter("interrupted"),
            "timing": dict(timings["timing"]),
        },
        "steps": {},
        "timeline": timeline_document(figures),
        "histogram": histogram_document(figures.distributions["response"]),
    }


def _recognised_share(figures: TestFigures, recognised: int | None) -> float | None:
    answered = int(figures.status_counts.sum())
    return round(recognised / answered, 6) if recognised is not None and answered else None


def checks_document(figures: TestFigures, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Each expectation and how many whole answers kept and broke it; further ones than CHECKS count as one."""
    answered = int(figures.status_counts.sum())
    shown = list(names[:CHECKS])
    if len(names) > CHECKS:
        shown[-1] = f"the last {len(names) - CHECKS + 1} checks"
    return {
        name: {"passed": answered - int(failed), "failed": int(failed)}
        for name, failed in zip(shown, figures.failed_check_counts, strict=False)
    }


def slowest_document(figures: TestFigures, trace_ids: TraceIds | None) -> list[dict[str, Any]]:
    """The slowest requests, slowest first; `at_s` is when they ended, since the test began."""
    return [
        {
            "at_s": round((request.done_ns - figures.start_ns) / 1e9, 6),
            "ms": _ms(request.response_ns),
            "user": request.user,
            "step": None,
            "status": request.status or None,
            "trace_id": None if trace_ids is None else trace_ids.trace_id(request.user, request.due_ns),
        }
        for request in figures.slowest.requests()
    ]


def _totals_document(figures: TestFigures) -> dict[str, int]:
    total, failed = figures.counter("requests"), figures.counter("failed_requests")
    return {
        "total_requests": total,
        "successful_requests": total - failed,
        "failed_requests": failed,
        "interrupted_requests": figures.counter("interrupted"),
        "attempts": figures.counter("attempts"),
        "retried_requests": figures.counter("retried"),
        "resent_requests": figures.counter("resent"),
    }


def _timing_documents(figures: TestFigures, facts: TestFacts) -> dict[str, dict[str, Any]]:
    """The four distributions; response and service time are the two that hold requests that were given up."""
    further = facts.further_percentiles
    timing = timing_document(figures.distributions["response"], further)
    service_time = timing_document(figures.distributions["service"], further)
    timing["censored"] = service_time["censored"] = figures.counter("censored")
    timing["censored_percentiles"] = censored_percentiles(figures, further)
    timing["confidence"] = confidence_document(figures, further, facts.until)
    return {
        "timing": timing,
        "service_time": service_time,
        "timing_failed": timing_document(figures.distributions["failed"], further),
        "timing_reused": timing_document(figures.reused_response(), further),
    }


def rate_attained(figures: TestFigures, reached_planned_end: bool) -> float:
    """Completions a second in the time of load: `requests_per_second` of the result."""
    load_s, _ = _load_and_drain_s(figures, reached_planned_end)
    return _rate(figures.counter("completed_in_plan"), load_s)


def _load_and_drain_s(figures: TestFigures, reached_planned_end: bool) -> tuple[float, float]:
    """Time of load, to the planned end or else to the last completion, and what came after it.

    A completion beyond the planned end shows that the load lasted until then, whatever ended it.
    """
    start = figures.measured_from_ns
    end = max(figures.last_done_ns or start, start)
    planned_end = figures.planned_end_ns
    if planned_end is None or not (reached_planned_end or end > planned_end):
        return (end - start) / 1e9, 0.0
    return (planned_end - start) / 1e9, max(0, end - planned_end) / 1e9


def _share(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 3) if seconds > 0 else 0.0


def _ms(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else round(nanoseconds / 1e6, 6)


def _average_in_flight(figures: TestFigures, seconds: float) -> float:
    # Little's law: time spent in requests over the time that passed.
    return round(figures.counter("busy_ns") / 1e9 / seconds, 3) if seconds > 0 else 0.0


def timing_document(distribution: Distribution, further_percentiles: Iterable[float] = ()) -> dict[str, Any]:
    """Milliseconds of one distribution; every figure null when there is no sample."""
    percentiles = {}
    for percentile in all_percentiles(further_percentiles):
        shown = _is_shown(percentile, distribution.count)
        value = distribution.quantile_ns(quantile_fraction(percentile)) if shown else None
        percentiles[percentile_key(percentile)] = _ms(value)
    return {
        "count": distribution.count,
        "min_ms": _ms(distribution.min_ns),
        "max_ms": _ms(distribution.max_ns),
        "avg_ms": _ms(distribution.mean_ns),
        "stddev_ms": _ms(distribution.stddev_ns),
        "censored": 0,
        "percentiles": percentiles,
    }


def _is_shown(percentile: float, count: int) -> bool:
    return percentile in STANDARD_PERCENTILES or enough_exceedances(count, quantile_fraction(percentile))


def censored_percentiles(figures: TestFigures, further_percentiles: Iterable[float] = ()) -> list[str]:
    """Those shown of response time that fall among requests that were given up: they are that long or longer."""
    shortest = figures.shortest_censored_ns
    if shortest is None:
        return []
    response = figures.distributions["response"]
    names = []
    for percentile in all_percentiles(further_percentiles):
        value = response.quantile_ns(quantile_fraction(percentile))
        if value is None or not _is_shown(percentile, response.count):
            continue
        if value >= shortest * (1 - 1e-3):  # less than a bucket below it
            names.append(percentile_key(percentile))
    return names


def confidence_document(
    figures: TestFigures, further_percentiles: Iterable[float] = (), until: UntilFacts | None = None
) -> dict[str, dict[str, Any]]:
    """Of each percentile of response time its 95 % interval, or how much longer the run had to be for one.

    Of one that was looked at on the way the interval is as wide as it was at a look: a run that stopped because it was
    short is known no better.
    """
    documents = {}
    from_ns = figures.measured_from_ns - figures.start_ns
    for percentile in all_percentiles(further_percentiles):
        is_looked_at = until is not None and until.percentile == percentile
        known = confidence(
            figures.distributions["response"],
            figures.timeline,
            quantile_fraction(percentile),
            from_ns,
            level=until.level if until is not None and is_looked_at else LEVEL,
        )
        if known is not None:
            documents[percentile_key(percentile)] = {
                "low_ms": _ms(known.low_ns),
                "high_ms": _ms(known.high_ns),
                "quality": known.quality,
                "run_times_longer": None if known.times_longer is None else round(known.times_longer, 1),
            }
    return documents


def phase_document(distribution: Distribution) -> dict[str, Any]:
    """One phase over the requests that went through it; `count` says how many did."""
    figures: dict[str, Any] = {"count": distribution.count, "avg_ms": _ms(distribution.mean_ns)}
    for percentile in _PHASE_PERCENTILES:
        value = distribution.quantile_ns(quantile_fraction(percentile))
        figures[percentile_key(percentile)] = _ms(value)
    figures["max_ms"] = _ms(distribution.max_ns)
    return figures


def client_delay_document(figures: TestFigures) -> dict[str, Any]:
    """How long answers waited to be read, and response time without it; null where no answer was looked at."""
    delay = figures.client_delay
    return {
        "p50_ms": _ms(delay.quantile_ns(quantile_fraction(50))),
        "p99_ms": _ms(delay.quantile_ns(quantile_fraction(99))),
        "max_ms": _ms(delay.max_ns),
        "corrected": {
            percentile_key(percentile): _ms(_corrected_ns(figures, percentile))
            for percentile in _CORRECTED_PERCENTILES
        },
        "looked_at": delay.looked_at,
        "discarded": delay.discarded,
    }


def _corrected_ns(figures: TestFigures, percentile: float) -> float | None:
    """The percentile of response time less client delay; of a request that was given up there is none to take away."""
    quantile = quantile_fraction(percentile)
    reported_ns = figures.distributions["response"].quantile_ns(quantile)
    corrected_ns = figures.client_delay.corrected_ns(quantile, reported_ns)
    is_censored = percentile_key(percentile) in censored_percentiles(figures)
    return reported_ns if is_censored and corrected_ns is not None else corrected_ns


def _lag_document(lag: Distribution) -> dict[str, Any]:
    return {
        "p50_ms": _ms(lag.quantile_ns(quantile_fraction(50))),
        "p99_ms": _ms(lag.quantile_ns(quantile_fraction(99))),
        "max_ms": _ms(lag.max_ns),
    }


def timeline_document(figures: TestFigures) -> dict[str, Any]:
    """Columns of equal length, one entry a slice."""
    timeline = figures.timeline
    return {
        "slice_s": timeline.slice_ns / 1e9,
        "requests": timeline.column("requests"),
        "failures": timeline.column("failures"),
        "p50_ms": timeline.quantile_ms(50),
        "p99_ms": timeline.quantile_ms(99),
        "max_ms": timeline.max_ms(),
        "users": timeline.column("users"),
    }


def histogram_document(distribution: Distribution) -> dict[str, Any]:
    """The filled buckets; `log-linear-1024` tells a reader how an index becomes seconds."""
    index, count = distribution.sparse()
    return {"unit": "s", "scheme": SCHEME, "index": index, "count": count}
