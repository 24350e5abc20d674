"""What `perfcore calibrate` shows: a table for each engine, the plot, and up to which rate the error is small."""

from collections.abc import Iterator
from pathlib import Path

from perfcore.metrics.calibration import (
    SMALL_ERROR_MS,
    SMALL_SHARE_OF_P99,
    Calibration,
    EngineCalibration,
    Rung,
)
from perfcore.report.calibration_plot import ENGINE_NAMES, format_error, plot_lines, rate_words, safe_words
from perfcore.report.printable import printable
from perfcore.report.sheet import Cell, Column, Sheet
from perfcore.units import format_ms

_NOTHING = "–"
_STYLES = {"valid": "", "suspect": "yellow", "invalid": "red"}
_COLUMNS = (
    Column("rate of a worker"),
    Column("held p50", drop=2),
    Column("held p99", drop=6),
    Column("error p50"),
    Column("error p99"),
    Column("safe", left=True),
    Column("lag p99", drop=3),
    Column("client delay p99", drop=1),
    Column("busy", drop=5),
    Column("waited", drop=4),
    Column("validity", left=True),
)
_MEANINGS = (
    "held: how long the target held the requests, which is the truth; error: perfcore's percentile of response time "
    "less that, so + is too long",
    f"safe: the error of p99 is small, at most {SMALL_SHARE_OF_P99:.0%} of held p99 or {format_ms(SMALL_ERROR_MS)}, at "
    "this rate and at all lower ones; only here: at a lower one it is not",
    "lag: how late requests were started; client delay: how long answers waited to be read; busy: how much of a core "
    "the worker used; waited: how much of the time for a core that something else had",
    "validity: what a run at this rate says of itself, by signals like lag and not by the error, which it does not "
    "know: valid, suspect (look at the signals) or invalid (not to be trusted)",
)
_BELOW_THE_PLOT = (
    f"┄ where the error becomes larger than {format_ms(SMALL_ERROR_MS)}; ◉ marks of both engines; + is too long; both "
    "axes are logarithmic, that of the error from about ┄ on"
)

_NOT_QUIET = (
    "other programs used this machine meanwhile (waited: for a core, at the lowest rate too), and their part is "
    "in these errors: calibrate again when it is quiet"
)


def calibration_text(calibration: Calibration, place: Path, sheet: Sheet) -> str:
    """All of it, ending with a newline."""
    whose = calibration.fingerprint
    software = " · ".join(
        (
            f"{whose['cpu_cores']} × {whose['cpu_model']}",
            f"perfcore {whose['perfcore_version']}",
            f"Python {whose['python_version']}",
            f"libcurl {whose['libcurl']}",
            f"Linux {whose['kernel']}",
        )
    )
    blocks = [
        [
            sheet.title("Error of this tool here, by the rate of one worker"),
            *sheet.sentence(software, "dim"),
        ],
        *(_engine_lines(name, engine, sheet) for name, engine in calibration.engines.items()),
        [line for meaning in _MEANINGS for line in sheet.sentence(meaning, "dim", rest="    ")],
        [*plot_lines(calibration, sheet), *sheet.sentence(_BELOW_THE_PLOT, "dim")],
        [f"{sheet.paint('Calibration', 'bold')}  {printable(str(place))}"],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


def _engine_lines(name: str, engine: EngineCalibration, sheet: Sheet) -> list[str]:
    told = safe_words(engine)
    title = sheet.title(
        ENGINE_NAMES[name],
        f"{told} · one worker attained {rate_words(engine.capacity)} · {engine.calibrated}",
    )
    table = sheet.table(_COLUMNS, [list(_cells(rung, engine.safe_rate)) for rung in engine.rungs])
    return [title, *table, *([] if engine.is_quiet else sheet.sentence(_NOT_QUIET, "yellow"))]


def _cells(rung: Rung, safe_rate: float | None) -> Iterator[Cell]:
    yield Cell(rate_words(rung.rate))
    yield Cell(format_ms(rung.truth_p50_ms))
    yield Cell(format_ms(rung.truth_p99_ms))
    yield Cell(format_error(rung.p50_error_ms))
    yield Cell(format_error(rung.p99_error_ms), "" if rung.is_safe else "red")
    if rung.is_safe:
        yield Cell("yes" if safe_rate is not None and rung.rate <= safe_rate else "only here")
    else:
        yield Cell("no", "red")
    for figure in (rung.lag_p99_ms, rung.client_delay_p99_ms):
        yield Cell(_NOTHING if figure is None else format_ms(figure))
    for percent in (rung.busy_percent, rung.waited_percent):
        yield Cell(_NOTHING if percent is None else f"{percent:.1f} %")
    yield Cell(rung.verdict, _STYLES[rung.verdict])
