"""Ratios of two programs that ran in turn, and how well they are known.

Speed on a shared machine drifts within minutes by more than the programs differ, so each is compared only with the
run beside it: A B, B A, A B … (ABBA), and a pair gives one number, the logarithm of the two costs' ratio. The mean of
those, with Student's t interval, is a geometric mean ratio; drift that is linear over two pairs cancels.
"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Entrant = TypeVar("Entrant")
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A geometric mean with the bounds of its interval; `low` and `high` are None for a single value."""

    mean: float
    low: float | None
    high: float | None
    count: int

    @classmethod
    def of_logarithms(cls, logarithms: Sequence[float], confidence: float = CONFIDENCE) -> "Estimate":
        """ValueError without any value."""
        count = len(logarithms)
        if count == 0:
            raise ValueError("an estimate of no values")
        centre = math.fsum(logarithms) / count
        if count == 1:
            return cls(math.exp(centre), None, None, 1)
        half = student_t(confidence, count - 1) * statistics.stdev(logarithms) / math.sqrt(count)
        return cls(math.exp(centre), math.exp(centre - half), math.exp(centre + half), count)


def geometric_mean(values: Sequence[float]) -> Estimate:
    """Of positive values."""
    return Estimate.of_logarithms([math.log(value) for value in values])


def paired_ratio(values: dict[int, float], references: dict[int, float]) -> Estimate | None:
    """Of values by block to references of the same blocks; None where they share no block."""
    shared = sorted(values.keys() & references.keys())
    if not shared:
        return None
    return Estimate.of_logarithms([math.log(values[block] / references[block]) for block in shared])


def in_turn(
    main: Sequence[Entrant], others: Sequence[Entrant], pairs: int, other_runs: int
) -> Iterator[tuple[int, Entrant]]:
    """Block and entrant of each run: `main` in every block, forwards and backwards by turns.

    `others` run in the first `other_runs` of blocks spread evenly over all, after the main ones.
    """
    other_runs = min(other_runs, pairs)
    blocks_of_others = {at * pairs // other_runs for at in range(other_runs)} if other_runs else set()
    for block in range(pairs):
        order = list(main) if block % 2 == 0 else list(reversed(main))
        yield from ((block, entrant) for entrant in order)
        if block in blocks_of_others:
            yield from ((block, entrant) for entrant in others)


def student_t(confidence: float, freedom: int) -> float:
    """The two-sided quantile: |T| stays below it with this probability; `freedom` from 1 up."""
    low, high = 0.0, 1.0
    while student_probability(high, freedom) < confidence:
        low, high = high, high * 2
    for _ in range(80):
        middle = (low + high) / 2
        if student_probability(middle, freedom) < confidence:
            low = middle
        else:
            high = middle
    return high


def student_probability(t: float, freedom: int) -> float:
    """P(|T| < t), by the finite sums for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2 == 1
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for power in range(1 if odd else 0, freedom - 1, 2):
        total += term
        term *= cosine * cosine * (power + 1) / (power + 2)
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total
