"""Error against rate, drawn: with characters for a terminal, as SVG for a file.

The rate has a logarithmic axis. Errors may be tens of microseconds and, where the server is at its limit, tens of
milliseconds, of either sign: their axis is straight up to about the limit of what is small, and logarithmic beyond
(asinh).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from perfcore.metrics.calibration import SMALL_ERROR_MS, SMALL_SHARE_OF_P99, Calibration, EngineCalibration
from perfcore.report.sheet import Sheet, pad
from perfcore.units import format_ms

ENGINE_NAMES = {"wire": "wire path", "transfer": "libcurl transfers"}
_MARKS = {"wire": "●", "transfer": "○"}
_BOTH = "◉"
_COLORS = {"wire": "#1f6fb4", "transfer": "#c8551b"}
_ROWS, _MOST_COLUMNS, _LABEL_WIDTH = 13, 72, 8
_STEPS_MS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 520, 100, 20, 76, 110
_DASHED, _DOTTED = ' stroke-dasharray="4 4"', ' stroke-dasharray="2 3"'
_SMALL_COLOR = "#2a8a2a"
_WHAT_IS_SHOWN = (
    "error = perfcore's percentile of response time − the target's own: above 0 perfcore tells too much"
)


@dataclass(frozen=True, slots=True)
class Axes:
    """From rates and errors to shares of the plot's width and height, 0 to 1."""

    lowest: float
    highest: float
    """Rates."""
    least_ms: float
    most_ms: float

    def across(self, rate: float) -> float:
        return math.log(rate / self.lowest) / math.log(self.highest / self.lowest)

    def up(self, error_ms: float) -> float:
        least, most = _bent(self.least_ms), _bent(self.most_ms)
        return (_bent(error_ms) - least) / (most - least)

    @property
    def rate_ticks(self) -> list[float]:
        """One, two and five of each decade, the powers of ten first: where there is no room, those stay."""
        decades = range(math.floor(math.log10(self.lowest)), math.ceil(math.log10(self.highest)) + 1)
        ticks = [factor * 10.0**decade for factor in (1, 5, 2) for decade in decades]
        return [tick for tick in ticks if self.lowest <= tick <= self.highest]

    @property
    def error_ticks(self) -> list[float]:
        """Round values, ascending, 0 among them."""
        steps = [*(-step for step in reversed(_STEPS_MS)), 0.0, *_STEPS_MS]
        return [step for step in steps if self.least_ms <= step <= self.most_ms]


def _bent(error_ms: float) -> float:
    return math.asinh(error_ms / SMALL_ERROR_MS)


def axes_of(engines: Sequence[EngineCalibration]) -> Axes:
    """Such that all points lie inside, with 0 and the limit of a small error."""
    rungs = [rung for engine in engines for rung in engine.rungs]
    rates = [rung.rate for rung in rungs]
    errors = [error for rung in rungs for error in (rung.p50_error_ms, rung.p99_error_ms)]
    lowest, highest = min(rates), max(rates)
    return Axes(
        lowest / 1.1, highest * 1.1, min(0.0, *errors) * 1.1, max(SMALL_ERROR_MS * 4 / 3, *errors) * 1.1
    )


# -- with characters ------------------------------------------------------------------------------------------


def plot_lines(calibration: Calibration, sheet: Sheet) -> list[str]:
    """The error of p99, a mark for each rate that was measured."""
    axes = axes_of(list(calibration.engines.values()))
    columns = max(min(sheet.width - _LABEL_WIDTH - 4, _MOST_COLUMNS), 20)
    grid = [[" "] * columns for _ in range(_ROWS)]
    limit = _row(axes, SMALL_ERROR_MS)
    grid[limit] = ["┄"] * columns
    for name, engine in calibration.engines.items():
        for rung in engine.rungs:
            row, column = _row(axes, rung.p99_error_ms), round(axes.across(rung.rate) * (columns - 1))
            taken = grid[row][column] in _MARKS.values()
            grid[row][column] = _BOTH if taken else _MARKS[name]
    labels = {_row(axes, tick): format_error(tick) for tick in axes.error_ticks}
    # The limit is told even where a tick would have its row, and 0 always.
    labels |= {limit: format_error(SMALL_ERROR_MS), _row(axes, 0.0): "0"}
    legend = "   ".join(f"{_MARKS[name]} {ENGINE_NAMES[name]}" for name in calibration.engines)
    lines = [sheet.title("Error of p99 against the rate of a worker", legend)]
    for at, cells in enumerate(grid):
        label = pad(labels.get(at, ""), _LABEL_WIDTH, left=False)
        lines.append(f"  {label} {'┤' if at in labels else '│'}{''.join(cells)}".rstrip())
    lines.append(f"  {' ' * _LABEL_WIDTH} └{'─' * columns}")
    lines.append(f"  {' ' * (_LABEL_WIDTH + 2)}{_rate_labels(axes, columns)}".rstrip())
    return lines


def _row(axes: Axes, error_ms: float) -> int:
    return _ROWS - 1 - round(axes.up(error_ms) * (_ROWS - 1))


