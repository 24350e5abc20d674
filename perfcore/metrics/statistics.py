"""Ranks and what may be said from how many samples, in integers.

Nearest rank (Hyndman-Fan type 1, numpy's `inverted_cdf`): the q-quantile of n sorted values is the one at rank
ceil(q·n). A percentile is held as a fraction, since 0.999 · 10,000 is 9,990.000000000001 in floats and its
ceiling a rank too high.
"""

import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from statistics import NormalDist

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


def student_quantile(outside: float, degrees: int) -> float:
    """Student's t: so much of the distribution lies further from 0, to both sides together.

    Within 0.1 % from three degrees of freedom on, exact for one and two (Hill 1970, algorithm 396 of the ACM).
    """
    if degrees == 1:
        return 1 / math.tan(outside * math.pi / 2)
    if degrees == 2:
        return math.sqrt(2 / (outside * (2 - outside)) - 2)
    a = 1 / (degrees - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * degrees
    y = (d * outside) ** (2 / degrees)
    if y <= 0.05 + a:
        y = (
            (
                1 / (((degrees + 6) / (degrees * y) - 0.089 * d - 0.822) * (degrees + 2) * 3)
                + 0.5 / (degrees + 4)
            )
            * y
            - 1
        ) * (degrees + 1) / (degrees + 2) + 1 / y
        return math.sqrt(degrees * y)
    x = NormalDist().inv_cdf(outside / 2)
    y = x * x
    if degrees < 5:
        c += 0.3 * (degrees - 4.5) * (x + 0.6)
    c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
    y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
    return math.sqrt(degrees * math.expm1(a * y * y))
