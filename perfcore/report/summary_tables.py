"""The parts of the summary that have one line, or one block, for each test."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from rich.cells import cell_len

from perfcore.metrics.test_result import SuiteResult, TestResult
from perfcore.report.latency_bars import MOST_BARS, Bar, bar, common_bounds, merged, sparkline
from perfcore.report.measured_lines import measured_lines
from perfcore.report.printable import printable
from perfcore.report.sheet import Cell, Column, Sheet, cut_middle, pad
from perfcore.units import format_bytes, format_duration, format_ms

NOTHING = "–"
PHASES = ("dns", "connect", "tls", "ttfb", "transfer")
_USUAL_PERCENTILES = ("p50", "p90", "p95", "p99", "p99_9")
_DROP = {"p90": 2, "min": 3, "p99_9": 4, "avg": 5, "p95": 6, "rate": 7, "failed": 8}
_PHASE_DROP = {"dns": 6, "connect": 8, "tls": 7, "ttfb": 0, "transfer": 9}
_SERVICE_DIFFERS = 0.05
_NEW_CONNECTIONS_MATTER = 0.005
_MOST_BLOCKS = 6  # beyond it, a line a test says more than a page of bars
_MOST_ERRORS = 12
_EXCEEDANCES = 10
_LONGEST_RUN = 1000  # times as long: more is no advice
_SHORTEST_REQUEST = 24
_LONGEST_REQUEST = 60
_BLOCK_WIDTH = 50
_SPARKS = 2 * MOST_BARS


def timing_table(result: SuiteResult, sheet: Sheet) -> list[str]:
    """A row per test and step, and what is told beside it only where it differs."""
    names = _percentile_names(result)
    columns = [
        Column("response time", left=True),
        Column("requests"),
        Column("failed", _DROP["failed"]),
        Column("rate", _DROP["rate"]),
        Column("min", _DROP["min"]),
        Column("avg", _DROP["avg"]),
        *(Column(name.replace("_", "."), _percentile_drop(name)) for name in names),
        Column("max"),
    ]
    rows = [row for test in result for row in _test_rows(test, names)]
    lines = sheet.table(columns, rows)
    shown = "".join(cell.text for row in rows for cell in row[1:])
    notes = (("~", "~ too few samples for that rank"), ("≥", "≥ requests were given up at their time limit"))
    legend = [text for sign, text in notes if sign in shown]
    legend_lines = [sheet.paint("  " + text, "dim") for text in legend]
    return [*lines, *legend_lines, *longer_runs(result, sheet), *measured_lines(result, sheet)]


def _percentile_names(result: SuiteResult) -> list[str]:
    further = {
        name for test in result for name in (test.document.get("timing") or {}).get("percentiles") or {}
    }
    return sorted(further | set(_USUAL_PERCENTILES), key=lambda name: float(name[1:].replace("_", ".")))


def _percentile_drop(name: str) -> int:
    return 0 if name in ("p50", "p99") else _DROP.get(name, 1)


def _test_rows(test: TestResult, names: Sequence[str]) -> Iterator[list[Cell]]:
    document = test.document
    yield _request_row(printable(test.key), document, names, "bold")
    timing, service = document.get("timing"), document.get("service_time")
    if timing and any(band.get("low_ms") is not None for band in (timing.get("confidence") or {}).values()):
        yield [Cell("  95 % within", "dim"), Cell(""), Cell(""), Cell(""), *_interval_cells(timing, names)]
    if service and _differs(timing, service):
        yield _beside("  service time", service, names)
    corrected = {"percentiles": (document.get("client_delay") or {}).get("corrected") or {}}
    if _differs(timing, corrected):
        yield _beside("  less client delay", corrected, names)
    reused = document.get("timing_reused")
    new_share = document.get("connections_opened", 0) / max(document.get("attempts", 0), 1)
    if reused and reused.get("avg_ms") is not None and new_share >= _NEW_CONNECTIONS_MATTER:
        yield _beside(
            "  reused connections", reused, names, f"{reused['count']:,}" if "count" in reused else ""
        )
    steps = document.get("steps") or {}
    if len(steps) > 1:
        for key, step in steps.items():
            yield _request_row(f"  step {printable(key)}", step, names)
        iterations = document.get("iterations") or {}
        if iterations.get("timing"):
            completed = f"{iterations.get('completed', 0):,}"
            yield _beside("  whole iteration", iterations["timing"], names, completed)


def _differs(timing: Mapping[str, Any] | None, service: Mapping[str, Any]) -> bool:
    response_p99 = ((timing or {}).get("percentiles") or {}).get("p99")
    service_p99 = (service.get("percentiles") or {}).get("p99")
    if response_p99 is None or service_p99 is None:
        return False
    return bool(abs(response_p99 - service_p99) > _SERVICE_DIFFERS * response_p99)


def _request_row(name: str, document: Mapping[str, Any], names: Sequence[str], style: str = "") -> list[Cell]:
    failed = document.get("failed_requests", 0)
    return [
        Cell(name, style),
        Cell(f"{document.get('total_requests', 0):,}"),
        Cell(f"{failed:,}", "red" if failed else ""),
        Cell(format_rate(document.get("requests_per_second"))),
        *_timing_cells(document.get("timing") or {}, names),
    ]


def _beside(name: str, timing: Mapping[str, Any], names: Sequence[str], count: str = "") -> list[Cell]:
    return [Cell(name, "dim"), Cell(count, "dim"), Cell(""), Cell(""), *_timing_cells(timing, names, "dim")]


def _interval_cells(timing: Mapping[str, Any], names: Sequence[str]) -> list[Cell]:
    """`±2%` of each percentile that has an interval: its farther end, as a part of the value."""
    bands, percentiles = timing.get("confidence") or {}, timing.get("percentiles") or {}
    cells = [Cell(""), Cell("")]
    for name in names:
        band, value = bands.get(name) or {}, percentiles.get(name)
        low, high = band.get("low_ms"), band.get("high_ms")
        if not value or low is None or high is None:
            cells.append(Cell(NOTHING, "dim"))
            continue
        percent = 100 * max(high - value, value - low) / value
        cells.append(Cell(f"±{percent:.2g}%" if percent < 99.5 else f"±{percent:,.0f}%", "dim"))
    return [*cells, Cell("")]


def longer_runs(result: SuiteResult, sheet: Sheet) -> list[str]:
    """`p99.9 of get_user: known from a run 4 times as long on`, of the tests that ran for a while."""
    lines = []
    for test in result:
        bands = (test.document.get("timing") or {}).get("confidence") or {}
        wanting = [
            f"{name.replace('_', '.')} {_times(band['run_times_longer'])}"
            for name, band in bands.items()
            if band.get("run_times_longer") and band["run_times_longer"] <= _LONGEST_RUN
        ]
        if wanting and len(wanting) < len(bands):
            text = f"{printable(test.key)}: for an interval of {', '.join(wanting)}"
            lines += sheet.sentence(text, "dim")
    return lines[:_MOST_BLOCKS]


def _times(longer: float) -> str:
    return f"run {longer:.2g} × as long" if longer < 10 else f"run {longer:,.0f} × as long"


def _timing_cells(timing: Mapping[str, Any], names: Sequence[str], style: str = "") -> list[Cell]:
    """Above a request that was given up, every figure is a lower bound: a rank, the average, the maximum."""
    percentiles, confidence = timing.get("percentiles") or {}, timing.get("confidence") or {}
    cut_off = set(timing.get("censored_percentiles") or ())
    if timing.get("censored"):
        cut_off |= {"avg", "max"}
    values = {name: percentiles.get(name) for name in names}
    values |= {name: timing.get(f"{name}_ms") for name in ("min", "avg", "max")}
    few = {name for name in names if _too_few(name, timing, confidence.get(name))}
    cells = []
    for name in ("min", "avg", *names, "max"):
        sign = "" if values[name] is None else "≥ " if name in cut_off else "~" if name in few else ""
        cells.append(Cell(sign + format_ms(values[name]), style))
    return cells


def _too_few(name: str, timing: Mapping[str, Any], band: Mapping[str, Any] | None) -> bool:
    """As the document says; without a word there, below ten exceedances (counted without rounding)."""
    if band and "quality" in band:
        return bool(band["quality"] == "too_few")
    if "count" not in timing:
        return False
    return bool(timing["count"] * (100 - Fraction(name[1:].replace("_", "."))) < _EXCEEDANCES * 100)


def format_rate(rate: float | None) -> str:
    """Per second, three digits at least: `0.5/s`, `83.3/s`, `1,250/s`."""
    if rate is None:
        return NOTHING
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.3g}/s"


def wire_table(result: SuiteResult, sheet: Sheet) -> list[str]:
    """What went over the wire, and where the time of a request went on the average."""
    phases = [name for name in PHASES if any(_phase_ms(test, name) is not None for test in result)]
    columns = [
        Column("on the wire", left=True),
        Column("ok rate", 5),
        Column("received"),
        Column("received/s", 2),
        Column("sent", 3),
        Column("sent/s", 1),
        Column("connections", 4),
        *(Column(f"{name} avg", _PHASE_DROP[name]) for name in phases),
    ]
    rows = []
    for test in result:
        sizes = test.document.get("bytes") or {}
        seconds = (test.document.get("parallel_execution") or {}).get("total_duration_ms", 0) / 1000
        traffic = []
        for size in (sizes.get("received"), sizes.get("sent")):
            traffic.append(NOTHING if size is None else format_bytes(size))
            traffic.append(f"{format_bytes(size / seconds)}/s" if size is not None and seconds else NOTHING)
        connections = test.document.get("connections_opened")
        texts = [
            printable(test.key),
            format_rate(test.document.get("success_per_second")),
            *traffic,
            NOTHING if connections is None else f"{connections:,}",
            *(format_ms(_phase_ms(test, name)) for name in phases),
        ]
        rows.append([Cell(text) for text in texts])
    return sheet.table(columns, rows)


def _phase_ms(test: TestResult, name: str) -> float | None:
    phase = (test.document.get("phases") or {}).get(name) or {}
    average: float | None = phase.get("avg_ms") if phase.get("count", 1) else None
    return average


def is_transport(kind: str) -> bool:
    """True when no whole answer came (the connection failed), False when one was not as expected."""
    return ":" not in kind and kind != "hook"


def status_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    """How often which status was answered, a line for each test that sent something."""
    entries = [(printable(test.key), _statuses(test)) for test in result if test.total_requests]
    width = min(max((len(name) for name, _ in entries), default=0), sheet.width // 3)
    lines = []
    for name, statuses in entries:
        shown = [f"{status} × {count:,}" for status, count in statuses.items()]
        label = pad(sheet.cut_middle(name, width), width)
        lines.append(sheet.cut(f"  {label}  {'   '.join(shown)}"))
    return lines


def _statuses(test: TestResult) -> Counter[str]:
    statuses = Counter(
        {printable(code): n for code, n in sorted((test.document.get("status_codes") or {}).items())}
    )
    unanswered = sum(n for kind, n in (test.document.get("errors") or {}).items() if is_transport(kind))
    if unanswered:
        statuses["no whole answer"] = unanswered
    return statuses


def error_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    """The kinds of failure with their counts and one example each, connection and answer apart."""
    found = [
        (kind, count, test)
        for test in result
        for kind, count in (test.document.get("errors") or {}).items()
        if count
    ]
    lines: list[str] = []
    for title, transport in (("no whole answer (connection)", True), ("answer not as expected", False)):
        group = sorted((entry for entry in found if is_transport(entry[0]) == transport), key=lambda e: -e[1])
        if not group:
            continue
        lines.append(f"  {title}: {sum(count for _, count, _ in group):,}")
        shown = group[:_MOST_ERRORS]
        counts = max(len(f"{count:,}") for _, count, _ in shown)
        kinds = max(len(printable(kind)) for kind, _, _ in shown)
        keys = min(max(len(printable(test.key)) for _, _, test in shown), sheet.width // 5)
        for kind, count, test in shown:
            key = pad(sheet.cut_middle(printable(test.key), keys), keys)
            start = f"    {count:>{counts},}  {pad(printable(kind), kinds)}  {key}"
            room = sheet.width - cell_len(start)
            example = sheet.cut(f"  {_example(test, kind, room, sheet)}".rstrip(), room)
            lines.append(sheet.paint(sheet.cut(start).rstrip(), "red") + sheet.paint(example, "dim"))
        if len(group) > len(shown):
            lines.append(f"    and {len(group) - len(shown)} kinds more, all of them in results.json")
    return lines


def _example(test: TestResult, kind: str, room: int, sheet: Sheet) -> str:
    """`CAUSE  at 17ms  GET URL → 503  BODY`: what matters most first, the URL cut to leave room for the rest."""
    for failure in test.document.get("failures") or []:
        samples = failure.get("samples") or []
        if failure.get("kind") == kind and samples:
            sample = samples[0]
            half = min(max(room // 2, _SHORTEST_REQUEST), _LONGEST_REQUEST)
            request = sheet.cut_middle(printable(sample.get("request") or ""), half)
            status = f" → {sample['status']}" if sample.get("status") else ""
            body = " ".join(str(sample.get("body") or "").split())
            parts = (sample.get("detail") or "", f"at {_instant(sample.get('at_s'))}", request + status, body)
            return "  ".join(printable(part) for part in parts if part)
    return ""


def _instant(at_s: float | None) -> str:
    """To the millisecond within the first second, where runs that fail do so; later to a tenth of a second."""
    at_s = max(at_s or 0.0, 0.0)
    return format_duration(round(at_s, 1 if at_s >= 1 else 3 if at_s >= 1e-3 else 6))


def distribution(result: SuiteResult, sheet: Sheet) -> list[str]:
    """The response times as bars: side by side for a few tests, a line each on a common scale for many."""
    tests = [test for test in result if common_bounds([test.document.get("histogram")])]
    if len(tests) > _MOST_BLOCKS:
        return _spark_lines(tests, sheet)
    blocks = [_block(test, merged(test.document.get("histogram")), sheet) for test in tests]
    across = max(sheet.width // _BLOCK_WIDTH, 1)
    lines: list[str] = []
    for start in range(0, len(blocks), across):
        row = blocks[start : start + across]
        if lines:
            lines.append("")
        for number in range(max(len(block) for block in row)):
            cells = [block[number] if number < len(block) else ("", "") for block in row]
            line = "".join(sheet.paint(pad(text, _BLOCK_WIDTH), style) for text, style in cells[:-1])
            lines.append((line + sheet.paint(*cells[-1])).rstrip())
    return lines


def _block(test: TestResult, bars: Sequence[Bar], sheet: Sheet) -> list[tuple[str, str]]:
    """Lines with their style, each below _BLOCK_WIDTH cells."""
    labels = [f"{format_duration(entry.low_s)} – {format_duration(entry.high_s)}" for entry in bars]
    counts = [f"{entry.requests:,}" for entry in bars]
    left, right = max(map(len, labels)), max(map(len, counts))
    most = max(entry.requests for entry in bars)
    room = min(_BLOCK_WIDTH, sheet.width) - left - right - 8
    lines = [("  " + cut_middle(printable(test.key), min(_BLOCK_WIDTH, sheet.width) - 4), "bold")]
    for label, count, entry in zip(labels, counts, bars, strict=True):
        lines.append((f"  {label:>{left}}  {count:>{right}} {bar(entry.requests, most, room)}", "cyan"))
    return lines


def _spark_lines(tests: Sequence[TestResult], sheet: Sheet) -> list[str]:
    bounds = common_bounds([test.document.get("histogram") for test in tests], _SPARKS)
    names = [printable(test.key) for test in tests]
    width = min(max(map(len, names)), max(sheet.width - len(bounds) - 24, 10))
    low, high = format_duration(bounds[0]), format_duration(bounds[-1])
    title = f"{low} {'·' * max(len(bounds) - 3 - len(low) - len(high), 1)} {high}"
    lines = [sheet.paint(f"  {' ' * width}  {title}", "dim")]
    for name, test in zip(names, tests, strict=True):
        counts = [entry.requests for entry in merged(test.document.get("histogram"), bounds)]
        label = pad(sheet.cut_middle(name, width), width)
        lines.append(f"  {label}  {sheet.paint(sparkline(counts), 'cyan')}")
    return lines
