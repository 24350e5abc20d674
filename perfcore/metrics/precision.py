"""Stopping when a percentile is known well enough: looks at fixed times, at a level corrected for their number.

Who looks at a 95 % interval again and again and stops when it is short enough finds the truth outside of it more often
than one time in twenty. With K looks each is taken at 1 − 0.05/K (Bonferroni), so that all of them hold with 95 %.
Looks lie in a geometric series: what they cost in level is then the same share of any run.
"""

import math
from dataclasses import dataclass

from perfcore.metrics.confidence import Confidence
from perfcore.suite.measured_time import FIRST_LOOK_S

_RATIO = 1.25
_MISSES = 0.05


def look_times_s(span_s: float, first_s: float = FIRST_LOOK_S) -> list[float]:
    """Times at which to look, of a load that lasts so long at most; none where it is shorter than the first."""
    looks = []
    at_s = first_s
    while at_s < span_s:
        looks.append(at_s)
        at_s *= _RATIO
    return looks


def precision_level(looks: int) -> float:
    """The level of the interval at each of so many looks."""
    return 1 - _MISSES / max(1, looks)


@dataclass(frozen=True, slots=True)
class Precision:
    """How well a percentile is known: its interval reaches so far to the further side, as a share of the value.

    None where there is no interval yet; `times_longer` then says how many times longer the run has to be for one.
    """

    share: float | None
    times_longer: float | None

    @classmethod
    def of(cls, known: Confidence, value_ns: float) -> "Precision":
        if known.low_ns is None or known.high_ns is None or value_ns <= 0:
            return cls(None, known.times_longer)
        return cls(max(known.high_ns - value_ns, value_ns - known.low_ns) / value_ns, None)

    def left_s(self, wanted: float, elapsed_s: float) -> float | None:
        """How much longer it takes to the wanted share, as intervals shrink with the root of the time."""
        if self.share is not None:
            longer = (self.share / wanted) ** 2
        elif self.times_longer is not None:
            longer = self.times_longer
        else:
            return None
        return elapsed_s * max(0.0, longer - 1) if math.isfinite(longer) else None
