"""What `perfcore calibrate` shows, and the line that later runs have of it."""

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from metrics.test_calibration import HERE, calibration_of, engine_of, rung

from perfcore.metrics.calibration import Calibration
from perfcore.report.calibration_plot import axes_of, format_error, plot_lines, plot_svg
from perfcore.report.calibration_report import calibration_text
from perfcore.report.plain_text import write_text
from perfcore.report.sheet import Sheet
from perfcore.report.step_line import StepLine
from perfcore.report.summary import summary_text
from report.documents import one_test, suite_result

WIRE = engine_of(rung(100, 0.02), rung(1000, 0.1), rung(5000, 0.14), rung(10_000, 3.0, verdict="invalid"))
TRANSFER = engine_of(rung(60, 0.03), rung(600, -0.05), rung(6000, 0.9))
KNOWN = calibration_of(wire=WIRE, transfer=TRANSFER)
PAGE = Sheet(100, is_cut=False)


def shown(sheet: Sheet = PAGE, calibration: Calibration = KNOWN) -> str:
    return calibration_text(calibration, Path("/cache/calibration.json"), sheet)


def test_the_table_has_a_row_a_rate_and_says_up_to_which_it_is_safe() -> None:
    text = shown()
    assert "wire path  safe up to 5,000/s a worker · one worker attained 10,000/s · 2026-11-23" in text
    assert "libcurl transfers  safe up to 600/s a worker" in text
    (row,) = [line for line in text.splitlines() if line.startswith("  10,000/s  ")]
    assert row.split() == [
        "10,000/s", "2.00ms", "2.50ms", "0", "+3.00ms", "no", "0.010ms", "0.020ms", "5.0", "%", "0.4", "%", "invalid",
    ]  # fmt: skip
    assert text.endswith("Calibration  /cache/calibration.json\n")
    assert "\x1b" not in text


def test_a_small_error_above_a_rate_that_is_not_safe_is_told_apart() -> None:
    ladder = engine_of(rung(100), rung(1000, 3.0), rung(5000, 0.1, verdict="suspect"))
    lines = [line.split() for line in shown(calibration=calibration_of(wire=ladder)).splitlines()]
    rows = [words for words in lines if words[:1] in (["100/s"], ["1,000/s"], ["5,000/s"])]
    assert [" ".join(words[5:7]) for words in rows[:3]] == ["yes 0.010ms", "no 0.010ms", "only here"]


def test_every_column_is_told_below_the_tables_and_every_sign_below_the_plot() -> None:
    text = " ".join(shown().split())
    for word in (
        "held:",
        "error:",
        "safe:",
        "only here:",
        "lag:",
        "client delay:",
        "busy:",
        "waited:",
        "validity:",
    ):
        assert text.count(word) == 1, word
    assert (
        text.index("+3.00ms no")
        < text.index("held:")
        < text.index("Error of p99 against")
        < text.index("◉ marks")
    )


def test_the_svg_says_what_its_axes_and_lines_are() -> None:
    texts = ElementTree.fromstring(plot_svg(KNOWN)).itertext()
    told = [text.strip() for text in texts if text.strip()]
    assert "rate of one worker, requests a second" in told
    assert "error" in told
    assert (told.count("p99"), told.count("p50")) == (2, 2)
    assert "wire path: safe up to 5,000/s a worker" in told
    assert any("above 0 perfcore tells too much" in text for text in told)


def test_where_no_rate_or_every_rate_is_safe_that_is_said() -> None:
    assert "no rate was safe" in shown(calibration=calibration_of(wire=engine_of(rung(1, 9.0))))
    every = calibration_of(wire=engine_of(rung(5), rung(8)))
    assert "safe up to 8/s a worker or more: the target can do no more" in shown(calibration=every)


def test_a_machine_that_was_not_quiet_is_told() -> None:
    noisy = calibration_of(wire=engine_of(rung(5, waited_percent=7.0)))
    told = "calibrate again when it is quiet"
    assert (told in shown(calibration=noisy), told in shown()) == (True, False)
    assert line_of(USED, a=error(quiet=False))[0].endswith(
        "(calibrated 2026-11-23 on a machine that was not quiet)"
    )


def test_a_narrow_terminal_gets_no_longer_lines() -> None:
    # A sentence has words that no width cuts.
    assert max(map(len, shown(Sheet(60)).splitlines())) <= 60


