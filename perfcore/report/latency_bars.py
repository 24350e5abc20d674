"""The response-time distribution as bars: the histogram of the document, merged into a few readable classes.

The document's scheme `log-linear-1024`: a cell's index is (octave << 10) + sub-bucket, its lower bound
2**(index // 1024 - 20) * (1 + (index % 1024) / 1024) seconds; a cell is at most 0.1 % wide. The classes have
round bounds, evenly spaced where the times lie close together and in steps of equal ratio where they do not.
A cell counts in the class that its middle lies in.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SCHEME = "log-linear-1024"
MOST_BARS = 12
_EIGHTHS = " ▏▎▍▌▋▊▉"
_HEIGHTS = "▁▂▃▄▅▆▇█"
_CLOSE_TOGETHER = 3.0  # below this ratio of longest to shortest, even steps read better than ratios
_FINEST_STEP = 0.01  # of the longest: labels have three digits
_STEPS = (1.0, 2.0, 2.5, 5.0)
_RATIOS: Sequence[Sequence[float]] = (
    (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0),
    (1.0, 1.5, 2.0, 3.0, 5.0, 7.0),
    (1.0, 2.0, 5.0),
    (1.0, 3.0),
    (1.0,),
)


class Bar(NamedTuple):
    low_s: float
    high_s: float
    requests: int


def cell_bound_s(index: int) -> float:
    """The lower bound of a histogram cell, in seconds."""
    return float(2.0 ** (index // 1024 - 20) * (1 + (index % 1024) / 1024))


def merged(histogram: Mapping[str, Any] | None, bounds: Sequence[float] | None = None) -> list[Bar]:
    """At most MOST_BARS classes from the shortest to the longest time, or those between `bounds`.

    Empty without a sample or for a scheme that is not known here.
    """
    cells = _cells(histogram)
    if not cells:
        return []
    if bounds is None:
        bounds = round_bounds(*_span(cells))
    counts = [0] * (len(bounds) - 1)
    for index, count in cells:
        middle = (cell_bound_s(index) + cell_bound_s(index + 1)) / 2
        counts[min(max(bisect_right(bounds, middle) - 1, 0), len(counts) - 1)] += count
    return [Bar(low, high, count) for low, high, count in zip(bounds, bounds[1:], counts, strict=False)]


def common_bounds(histograms: Sequence[Mapping[str, Any] | None], most: int = MOST_BARS) -> list[float]:
    """Round bounds that hold all of these histograms; empty when none has a sample."""
    spans = [_span(cells) for histogram in histograms if (cells := _cells(histogram))]
    if not spans:
        return []
    return round_bounds(min(low for low, _ in spans), max(high for _, high in spans), most)


def round_bounds(low: float, high: float, most: int = MOST_BARS) -> list[float]:
    """Ascending bounds of at most `most` classes with low in the first and high in the last."""
    if high / low < _CLOSE_TOGETHER:
        exponent = math.floor(math.log10(max((high - low) / most, high * _FINEST_STEP)))
        for power in (exponent, exponent + 1, exponent + 2):
            for step in (factor * 10.0**power for factor in _STEPS):
                first, last = math.floor(low / step), math.ceil(high / step)
                if last - first <= most and step >= high * _FINEST_STEP * 0.999:
                    # 19 × 0.05 is 0.9500000000000001, and would leave 0.95 out.
                    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for ratios in _RATIOS:
        series = [ratio * 10.0**decade for decade in decades for ratio in ratios]
        bounds = series[bisect_right(series, low) - 1 :]
        bounds = bounds[: next((i for i, bound in enumerate(bounds) if bound >= high), len(bounds) - 1) + 1]
        if len(bounds) - 1 <= most:
            return bounds
    return [bounds[0], *bounds[-most:]]


def bar(count: int, most: int, width: int) -> str:
    """A horizontal bar, `width` cells for `most`; whatever is not nothing can be seen."""
    eighths = max(round(8 * width * count / most), 1) if count and most else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def sparkline(counts: Sequence[int]) -> str:
    """One character a class, as high as its count against the largest; blank where there is nothing."""
    most = max(counts, default=0)
    return "".join(_HEIGHTS[min(count * 8 // most, 7)] if count else " " for count in counts)


def _cells(histogram: Mapping[str, Any] | None) -> list[tuple[int, int]]:
    if not histogram or histogram.get("scheme") != SCHEME:
        return []
    pairs = zip(histogram["index"], histogram["count"], strict=False)
    return [(index, count) for index, count in pairs if count > 0]


def _span(cells: Sequence[tuple[int, int]]) -> tuple[float, float]:
    indexes = [index for index, _ in cells]
    return cell_bound_s(min(indexes)), cell_bound_s(max(indexes) + 1)
