"""How near a running test is to the precision at which it stops, as both progress views say it."""

from perfcore.metrics.progress import TestProgress
from perfcore.units import format_duration


def until_text(test: TestProgress) -> str:
    """`p99 ±8% → ±5% in about 40s`; empty for a test without `until`."""
    until = test.until
    if until is None:
        return ""
    now = "" if until.precision is None else f"±{_percent(until.precision)} "
    text = f"p{until.percentile:g} {now}→ ±{_percent(until.wanted)}"
    if until.left_s is None:
        return text
    if test.planned_s is not None and test.elapsed_s + until.left_s > test.planned_s:
        return f"{text} not within {format_duration(test.planned_s)}"
    return f"{text} in about {format_duration(round(until.left_s))}" if until.left_s >= 1 else f"{text} soon"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0995 else f"{100 * share:.2g}%"
