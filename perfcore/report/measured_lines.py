"""Under the table of response times: which time was measured, what a run was to find out, what drifted."""

from collections.abc import Iterator, Mapping
from typing import Any

from perfcore.metrics.steadiness import DRIFT_TOLD
from perfcore.metrics.test_result import SuiteResult
from perfcore.report.printable import printable
from perfcore.report.sheet import Sheet
from perfcore.suite.measured_time import FIRST_LOOK_AUTO_S
from perfcore.units import format_duration

_MOST_LINES = 8


def measured_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    """A sentence for each thing of each test that is not as it is without warm-up and drift."""
    sentences = [f"{printable(test.key)}: {text}" for test in result for text in _sentences(test.document)]
    lines = [line for text in sentences[:_MOST_LINES] for line in sheet.sentence(text, "dim")]
    if len(sentences) > _MOST_LINES:
        lines += sheet.sentence(f"and {len(sentences) - _MOST_LINES:,} more in the result", "dim")
    return lines


def _sentences(document: Mapping[str, Any]) -> Iterator[str]:
    warmup, until = document.get("warmup"), document.get("until")
    if warmup:
        lasted_ms = (document.get("parallel_execution") or {}).get("total_duration_ms", 0)
        yield _warmup(warmup, is_long=lasted_ms >= FIRST_LOOK_AUTO_S * 1000)
    if until:
        yield _until(until)
    steadiness = document.get("steadiness") or {}
    if steadiness.get("stationary") is False:
        changes = ", ".join(
            f"{name} {'rose' if change > 0 else 'fell'} by {_short(abs(change), 2)} %"
            for name, change in (
                ("p50", steadiness.get("p50_change_percent")),
                ("throughput", steadiness.get("rate_change_percent")),
            )
            if change is not None and abs(change) > DRIFT_TOLD * 100
        )
        yield f"not stationary: {changes} in the measured time, and the figures are of all of it"


def _warmup(warmup: Mapping[str, Any], *, is_long: bool) -> str:
    if not warmup["until_s"]:
        return (
            "no warm-up was found to leave out"
            if is_long
            else f"too short to find a warm-up in: {FIRST_LOOK_AUTO_S:g} s at least"
        )
    found = "found and " if warmup["kind"] == "auto" else ""
    count = warmup["requests"]
    requests = f"{count:,} request{'' if count == 1 else 's'}"
    return f"warm-up of {format_duration(warmup['until_s'])} {found}left out, with {requests}"


def _until(until: Mapping[str, Any]) -> str:
    name, share = until["metric"].replace("_", "."), f"{until['precision'] * 100:.3g} %"
    if until["reached"]:
        return f"{name} was known to {share} after {_short(until['after_s'], 3)} s, and the load ended"
    return f"{name} was not known to {share} when the time was over"


def _short(number: float, digits: int) -> str:
    """So many significant digits, or all before the point where there are more."""
    text = f"{number:.{digits}g}"
    return f"{number:,.0f}" if "e" in text else text
