"""One line of a run's summary: how wrong this tool is at the rate that the run had."""

from collections.abc import Mapping
from typing import Any

from perfcore.metrics.test_result import SuiteResult
from perfcore.report.printable import printable
from perfcore.report.sheet import Sheet


def tool_error_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    """Empty where this machine was not calibrated."""
    calibration = result.document.get("calibration")
    if not calibration:
        return []
    if not calibration.get("used"):
        told = f"error of this tool at this rate: not known: {calibration.get('reason')}"
        return sheet.sentence(told, "dim")
    known = [(test.key, error) for test in result if (error := test.document.get("tool_error"))]
    if not known:
        return []
    rates = "this rate" if len(known) == 1 else "these rates"
    return sheet.sentence(f"error of this tool at {rates}: {_worst(known)}", "dim")


def _worst(known: list[tuple[str, Mapping[str, Any]]]) -> str:
    """Of the test where it is largest; where one is beyond what was calibrated, that."""
    key, error = max(known, key=lambda item: _size(item[1]))
    of = f" of {printable(key)}" if len(known) > 1 else ""
    day = f"calibrated {error['calibrated']}{'' if error['quiet'] else ' on a machine that was not quiet'}"
    if error["p99_ms"] is None:
        rate = f"{error['rate_per_worker']:,.0f}/s"
        return f"not known{of}: {rate} a worker is more than was measured ({day})"
    largest = "the largest; " if len(known) > 1 else ""
    return f"p99 {error['p99_ms']:+.2g} ms{of} ({largest}{day})"


def _size(error: Mapping[str, Any]) -> float:
    p99_ms = error["p99_ms"]
    return float("inf") if p99_ms is None else abs(p99_ms)
