"""Ranks and what may be said from how many samples, in integers.

Nearest rank (Hyndman-Fan type 1, numpy's `inverted_cdf`): the q-quantile of n sorted values is the one at rank
ceil(q·n). A percentile is held as a fraction, since 0.999 · 10,000 is 9,990.000000000001 in floats and its
ceiling a rank too high.
"""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

# Shown whenever there is a sample; further ones only when at least this many samples lie beyond them.
STANDARD_PERCENTILES = (50.0, 90.0, 95.0, 99.0)
FURTHER_PERCENTILES = (99.9,)
MIN_EXCEEDANCES = 10


def quantile_fraction(percentile: float) -> Fraction:
    """99.9 → 999/1000, exactly as written."""
    return Fraction(Decimal(str(percentile))) / 100


def nearest_rank(count: int, quantile: Fraction) -> int:
    """The 1-based rank of the quantile among `count` sorted values; at least 1."""
    return max(1, -(-quantile.numerator * count // quantile.denominator))


def enough_exceedances(count: int, quantile: Fraction) -> bool:
    """Whether n·(1−q) ≥ 10, the least for saying a percentile at all beyond the usual ones."""
    beyond = quantile.denominator - quantile.numerator
    return count * beyond >= MIN_EXCEEDANCES * quantile.denominator


def percentile_key(percentile: float) -> str:
    """The key in a result: 99 → `p99`, 99.9 → `p99_9`."""
    text = format(Decimal(str(percentile)).normalize(), "f")
    return "p" + text.replace(".", "_")


def all_percentiles(further: Iterable[float]) -> list[float]:
    """The usual percentiles with those that a test asks for, ascending and each once."""
    return sorted({*STANDARD_PERCENTILES, *FURTHER_PERCENTILES, *further})
