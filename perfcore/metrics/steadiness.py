"""When a system had warmed up, and whether it then held still.

The cut is MSER-5 (White 1997; Spratt 1998): of all beginnings that may be left out, the one after which the mean of
five-second averages is known best. Noise alone has such a beginning as well, so it is cut only where its mean lies
further from that of the rest than chance puts it (Student's t): without this, four steady runs in five lost some
seconds, and of those of a minute one in five lost half.

The drift is the Theil-Sen slope with Sen's interval from Kendall's variance (Sen 1968), wider where neighbouring
seconds are alike (Hamed and Rao 1998): of steady minutes whose seconds correlate by 0.8 a third was told to drift.

Both work on figures of whole seconds, or of longer slices where a run is so long.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics.statistics import student_quantile

BATCH = 5
_FEWEST_BATCHES = 4
# Of fewer values no beginning is cut.
FEWEST_TO_CUT = _FEWEST_BATCHES * BATCH
# How often chance may make a beginning look like a warm-up. More finds fainter ones, and more that are none.
_BY_CHANCE = 0.002
# First seconds that differ by more than this factor are left out even where so few follow that it may be chance:
# to measure less costs precision, and to measure a start as well gives wrong figures.
_TOLD_FACTOR = 1.5
# Means of equal values differ by so much at most; percentiles of a time line are often equal ones.
_ROUNDING = 1e-9
# A change over the measured time of more than this share of the level is told.
DRIFT_TOLD = 0.05
FEWEST_POINTS = 10
# Slopes of all pairs are looked at: of more points neighbours are averaged first.
_MOST_POINTS = 120
_NORMAL_95 = 1.959964
# The correlation of neighbours beyond which a trend and slow noise cannot be told apart anyway.
_MOST_ALIKE = 0.95

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seconds:
    """What each second of a test was like; arrays of one entry a second, `length_s` of them where a slice is longer.

    Percentiles in milliseconds, NaN where nothing was measured.
    """

    length_s: float
    requests: Floats
    p50_ms: Floats
    p99_ms: Floats

    def since(self, first: int) -> "Seconds":
        return Seconds(self.length_s, self.requests[first:], self.p50_ms[first:], self.p99_ms[first:])


@dataclass(frozen=True, slots=True)
class Drift:
    """The change of a figure over the measured time, as a share of its level, with its 95 % interval."""

    change: float
    low: float
    high: float

    @property
    def is_told(self) -> bool:
        return abs(self.change) > DRIFT_TOLD and not self.low <= 0 <= self.high


def mser5(values: Floats, told: float = math.inf) -> int:
    """How many values to leave out at the beginning: a multiple of five, at most half of them.

    A beginning has to differ from the rest by more than chance explains, or its first five by more than `told`.
    """
    if values.size < FEWEST_TO_CUT:
        return 0
    batches = values.size // BATCH
    means = values[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    left_out = np.arange(batches // 2 + 1)
    errors = [float(((means[at:] - means[at:].mean()) ** 2).sum()) / (batches - at) ** 2 for at in left_out]
    at = int(np.argmin(errors))
    return at * BATCH if at and _differ(means[:at], means[at:], told) else 0


def _differ(beginning: Floats, rest: Floats, told: float) -> bool:
    """Whether their means are further apart than the rest's own spread explains; the beginning may have a trend."""
    before, after = float(beginning.mean()), float(rest.mean())
    if math.isclose(before, after, rel_tol=_ROUNDING, abs_tol=_ROUNDING):
        return False
    spread = float(rest.std(ddof=1)) * math.sqrt(1 / beginning.size + 1 / rest.size)
    by_chance = student_quantile(_BY_CHANCE, rest.size - 1) * spread
    return abs(before - after) > by_chance or abs(float(beginning[0]) - after) > told


def warmup_seconds(seconds: Seconds) -> int:
    """The largest cut of log p50, log p99 and throughput, in entries."""
    logs = (
        np.log(filled(figure)) for figure in (seconds.p50_ms, seconds.p99_ms) if np.isfinite(figure).any()
    )
    cuts = [mser5(values, math.log(_TOLD_FACTOR)) for values in logs]
    return max(*cuts, mser5(seconds.requests), 0)


def drift(values: Floats) -> Drift | None:
    """Of figures in equal steps of time; None where they are too few to say, or all are 0."""
    known = values[np.isfinite(values)]
    if known.size < FEWEST_POINTS:
        return None
    known = _averaged(known)
    level = float(np.median(known))
    if level <= 0:
        return None
    count = known.size
    first, second = np.triu_indices(count, 1)
    slopes = np.sort((known[second] - known[first]) / (second - first))
    slope = float(np.median(slopes))
    # Kendall's S has this variance without a trend, and an interval of the slope ends where S would be so large.
    variance = count * (count - 1) * (2 * count + 5) / 18
    reach = _NORMAL_95 * math.sqrt(variance * _inflation(known))
    low = max(0, math.floor((slopes.size - reach) / 2))
    high = min(slopes.size - 1, math.ceil((slopes.size + reach) / 2))
    span = (count - 1) / level
    return Drift(slope * span, float(slopes[low]) * span, float(slopes[high]) * span)


def _inflation(values: Floats) -> float:
    """How many times the variance of Kendall's S is that of independent values.

    Taken for a first-order autoregression of the ranks, around a parabola: what a warm-up leaves of a straight line is
    alike as well, and would hide it. Of few values the coefficient is found too low, and put right by as much.
    """
    count = values.size
    _, at, ties = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[at]
    time = np.linspace(-1, 1, count)
    rest = ranks - np.polynomial.polynomial.polyval(time, np.polynomial.polynomial.polyfit(time, ranks, 2))
    squares = float((rest * rest).sum())
    if squares < _ROUNDING:
        return 1.0
    found = float((rest[1:] * rest[:-1]).sum()) / squares
    alike = min(max((count * found + 3) / (count - 5), 0.0), _MOST_ALIKE)
    lags = np.arange(1, count)
    weights = (count - lags) * (count - lags - 1) * (count - lags - 2)
    return 1 + 2 / (count * (count - 1) * (count - 2)) * float((weights * alike**lags).sum())


def _averaged(values: Floats) -> Floats:
    each = -(-values.size // _MOST_POINTS)
    whole = values.size // each * each
    averages: Floats = values[:whole].reshape(-1, each).mean(axis=1)
    return averages


def filled(values: Floats) -> Floats:
    """With the value before it, else the one after it, where there is none."""
    known = np.flatnonzero(np.isfinite(values))
    nearest = known[np.maximum(np.searchsorted(known, np.arange(values.size), side="right") - 1, 0)]
    whole: Floats = values[nearest]
    return whole