def _rate_labels(axes: Axes, columns: int) -> str:
    line = " " * columns
    for tick in axes.rate_ticks:
        text = f"{tick:,.10g}/s"
        start = min(max(round(axes.across(tick) * (columns - 1)) - len(text) // 2, 0), columns - len(text))
        if not line[max(start - 1, 0) : start + len(text) + 1].strip():
            line = line[:start] + text + line[start + len(text) :]
    return line


def rate_words(per_s: float) -> str:
    """`5,000/s`"""
    return f"{per_s:,.0f}/s" if per_s >= 10 else f"{per_s:,.3g}/s"


def safe_words(engine: EngineCalibration) -> str:
    """Up to which rate the error is small."""
    safe = engine.safe_rate
    if safe is None:
        return "no rate was safe"
    more = " or more: the target can do no more" if safe == engine.highest_rate else ""
    return f"safe up to {rate_words(safe)} a worker{more}"


def format_error(error_ms: float) -> str:
    """`+0.082ms`, `0`"""
    if not error_ms:
        return "0"
    return f"{'+' if error_ms > 0 else '-'}{format_ms(abs(error_ms))}"


# -- as SVG ---------------------------------------------------------------------------------------------------


def plot_svg(calibration: Calibration) -> str:
    """A whole SVG document: of each engine the error of p99, and dashed that of p50."""
    axes = axes_of(list(calibration.engines.values()))
    whose = calibration.fingerprint
    subtitle = ", ".join(
        (
            whose["cpu_model"],
            f"Linux {whose['kernel']}",
            f"perfcore {whose['perfcore_version']}",
            calibration.calibrated,
        )
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, "Error of this tool against the rate of a worker", 'font-size="15"'),
        _text(_LEFT, 40, subtitle, 'fill="#666"'),
        _text(_LEFT, 56, _WHAT_IS_SHOWN, 'fill="#666"'),
        *_grid(axes),
    ]
    for name, engine in calibration.engines.items():
        # Drawn the other way round, p50 would hide the error that decides.
        for figure, dash in (("p50_error_ms", _DASHED), ("p99_error_ms", "")):
            points = [_place(axes, rung.rate, getattr(rung, figure)) for rung in engine.rungs]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            color = _COLORS[name]
            parts.append(f'<polyline points="{line}" fill="none" stroke="{color}"{dash}/>')
            fill = "white" if dash else color
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{fill}" stroke="{color}"/>' for x, y in points
            ]
    return "\n".join([*parts, *_legend(calibration), "</svg>", ""])


def _legend(calibration: Calibration) -> Iterator[str]:
    """Below the plot: of each engine both kinds of line, and up to which rate it is safe."""
    y = _HEIGHT - _BOTTOM + 64.0
    for name, engine in calibration.engines.items():
        color = _COLORS[name]
        yield _line(_LEFT, y - 4, _LEFT + 30, y - 4, color)
        yield _text(_LEFT + 36, y, "p99", f'fill="{color}"')
        yield _line(_LEFT + 70, y - 4, _LEFT + 100, y - 4, color, _DASHED)
        yield _text(_LEFT + 106, y, "p50", f'fill="{color}"')
        yield _text(_LEFT + 140, y, f"{ENGINE_NAMES[name]}: {safe_words(engine)}", f'fill="{color}"')
        y += 18
    yield _line(_LEFT, y - 4, _LEFT + 30, y - 4, _SMALL_COLOR, _DOTTED)
    limit = f"{format_error(SMALL_ERROR_MS)}, or {SMALL_SHARE_OF_P99:.0%} of p99 where that is more"
    yield _text(_LEFT + 36, y, f"small: p99 up to here ({limit})", f'fill="{_SMALL_COLOR}"')


def _place(axes: Axes, rate: float, error_ms: float) -> tuple[float, float]:
    x = _LEFT + axes.across(rate) * (_WIDTH - _LEFT - _RIGHT)
    return x, _HEIGHT - _BOTTOM - axes.up(error_ms) * (_HEIGHT - _TOP - _BOTTOM)


def _grid(axes: Axes) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for tick in axes.error_ticks:
        y = _place(axes, axes.lowest, tick)[1]
        yield _line(_LEFT, y, right, y, "#333" if tick == 0 else "#ddd")
        yield _text(_LEFT - 8, y + 4, format_error(tick), 'text-anchor="end"')
    y = _place(axes, axes.lowest, SMALL_ERROR_MS)[1]
    yield _line(_LEFT, y, right, y, _SMALL_COLOR, _DOTTED)
    for tick in axes.rate_ticks:
        x = _place(axes, tick, 0.0)[0]
        yield _line(x, _TOP, x, bottom, "#ddd")
        yield _text(x, bottom + 18, f"{tick:,.10g}", 'text-anchor="middle"')
    middle = (_LEFT + right) / 2
    yield _text(middle, bottom + 38, "rate of one worker, requests a second", 'text-anchor="middle"')
    up = (_TOP + bottom) / 2
    yield _text(18, up, "error", f'text-anchor="middle" transform="rotate(-90 18 {up:.0f})"')


def _line(x1: float, y1: float, x2: float, y2: float, color: str, more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"{more}/>'


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(text)}</text>'
