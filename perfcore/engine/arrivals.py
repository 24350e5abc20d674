"""When the iterations of an open model are due: arithmetic without a clock, the same in every worker.

Everything is computed in expected arrivals: the rate's integral over time, in which the arrivals of a constant rate,
of a ramp and of a Poisson process lie evenly, and which is then turned back into time.
"""

import math
import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

# Where rate × duration should have come to a whole number, and floating point missed it.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class RateSpan:
    """The rate goes straight from one value to another, both per second."""

    duration_s: float
    from_rate: float
    to_rate: float

    @property
    def expected(self) -> float:
        return self.duration_s * (self.from_rate + self.to_rate) / 2


class RateCurve:
    """A rate over time, of spans one after the other.

    `expected` is how many arrivals it comes to, `total` how many there are: that number rounded up.
    """

    def __init__(self, spans: Sequence[RateSpan]) -> None:
        self._spans = tuple(spans)
        self.begins_s = [0.0]
        self._before = [0.0]
        for span in spans:
            self.begins_s.append(self.begins_s[-1] + span.duration_s)
            self._before.append(self._before[-1] + span.expected)
        self.duration_s = self.begins_s.pop()
        self.expected = self._before.pop()
        self.total = math.ceil(self.expected - _ROUNDING)

    def rate_at(self, instant_s: float) -> float:
        """Arrivals per second at an instant; 0 outside."""
        if not 0 <= instant_s <= self.duration_s:
            return 0.0
        at = bisect_right(self.begins_s, instant_s) - 1
        span = self._spans[at]
        passed = (instant_s - self.begins_s[at]) / span.duration_s
        return span.from_rate + (span.to_rate - span.from_rate) * passed

    def instant_ns(self, expected: float) -> int:
        """When so many arrivals were to be expected, in nanoseconds from the start; of several instants the last."""
        at = bisect_right(self._before, expected) - 1
        within_s = _within_s(self._spans[at], expected - self._before[at])
        return round((self.begins_s[at] + within_s) * 1e9)


def _within_s(span: RateSpan, expected: float) -> float:
    """The root of r₀·t + (r₁ − r₀)/(2d)·t² = expected, in the form that loses no digits where the rate hardly moves."""
    bend = (span.to_rate - span.from_rate) / (2 * span.duration_s)
    # At the end of a fall to 0 rounding may take it below.
    divisor = span.from_rate + math.sqrt(max(span.from_rate**2 + 4 * bend * expected, 0.0))
    return min(2 * expected / divisor, span.duration_s) if divisor > 0 else 0.0


def constant_arrivals(curve: RateCurve, rank: int = 0, of: int = 1) -> Iterator[int]:
    """Instants in nanoseconds, ascending, the n-th (from 0) when n arrivals were to be expected.

    Of these what worker number `rank` of `of` gets: every `of`-th.
    """
    for number in range(rank, curve.total, of):
        yield curve.instant_ns(number)


def poisson_arrivals(curve: RateCurve, seed: str, rank: int = 0, of: int = 1) -> Iterator[int]:
    """As constant_arrivals, at sorted uniform instants: a Poisson process of which the count is given."""
    for expected in islice(_sorted_uniforms(curve.total, random.Random(seed)), rank, None, of):
        yield curve.instant_ns(expected * curve.expected)


def _sorted_uniforms(count: int, draw: random.Random) -> Iterator[float]:
    """So many uniform numbers in ascending order, one by one: a schedule of any length takes no memory.

    The least of n uniform numbers leaves a share u^(1/n) above it, in which the others are uniform again (Bentley and
    Saxe 1980, "Generating sorted lists of random numbers").
    """
    uniform, above = draw.random, 1.0
    for left in range(count, 0, -1):
        above *= uniform() ** (1 / left)
        yield 1.0 - above
