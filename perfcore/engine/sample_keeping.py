"""`--samples`: one row a request on disk, written by whoever counts the row.

The supervisor appends the rows that it drains; a worker whose ring is full appends those that it counts itself.
At the end the parts become one `samples.npy`, a structured array that numpy maps.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from perfcore.metrics.samples import JoinedSamples, SampleFile, join_sample_files

SAMPLES_FILE = "samples.npy"


class SampleKeeping:
    """The sample files of one run in its directory, at most `limit_bytes` in all."""

    def __init__(self, run_dir: Path, limit_bytes: int) -> None:
        self._run_dir = run_dir
        self.limit_bytes = limit_bytes
        self.worker_path = str(run_dir / ".samples-worker-{worker}")
        self.supervisor_file = SampleFile(str(run_dir / ".samples-supervisor"), limit_bytes)

    def close(self) -> None:
        self.supervisor_file.close()

    def finish(self) -> JoinedSamples:
        """Join the parts into `samples.npy`, and remove them; what the disk refused is told, not raised."""
        self.close()
        parts = sorted(self._run_dir.glob(".samples-*"))
        joined = join_sample_files(
            [str(part) for part in parts], str(self._run_dir / SAMPLES_FILE), self.limit_bytes
        )
        for part in parts:
            with suppress(OSError):
                part.unlink()
        return replace(
            joined,
            left_out_rows=joined.left_out_rows + self.supervisor_file.dropped_rows,
            error=self.supervisor_file.error or joined.error,
        )
