"""The slowest requests of tests that were traced: their ids are there to be looked up."""

from collections.abc import Mapping
from typing import Any

from perfcore.metrics.test_result import SuiteResult
from perfcore.report.printable import printable
from perfcore.report.run_settings import is_traced
from perfcore.report.sheet import Cell, Column, Sheet
from perfcore.units import format_duration, format_ms

_SHOWN = 3
_MOST_TESTS = 6


def slowest_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    """Three requests of each test with `trace`, slowest first; no line where no test has it."""
    traced = [test for test in result if is_traced(test.document)]
    shown = [(test.key, request) for test in traced[:_MOST_TESTS] for request in _slowest(test.document)]
    if not shown:
        return []
    has_steps = any(request.get("step") for _, request in shown)
    columns = [
        Column("test", left=True),
        Column("response time"),
        Column("ended at", 1),
        Column("status", 2),
        *([Column("step", 3, left=True)] if has_steps else []),
        Column("trace id", left=True),
    ]
    rows = []
    for key, request in shown:
        texts = [
            key,
            format_ms(request.get("ms")),
            _instant(request.get("at_s")),
            request.get("status") or "none",
            *([request.get("step") or ""] if has_steps else []),
            request.get("trace_id") or "",
        ]
        rows.append([Cell(printable(text)) for text in texts])
    lines = sheet.table(columns, rows)
    if len(traced) > _MOST_TESTS:
        lines += sheet.sentence(f"and those of {len(traced) - _MOST_TESTS:,} tests more in the result", "dim")
    return lines


def _slowest(test: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(test.get("slowest") or ())[:_SHOWN]


def _instant(at_s: float | None) -> str:
    """Since the test began, to the millisecond: as precise as a search in traces needs it."""
    return format_duration(round(max(at_s or 0.0, 0.0), 3))
