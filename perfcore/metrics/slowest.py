"""The slowest requests of a test, exactly, with who sent them and when: where to start looking.

Rows of integers in fixed memory, longest first; of equally long ones the earlier stay, so that parts merge to the
same in any order.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics import outcomes
from perfcore.metrics.samples import Rows

KEPT = 10
_RESPONSE_NS, _DONE_NS, _USER, _STEP, _STATUS = range(5)
_COLUMNS = 5
WORDS = KEPT * _COLUMNS

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SlowRequest:
    """Instants and durations in nanoseconds; `status` 0 where no whole answer came."""

    response_ns: int
    done_ns: int
    user: int
    step: int
    status: int

    @property
    def due_ns(self) -> int:
        return self.done_ns - self.response_ns


class Slowest:
    """The KEPT longest response times, over `words`: an int64 array of WORDS zeroes that may be shared memory."""

    def __init__(self, words: Integers | None = None) -> None:
        self.words: Integers = np.zeros(WORDS, np.int64) if words is None else words
        self._table = self.words.reshape(KEPT, _COLUMNS)

    def add(self, rows: Rows, response_ns: Integers) -> None:
        """Look at rows (dtype SAMPLE) of this test with their response times."""
        candidates = np.flatnonzero(response_ns >= max(int(self._table[-1, _RESPONSE_NS]), 1))
        if not candidates.size:
            return
        chosen = rows[candidates]
        error = chosen["error"]
        answered = (error == outcomes.NONE) | (error > outcomes.LAST_TRANSPORT_KIND)
        fresh = np.column_stack(
            [
                response_ns[candidates],
                chosen["done_ns"],
                chosen["user"],
                chosen["step"],
                np.where(answered, chosen["status"], 0),
            ]
        )
        self._keep(fresh.astype(np.int64))

    def merge(self, other: "Slowest") -> None:
        self._keep(other._table)

    def _keep(self, fresh: Integers) -> None:
        table = np.concatenate([self._table, fresh])
        order = np.lexsort((table[:, _USER], table[:, _DONE_NS], -table[:, _RESPONSE_NS]))
        self._table[:] = table[order[:KEPT]]

    def requests(self) -> list[SlowRequest]:
        """Longest first; fewer than KEPT when there were fewer."""
        return [SlowRequest(*map(int, row)) for row in self._table if row[_RESPONSE_NS] > 0]
