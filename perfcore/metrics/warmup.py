"""`warmup: auto`: figures kept apart by when requests were due, until the end tells from where on they count.

Segments of equal time, a second at first; when there are more than MOST of them neighbours are added together and each
is twice as long. So the memory stays, and any cut is exact for the requests on both sides of it.
"""

import mmap

import numpy as np
from numpy.typing import NDArray

from perfcore.metrics.metrics_collector import WORDS_PER_TEST, TestFigures
from perfcore.metrics.samples import INTERRUPTED, Rows
from perfcore.metrics.steadiness import Seconds, warmup_seconds

MOST = 32
_FIRST_LENGTH_NS = 1_000_000_000

Integers = NDArray[np.int64]


class WarmupSegments:
    """Of one test, beside its figures `whole`, which know when it began and, by now, when it is to end."""

    def __init__(self, whole: TestFigures) -> None:
        self._whole = whole
        self._start_ns = whole.start_ns
        self._length_ns = _FIRST_LENGTH_NS
        self._figures = [self._segment() for _ in range(MOST)]
        # Completions within the planned time, by when they were: all, and successes.
        self._ended = np.zeros((MOST, 2), np.int64)
        # How long requests that were due before a segment were under way in it and after it.
        self._carried_ns = np.zeros(MOST, np.int64)
        # Arrivals of an open model by the end of each: all, and dropped.
        self._arrivals = np.zeros((MOST, 2), np.int64)

    def _segment(self) -> TestFigures:
        # A mapping of its own: numpy asks for huge pages, and figures that touch few pages would be megabytes each.
        memory = mmap.mmap(-1, WORDS_PER_TEST * 8)
        figures = TestFigures(np.frombuffer(memory, np.int64), has_timeline=False)
        figures.begin(self._start_ns, None)
        return figures

    def fold(self, rows: Rows) -> None:
        """Count rows of this test, which its figures count as well."""
        ended = rows[rows["flags"] & INTERRUPTED == 0]
        if ended.size:
            self._carry(ended)
        planned_end_ns = self._whole.planned_end_ns
        if planned_end_ns is not None:
            ended = ended[ended["done_ns"] <= planned_end_ns]
        if ended.size:
            at = self._segments_of(ended["done_ns"])
            self._ended[:, 0] += np.bincount(at, minlength=MOST)
            self._ended[:, 1] += np.bincount(at[ended["error"] == 0], minlength=MOST)
        due = self._segments_of(rows["due_ns"])
        for at in np.unique(due):
            self._figures[at].fold(rows[due == at])

    def _carry(self, ended: Rows) -> None:
        done = self._segments_of(ended["done_ns"])
        due = self._segments_of(ended["due_ns"])
        passes_on = done > due
        if not passes_on.any():
            return
        late, done, due = ended[passes_on], done[passes_on], due[passes_on]
        service_ns = late["done_ns"] - late["issued_ns"]
        for at in range(int(due.min()) + 1, int(done.max()) + 1):
            is_carried = (due < at) & (at <= done)
            since_ns = late["done_ns"] - (self._start_ns + at * self._length_ns)
            self._carried_ns[at] += np.minimum(service_ns, since_ns)[is_carried].sum()

    def note_arrivals(self, now_ns: int, arrivals: int, dropped: int) -> None:
        """How many there have been by now."""
        at = int(self._segments_of(np.array([now_ns], np.int64))[0])
        self._arrivals[at:] = arrivals, dropped

    def _segments_of(self, instants_ns: Integers) -> Integers:
        last_ns = int(instants_ns.max())
        while last_ns >= self._start_ns + MOST * self._length_ns:
            self._coarsen()
        segments: Integers = np.maximum((instants_ns - self._start_ns) // self._length_ns, 0)
        return segments

    def _coarsen(self) -> None:
        half = MOST // 2
        for even, odd in zip(self._figures[::2], self._figures[1::2], strict=True):
            even.merge(odd)
        self._figures = self._figures[::2] + [self._segment() for _ in range(half)]
        self._ended[:half] = self._ended[::2] + self._ended[1::2]
        self._ended[half:] = 0
        self._carried_ns[:half] = self._carried_ns[::2]
        self._carried_ns[half:] = 0
        self._arrivals[:half] = self._arrivals[1::2]
        self._arrivals[half:] = self._arrivals[half - 1]
        self._length_ns *= 2

    def first_measured(self, seconds: Seconds) -> int:
        """The first segment after the warm-up that these figures show; never in the second half of them."""
        cut_ns = warmup_seconds(seconds) * seconds.length_s * 1e9
        most = int(seconds.requests.size * seconds.length_s * 1e9 / 2 // self._length_ns)
        return min(-int(-cut_ns // self._length_ns), most)

    def measured(self, first: int) -> tuple[TestFigures, int, int]:
        """Figures of what was due from this segment on, and arrivals and dropped ones of the warm-up.

        Their time line is that of the whole test.
        """
        figures = TestFigures()
        for segment in self._figures[first:]:
            figures.merge(segment)
        from_ns = self._start_ns + first * self._length_ns
        warmup = TestFigures(has_timeline=False)
        for segment in self._figures[:first]:
            warmup.merge(segment)
        completed, succeeded = self._ended[first:].sum(axis=0)
        figures.begin(self._start_ns, self._whole.planned_end_ns, from_ns - self._start_ns)
        figures.take_over(
            self._whole,
            warmup,
            completed=int(completed),
            succeeded=int(succeeded),
            carried_ns=int(self._carried_ns[first : first + 1].sum()),
        )
        arrivals, dropped = self._arrivals[first - 1] if first else (0, 0)
        return figures, int(arrivals), int(dropped)
