"""How well a percentile of one run is known, though neighbouring requests are alike.

Samples of one run are correlated in time: a queue that is long now stays long for a while. The plain binomial interval
takes them for independent and covered the true p99 of a server at 80 % load 18 times in 100 instead of 95. So the run
is cut into equal parts of time, and how the number of exceedances varies from part to part says how many independent
samples there really were (a ratio estimator over batches; Conway 1963, Cochran 1977, chapter 6).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics.histogram import Distribution
from perfcore.metrics.statistics import enough_exceedances, student_quantile
from perfcore.metrics.timeline import Timeline

MOST_PARTS = 30
# With fewer parts their variation says nothing.
FEWEST_PARTS = 5
LEVEL = 0.95
# Effective exceedances from which an interval is told, and from which it is called good.
FEWEST_EFFECTIVE = 10
GOOD_FROM = 50
Quality = Literal["good", "fair", "poor", "too_few"]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Confidence:
    """The interval of a percentile in nanoseconds, None where it would say nothing.

    `effective` is how many independent samples lie beyond the percentile, `times_longer` how many times longer the run
    would have to be for an interval; None where it has one.
    """

    low_ns: float | None
    high_ns: float | None
    quality: Quality
    effective: float
    times_longer: float | None


def confidence(
    distribution: Distribution,
    timeline: Timeline,
    quantile: Fraction,
    from_ns: int = 0,
    *,
    level: float = LEVEL,
) -> Confidence | None:
    """Of a quantile of these samples, of which the timeline holds the same ones; None without any.

    `from_ns`: how long after the start of the timeline the samples begin; `level`: of the interval, 0 to 1.
    """
    count = distribution.count
    if not count:
        return None
    beyond = float(1 - quantile)
    inflation = variance_inflation(*timeline.exceedances(quantile, MOST_PARTS, from_ns))
    effective = count * beyond / inflation
    if not enough_exceedances(count, quantile):
        return Confidence(None, None, "too_few", effective, FEWEST_EFFECTIVE / effective)
    if effective < FEWEST_EFFECTIVE:
        return Confidence(None, None, "poor", effective, FEWEST_EFFECTIVE / effective)
    parts = timeline.parts(MOST_PARTS, from_ns)
    if parts < FEWEST_PARTS:
        return Confidence(None, None, "poor", effective, FEWEST_PARTS / max(parts, 1))
    t = student_quantile(1 - level, parts - 1)
    half = t * math.sqrt(inflation * count * float(quantile) * beyond)
    middle = count * float(quantile)
    low, high = max(1, math.floor(middle - half)), min(count, math.ceil(middle + half) + 1)
    return Confidence(
        distribution.value_at_rank_ns(low),
        distribution.value_at_rank_ns(high),
        "good" if effective >= GOOD_FROM else "fair",
        effective,
        None,
    )


def variance_inflation(samples: Integers, exceedances: Integers) -> float:
    """How many times the variance of the share beyond a threshold is that of independent samples; at least 1.

    Both arrays have one entry a part of the run, shape (parts,).
    """
    total, beyond = int(samples.sum()), int(exceedances.sum())
    parts = int(np.count_nonzero(samples))
    if parts < FEWEST_PARTS or not 0 < beyond < total:
        return 1.0
    share = beyond / total
    squares = float(((exceedances - share * samples) ** 2).sum())
    variance = parts / (parts - 1) * squares / total**2
    return max(1.0, variance * total / (share * (1 - share)))
