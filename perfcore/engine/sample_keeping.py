"""`--samples`: one row a request on disk, written by whoever counts the row.

The supervisor appends the rows that it drains; a worker whose ring is full appends those that it counts itself.
At the end the parts become one `samples.npy`, a structured array that numpy maps.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from perfcore.metrics.samples import JoinedSamples, SampleFile, join_sample_files
from perfcore.report.unsaved_run import SamplePaths


class SampleKeeping:
    """The sample files of one run, at most `limit_bytes` in all."""

    def __init__(self, paths: SamplePaths, limit_bytes: int) -> None:
        self._paths = paths
        self.limit_bytes = limit_bytes
        self.worker_paths = paths.workers
        self.supervisor_file = SampleFile(paths.supervisor, limit_bytes)

    def close(self) -> None:
        self.supervisor_file.close()

    def finish(self, measured_from_ns: Sequence[int]) -> JoinedSamples:
        """Join the parts into the whole, empty when nothing could be; what the disk refused is told, not raised.

        `measured_from_ns`: when each test's warm-up was over, by which its rows are flagged.
        """
        self.close()
        parts = (self._paths.supervisor, *self._paths.workers)
        try:
            joined = join_sample_files(parts, self._paths.whole, self.limit_bytes, measured_from_ns)
        except OSError as error:
            joined = JoinedSamples(0, 0, error.strerror or str(error))
        if joined.error is not None and not joined.rows:
            with suppress(OSError):
                os.truncate(self._paths.whole, 0)
        return replace(
            joined,
            left_out_rows=joined.left_out_rows + self.supervisor_file.dropped_rows,
            error=self.supervisor_file.error or joined.error,
        )
