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
from perfcore.report.calibration_plot import ENGINE_NAMES, format_error, plot_lines
from perfcore.report.printable import printable
from perfcore.report.sheet import Cell, Column, Sheet
from perfcore.units import format_ms

_NOTHING = "–"
_STYLES = {"valid": "", "suspect": "yellow", "invalid": "red"}
_COLUMNS = (
    Column("rate"),
    Column("held p50", drop=2),
    Column("held p99"),
    Column("error p50"),
    Column("error p99"),
    Column("lag p99", drop=3),
    Column("client delay p99", drop=1),
    Column("busy", drop=5),
    Column("waited", drop=4),
    Column("verdict", left=True),
)
_LIMIT = (
    f"safe: the error of p99 is at most {SMALL_SHARE_OF_P99:.0%} of it or {format_ms(SMALL_ERROR_MS)}, "
    "here and at all lower rates"
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
            *sheet.sentence("error: perfcore's percentile of response time less the target's own", "dim"),
            *sheet.sentence(_LIMIT, "dim"),
        ],
        *(_engine_lines(name, engine, sheet) for name, engine in calibration.engines.items()),
        plot_lines(calibration, sheet),
        [f"{sheet.paint('Calibration', 'bold')}  {printable(str(place))}"],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks) + "\n"


def _engine_lines(name: str, engine: EngineCalibration, sheet: Sheet) -> list[str]:
    safe = engine.safe_rate
    told = "no rate was safe" if safe is None else f"safe up to {_rate(safe)} a worker"
    if safe == engine.highest_rate:
        told += " or more: the target can do no more"
    title = sheet.title(
        ENGINE_NAMES[name], f"{told} · one worker attained {_rate(engine.capacity)} · {engine.calibrated}"
    )
    table = sheet.table(_COLUMNS, [list(_cells(rung)) for rung in engine.rungs])
    return [title, *table, *([] if engine.is_quiet else sheet.sentence(_NOT_QUIET, "yellow"))]


def _cells(rung: Rung) -> Iterator[Cell]:
    yield Cell(_rate(rung.rate))
    yield Cell(format_ms(rung.truth_p50_ms))
    yield Cell(format_ms(rung.truth_p99_ms))
    yield Cell(format_error(rung.p50_error_ms))
    yield Cell(format_error(rung.p99_error_ms), "" if rung.is_safe else "red")
    for figure in (rung.lag_p99_ms, rung.client_delay_p99_ms):
        yield Cell(_NOTHING if figure is None else format_ms(figure))
    for percent in (rung.busy_percent, rung.waited_percent):
        yield Cell(_NOTHING if percent is None else f"{percent:.1f} %")
    yield Cell(rung.verdict, _STYLES[rung.verdict])


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f}/s" if per_s >= 10 else f"{per_s:,.3g}/s"
