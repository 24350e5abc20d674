"""How long requests were held, as a distribution that stays small: what a client's percentiles are checked against.

Log-linear: 1,024 buckets an octave, whole nanoseconds below 2,048 ns. A bucket is at most 0.0977 % wide and told by
its middle, so a percentile is right to 0.049 %; count, minimum and maximum are exact.
"""

# Parts of 1,000, so that a rank is whole numbers: 99.9 % of 10,000 is rank 9,990.
_PERMILLE = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99_9": 999}
_BITS = 10


class HeldTimes:
    """Since the start or the last `reset`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._counts: dict[int, int] = {}
        self._count = self._stamped = 0
        self._min_ns: int | None = None
        self._max_ns: int | None = None

    def add(self, held_ns: int, is_stamped: bool) -> None:
        """`is_stamped`: counted from the kernel's stamp, and not from reading."""
        index = _index(held_ns)
        self._counts[index] = self._counts.get(index, 0) + 1
        self._count += 1
        self._stamped += is_stamped
        if self._max_ns is None or held_ns > self._max_ns:
            self._max_ns = held_ns
        if self._min_ns is None or held_ns < self._min_ns:
            self._min_ns = held_ns

    def snapshot(self) -> dict[str, int | None]:
        """Nanoseconds by nearest rank, None where nothing was held; `stamped` of `count` had the kernel's stamp."""
        ordered = sorted(self._counts.items())
        ranks = {f"{name}_ns": self._at(ordered, permille) for name, permille in _PERMILLE.items()}
        return {
            "count": self._count,
            "stamped": self._stamped,
            "min_ns": self._min_ns,
            **ranks,
            "max_ns": self._max_ns,
        }

    def _at(self, ordered: list[tuple[int, int]], permille: int) -> int | None:
        left = -(-self._count * permille // 1000)
        for index, count in ordered:
            left -= count
            if left <= 0:
                return min(max(_middle(index), self._min_ns or 0), self._max_ns or 0)
        return None


def _index(value: int) -> int:
    """Of the bucket that a whole number from 0 up falls into; larger numbers have no smaller index."""
    octave = max(0, value.bit_length() - _BITS - 1)
    return (octave << _BITS) + (value >> octave)


def _middle(index: int) -> int:
    octave = max(0, (index >> _BITS) - 1)
    low = (index - (octave << _BITS)) << octave
    return low + ((1 << octave) - 1) // 2