def test_the_plot_has_a_mark_for_each_rate_and_larger_errors_lie_higher() -> None:
    lines = plot_lines(KNOWN, PAGE)
    assert lines[0].endswith("● wire path   ○ libcurl transfers")
    drawn = lines[1:]
    marks = {(line.index("●"), at) for at, line in enumerate(drawn) if "●" in line}
    assert sum(line.count("●") + line.count("◉") for line in drawn) == 4
    assert sum(line.count("○") + line.count("◉") for line in drawn) == 3
    # From left to right the errors of the wire path grow.
    assert [row for _, row in sorted(marks)] == sorted((row for _, row in marks), reverse=True)
    assert "10,000/s" in drawn[-1]


def test_every_point_lies_within_the_axes_and_so_do_zero_and_the_limit() -> None:
    axes = axes_of([WIRE, TRANSFER])
    assert all(0 < axes.across(step.rate) < 1 for engine in (WIRE, TRANSFER) for step in engine.rungs)
    assert all(
        0 <= axes.up(error) <= 1
        for engine in (WIRE, TRANSFER)
        for step in engine.rungs
        for error in (step.p50_error_ms, step.p99_error_ms, 0.0, 0.15)
    )


def test_a_plot_of_one_rate_can_be_drawn() -> None:
    assert plot_lines(calibration_of(wire=engine_of(rung(7))), PAGE)


def test_the_svg_is_xml_with_two_lines_for_each_engine_and_a_point_for_each_error() -> None:
    whose = {**HERE, "cpu_model": "<AMD> & Sons"}
    root = ElementTree.fromstring(plot_svg(Calibration(whose, KNOWN.engines)))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}polyline")) == 4
    assert len(root.findall(f"{space}circle")) == 2 * (4 + 3)
    assert any("<AMD> & Sons" in (text.text or "") for text in root.findall(f"{space}text"))


def test_an_error_has_its_sign() -> None:
    assert [format_error(value) for value in (0.0, 0.0821, -1.5)] == ["0", "+0.082ms", "-1.50ms"]


def test_a_stream_without_the_characters_gets_plainer_ones() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    write_text(shown(), stream)
    text = raw.getvalue().decode("ascii")
    assert "* wire path   o libcurl transfers" in text
    assert "?" not in text


def test_elsewhere_than_on_a_terminal_progress_is_a_line_now_and_then() -> None:
    stream = io.StringIO()
    line = StepLine(stream, quiet=False)
    line.message("48 runs")
    for number in range(5):
        line.show(f"run {number}")
    line.close()
    assert stream.getvalue() == "48 runs\nrun 0\n"
    for silent in (StepLine(None, quiet=False), StepLine(stream, quiet=True)):
        silent.message("nothing")
    assert "nothing" not in stream.getvalue()


# -- in the summary of a run ----------------------------------------------------------------------------------

USED = {"calibrated": "2026-11-23", "used": True, "reason": None}


def error(**figures: Any) -> dict[str, Any]:
    known = {"engine": "wire", "rate_per_worker": 500.0, "p50_ms": 0.01, "p99_ms": 0.0816}
    return {**known, "safe_rate_per_worker": 900.0, "calibrated": "2026-11-23", "quiet": True, **figures}


def line_of(calibration: dict[str, Any] | None, **errors: dict[str, Any] | None) -> list[str]:
    tests = {key: one_test(key, tool_error=known) for key, known in errors.items()}
    text = summary_text(suite_result(tests, calibration=calibration))
    return [line.strip() for line in text.splitlines() if "error of this tool" in line]


def test_a_run_has_one_line_of_the_tools_error_and_of_several_tests_the_largest() -> None:
    assert line_of(USED, a=error()) == [
        "error of this tool at this rate: p99 +0.082 ms (calibrated 2026-11-23)"
    ]
    assert line_of(USED, a=error(), b=error(p99_ms=-0.3), c=None) == [
        "error of this tool at these rates: p99 -0.3 ms of b (the largest; calibrated 2026-11-23)"
    ]


def test_a_rate_beyond_what_was_measured_is_told() -> None:
    assert line_of(USED, a=error(p50_ms=None, p99_ms=None, rate_per_worker=12_345.6)) == [
        "error of this tool at this rate: not known: 12,346/s a worker is more than was measured "
        "(calibrated 2026-11-23)"
    ]


def test_why_a_calibration_is_not_used_is_told_once() -> None:
    unused = {"calibrated": None, "used": False, "reason": "it is of another machine"}
    assert line_of(unused, a=None, b=None) == [
        "error of this tool at this rate: not known: it is of another machine"
    ]


def test_without_a_calibration_nothing_is_said() -> None:
    assert line_of(None, a=None) == []
