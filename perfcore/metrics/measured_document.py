"""Which time of a test was measured, and whether the system held still in it: parts of its document."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from perfcore.metrics.metrics_collector import TestFigures
from perfcore.metrics.starts import stall_share
from perfcore.metrics.statistics import percentile_key
from perfcore.metrics.steadiness import drift


@dataclass(frozen=True, slots=True)
class UntilFacts:
    """A test that was to stop when this percentile was known to this share of its value.

    `level` is that of the interval at each of its `looks`; `reached_after_s` None where it was not.
    """

    percentile: float
    precision: float
    level: float
    looks: int
    reached_after_s: float | None


def warmup_document(figures: TestFigures, kind: Literal["fixed", "auto", "none"]) -> dict[str, Any] | None:
    """What was left out of every statistic: the time since the test began, and what was due in it."""
    if kind == "none":
        return None
    return {
        "kind": kind,
        "until_s": round((figures.measured_from_ns - figures.start_ns) / 1e9, 6),
        "requests": figures.counter("warmup_requests"),
        "failed": figures.counter("warmup_failed"),
        "attempts": figures.counter("warmup_attempts"),
    }


def until_document(until: UntilFacts | None) -> dict[str, Any] | None:
    if until is None:
        return None
    return {
        "metric": percentile_key(until.percentile),
        "precision": until.precision,
        "reached": until.reached_after_s is not None,
        "after_s": None if until.reached_after_s is None else round(until.reached_after_s, 3),
        "looks": until.looks,
        "level": round(until.level, 6),
    }


def steadiness_document(figures: TestFigures, end_ns: int, changes_after_s: float | None) -> dict[str, Any]:
    """Whether p50 and throughput held still from the warm-up's end to the load's.

    `changes_after_s`: how long the load itself rises; None where it changes all the time, and nothing can be said.
    """
    seconds = figures.timeline.seconds(max(0, end_ns - figures.start_ns))
    document: dict[str, Any] = {"stationary": None, "p50_change_percent": None, "rate_change_percent": None}
    if changes_after_s is None:
        return document
    from_s = max(changes_after_s, (figures.measured_from_ns - figures.start_ns) / 1e9)
    measured = seconds.since(int(-(-from_s // seconds.length_s)))
    found = {"p50": drift(measured.p50_ms), "rate": drift(measured.requests)}
    for name, change in found.items():
        if change is not None:
            document[f"{name}_change_percent"] = round(change.change * 100, 2)
            document["stationary"] = document["stationary"] is not False and not change.is_told
    return document


def stall_share_of(figures: TestFigures, end_ns: int) -> float | None:
    """Of a closed model (see starts.stall_share)."""
    users = [count for count in figures.timeline.column("users") if count]
    return stall_share(
        figures.starts,
        from_ns=figures.measured_from_ns - figures.start_ns,
        until_ns=end_ns - figures.start_ns,
        started=figures.counter("requests"),
        users=float(np.mean(users)) if users else 1.0,
    )
