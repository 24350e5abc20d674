"""The summary on the terminal: what was run, whether it was good, the figures, and how far to trust them.

Sections in the order of `conventions`: run → verdict and thresholds → totals → a row per test → status
codes → errors with an example → distribution → slowest requests (of tests with `trace`) → validity → incidents
→ where the result lies. A section without content is left out. Everything is read from the document, so what is
shown is what was saved.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from perfcore.metrics.test_result import SuiteResult, TestResult
from perfcore.report.plain_text import write_text
from perfcore.report.printable import printable
from perfcore.report.run_settings import settings_text
from perfcore.report.sheet import Cell, Column, Sheet, pad, terminal_width
from perfcore.report.slowest_lines import slowest_lines
from perfcore.report.summary_tables import (
    NOTHING,
    distribution,
    error_lines,
    format_rate,
    is_transport,
    status_lines,
    timing_table,
    wire_table,
)
from perfcore.report.tool_error_lines import tool_error_lines
from perfcore.report.validity_lines import validity_lines
from perfcore.units import exact_rate, format_bytes, format_duration, format_ms

_ENGINES = {"wire": "wire path", "transfer": "libcurl transfers"}
_ARRIVALS = {"poisson": "Poisson arrivals", "constant": "arrivals at equal distances"}
# What sentences are wrapped at in a file or a pipe.
WIDTH_WITHOUT_TERMINAL = 160
CLOSED_MODEL = (
    "closed model: users wait for the answer before they send again; stalls of the server are under-stated"
)
_VERDICTS = {
    "passed": ("green", ""),
    "failed": ("red", ""),
    "incomplete": (
        "red",
        "a worker was lost; the figures hold what was measured until then and by the others",
    ),
    "interrupted": ("yellow", "stopped by a signal; the figures hold what was measured until then"),
    "aborted": ("red", "ended before its time"),
    "invalid": ("red", "the figures are not to be trusted"),
}
_MOST_TESTS_LISTED = 12
# What is expected where the suite does not say.
_CHECK_OF_EVERY_TEST = "status 2xx"


def write_summary(
    result: SuiteResult, stream: TextIO, *, color: bool = False, width: int | None = None
) -> None:
    """Write the summary to a text stream, as wide as its terminal; where there is none nothing is cut.

    A character that the stream's encoding lacks is replaced. OSError and ValueError of the stream (a reader
    that went away) are the caller's.
    """
    width = terminal_width(stream) if width is None else width
    write_text(summary_text(result, color=color, width=width), stream)


def summary_text(result: SuiteResult, *, color: bool = False, width: int | None = None) -> str:
    """The summary, ending with a newline, cut to lines of this width; None for a reader that has any width."""
    sheet = Sheet(WIDTH_WITHOUT_TERMINAL if width is None else width, color, is_cut=width is not None)
    ran = any(test.total_requests for test in result)
    sections: list[tuple[str, list[str]]] = [
        ("", _run_lines(result, sheet)),
        ("", _verdict_lines(result, sheet)),
        ("", _total_lines(result, sheet)),
        ("", timing_table(result, sheet)),
        ("", wire_table(result, sheet) if ran else []),
        ("Status codes", status_lines(result, sheet)),
        ("Failures", error_lines(result, sheet)),
        ("Distribution of response times", distribution(result, sheet)),
        ("Slowest requests", slowest_lines(result, sheet)),
        ("", [*validity_lines(result, sheet), *tool_error_lines(result, sheet)]),
        (
            "Incidents",
            [line for text in result.document.get("incidents") or [] for line in _item(text, sheet)],
        ),
        ("", _place_lines(result, sheet)),
    ]
    blocks = []
    for title, lines in sections:
        if lines:
            blocks.append("\n".join([sheet.title(title), *lines] if title else lines))
    return "\n\n".join(blocks) + "\n"


def _item(text: str, sheet: Sheet, style: str = "") -> list[str]:
    return sheet.sentence(text, style, first="  - ")


def _run_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    document = result.document
    environment: Mapping[str, Any] = document.get("environment") or {}
    lines = [
        sheet.paint(sheet.cut(printable(document["test_suite"])), "bold"),
        *sheet.sentence(
            _joined(document.get("base_url"), _when(document.get("timestamp")), _seconds(result))
        ),
        *sheet.sentence(_machine(environment), "dim"),
        *sheet.sentence(_software(document, environment), "dim"),
    ]
    tags = document.get("tags") or {}
    if tags:
        lines += sheet.sentence("tags " + ", ".join(f"{key}={value}" for key, value in tags.items()), "dim")
    tests = list(result)[:_MOST_TESTS_LISTED]
    labels = min(max((len(printable(test.key)) for test in tests), default=0), sheet.width // 3)
    for test in tests:
        name = pad(sheet.cut_middle(printable(test.key), labels), labels)
        lines.append(sheet.cut(f"  {name}  {printable(_plan(test))}"))
        settings = settings_text(test.document, spins=document.get("spin", True))
        if settings:
            lines.append(sheet.paint(sheet.cut(f"  {' ' * labels}  {printable(settings)}"), "dim"))
    if len(result.results) > len(tests):
        more = len(result.results) - len(tests)
        lines.append(f"  and {more} test{'' if more == 1 else 's'} more")
    if any((test.document.get("load") or {}).get("model") == "closed" for test in result):
        lines += sheet.sentence(CLOSED_MODEL, "dim")
    rate = (document.get("limits") or {}).get("max_rate_per_s")
    if rate is not None:
        held = f"held to {rate:,.10g} requests/s over all tests by limits.max_rate"
        lines += sheet.sentence(f"{held}; the rates below are no bound of the server's", "dim")
    return lines


def _joined(*parts: object) -> str:
    return " · ".join(str(part) for part in parts if part)


def _when(timestamp: Any) -> str:
    try:
        return datetime.fromisoformat(str(timestamp)).strftime("%Y-%m-%d %H:%M:%S %Z")
    except ValueError:
        return str(timestamp or "")


def _machine(environment: Mapping[str, Any]) -> str:
    workers, cores = environment.get("workers"), environment.get("cpu_cores")
    memory = environment.get("memory_mb")
    return _joined(
        _counted(workers, "worker") if workers else "",
        " × ".join(str(part) for part in (cores, environment.get("cpu_model")) if part),
        _quota(environment),
        f"{memory / 1024:.0f} GiB" if memory else "",
        environment.get("hostname"),
    )


def _quota(environment: Mapping[str, Any]) -> str:
    """What the control group grants, where that is no whole number of cores."""
    quota, cores = environment.get("cpu_quota"), environment.get("cpu_cores")
    if not quota or not cores or quota == cores or quota >= cores + 1:
        return ""
    return f"the control group grants {quota:.3g} CPUs"


def _software(document: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    libraries = ("python_version", "Python"), ("libcurl", "libcurl"), ("tls", "")
    versions = [f"{name} {environment[key]}".strip() for key, name in libraries if environment.get(key)]
    return _joined(
        f"perfcore {document.get('perfcore_version', '')}".strip(), *versions, environment.get("kernel")
    )


def _seconds(result: SuiteResult) -> str:
    clock = result.document.get("clock") or {}
    try:
        return format_duration(
            round((clock["end"]["monotonic_ns"] - clock["start"]["monotonic_ns"]) / 1e9, 1)
        )
    except (KeyError, TypeError):
        return ""


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _plan(test: TestResult) -> str:
    """`GET /users · 10 users × 100 iterations · wire path`: what this test was told to do, and what carried it."""
    document = test.document
    load = document.get("load") or {}
    stages, users = load.get("stages") or [], load.get("users")
    if not users and not load.get("rate") and not stages:
        users = (document.get("parallel_execution") or {}).get("concurrent_users")
    text = _counted(users, "user") if users else ", ".join(_stage(stage) for stage in stages)
    each, total = load.get("iterations"), load.get("total_iterations")
    duration_s = load.get("duration_s")
    if load.get("rate"):
        text = exact_rate(load["rate"])
    if each:
        text += f" × {_counted(each, 'iteration')}"
    if total:
        text += f", {_counted(total, 'iteration')} in all"
    if duration_s and not stages:
        text += f"{', at most' if each or total else ' for'} {format_duration(duration_s)}"
    if load.get("model") == "open":
        text += f", open model ({_ARRIVALS.get(str(load.get('arrival')), 'by the clock')})"
    if load.get("ramp_up_s"):
        text += f", ramp-up {format_duration(load['ramp_up_s'])}"
    name = document.get("name") or ""
    told = name.lower().replace(" ", "_") == test.key  # else the key, made of a-z 0-9 _, has lost something
    engine = _ENGINES.get(str(document.get("engine")))
    return _joined("" if told else name, document.get("request"), text.lstrip(", "), engine)


def _stage(stage: Mapping[str, Any]) -> str:
    """`to 50 users in 30s`"""
    value = exact_rate(stage["rate"]) if "rate" in stage else _counted(round(stage.get("users") or 0), "user")
    return f"to {value} in {format_duration(stage.get('duration_s') or 0)}"


def _verdict_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    document = result.document
    verdict = str(document.get("verdict", ""))
    style, reason = _VERDICTS.get(verdict, ("yellow", ""))
    lines = [sheet.paint(printable(verdict.upper()), f"bold {style}")]
    thresholds = document.get("thresholds") or []
    if verdict == "failed":
        broken = sum(not threshold["passed"] for threshold in thresholds)
        dead = [test.key for test in result if not test.successful_requests]
        shown = ", ".join(printable(key) for key in dead[:5]) + (
            f" and {len(dead) - 5} more" if len(dead) > 5 else ""
        )
        reasons = [f"{_counted(broken, 'threshold')} broken"] if broken else []
        reason = "; ".join(reasons + ([f"not one successful request in {shown}"] if dead else []))
    if verdict == "aborted":
        told = [str(text) for text in document.get("incidents") or [] if "limits." in str(text)]
        reason = told[0].removeprefix("aborted: ") if told else reason
    if reason:
        first, *rest = sheet.sentence(reason, first=" " * (len(verdict) + 2), rest="  ")
        lines = [lines[0] + first[len(verdict) :], *rest]
    if verdict != "invalid" and (document.get("validity") or {}).get("verdict") == "invalid":
        lines += sheet.sentence("but the figures are not to be trusted: see Validity below", "yellow")
    if thresholds:
        columns = [
            Column("threshold", left=True),
            Column("test", left=True),
            Column("value"),
            Column("", left=True),
        ]
        lines += sheet.table(columns, [_threshold_row(threshold) for threshold in thresholds])
    return lines


def _threshold_row(threshold: Mapping[str, Any]) -> Sequence[Cell]:
    passed = bool(threshold["passed"])
    mark, style = ("✓", "green") if passed else ("✗", "red")
    value, unit = threshold.get("value"), threshold.get("unit") or ""
    shown = NOTHING if value is None else format_ms(value) if unit == "ms" else f"{value:,.4g}{unit}"
    return [
        Cell(f"{mark} {printable(threshold['metric'])}", style),
        Cell(printable(threshold.get("test") or "all tests")),
        Cell(printable(shown), "" if passed else style),
        Cell("few samples" if threshold.get("few_samples") else "", "dim"),
    ]


def _total_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    tests = [test.document for test in result]

    def summed(key: str) -> int:
        return sum(int(test.get(key) or 0) for test in tests)

    total, ok, failed = summed("total_requests"), summed("successful_requests"), summed("failed_requests")
    share = f" ({_percent(ok, total)})" if total else ""
    unanswered = sum(
        n for test in tests for kind, n in (test.get("errors") or {}).items() if is_transport(kind)
    )
    apart = (
        f" ({unanswered:,} without a whole answer, {failed - unanswered:,} not as expected)" if failed else ""
    )
    received = sum((test.get("bytes") or {}).get("received") or 0 for test in tests)
    first = _joined(
        _counted(total, "request"),
        f"{ok:,} successful{share}",
        f"{failed:,} failed{apart}",
        f"{format_bytes(received)} received" if received else "",
        f"{format_rate(tests[0].get('requests_per_second'))}" if len(tests) == 1 and total else "",
    )
    checks = [check for test in tests for check in _own_checks(test).values()]
    held, broken = sum(check["passed"] for check in checks), sum(check["failed"] for check in checks)
    further = [
        f"{count:,} {text}"
        for count, text in (
            (summed("attempts") if summed("attempts") > total else 0, "attempts"),
            (summed("retried_requests"), "retried"),
            (summed("resent_requests"), "sent again by libcurl on a dead connection"),
            (summed("interrupted_requests"), "interrupted, in no figure"),
            (summed("dropped_arrivals"), "arrivals dropped"),
        )
        if count > 0
    ]
    if checks:
        further.append(f"{held:,} of {held + broken:,} checks held")
    lines = sheet.sentence(first, "red" if total and not ok else "", first="")
    return lines + (sheet.sentence(_joined(*further)) if further else [])


def _own_checks(test: Mapping[str, Any]) -> Mapping[str, Mapping[str, int]]:
    """None of a test without any expectation but the one that every test has: `failed` says that of it."""
    checks = test.get("checks") or {}
    return {} if list(checks) == [_CHECK_OF_EVERY_TEST] else checks


def _percent(part: int, whole: int) -> str:
    """Four digits; 100 % is said of the whole alone."""
    text = f"{100 * part / whole:.4g}"
    return "> 99.99 %" if text == "100" and part < whole else f"{text} %"


def _place_lines(result: SuiteResult, sheet: Sheet) -> list[str]:
    """Never shortened or wrapped: it is there to be copied."""
    if result.results_dir is None:
        return [sheet.paint("The result was not saved.", "yellow")]
    path = Path(result.results_dir)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return [sheet.paint("Result", "bold") + "  " + printable(path / "results.json")]
