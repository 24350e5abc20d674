"""Where a run is kept: `results/<timestamp>/`, whole or absent, and readable by its owner alone.

Before the load it is proved that the place can be written; from then to the end nothing has a name there. At the
end everything is written into a hidden directory beside the final one (`.2026-11-22T10-00-00Z.tmp-PID`), flushed to
the disk and renamed as a whole. A process that is killed in these milliseconds leaves the hidden directory
alone, which the next run removes; no reader ever meets half a result.

Names that are already there are never followed or replaced, with one exception: the symbolic link `latest`.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from perfcore.errors import NotSavedError
from perfcore.metrics.test_result import SuiteResult
from perfcore.report.json_report import result_json
from perfcore.report.result_directory import LATEST, RESULT_FILE, is_link_or_absent, point_latest
from perfcore.report.unsaved_run import SamplePaths, UnsavedRun, check_name


class ResultsLogger:
    """Keeps one run at a time: `open_run` before the load, then either `save` or `discard`.

    `warnings` holds, after `save`, what went wrong beside the result itself (one line each).
    """

    def __init__(self, results_dir: Path) -> None:
        self.results_dir = Path(results_dir).absolute()
        self.warnings: list[str] = []
        self._stamp = ""
        self._run: UnsavedRun | None = None

    def open_run(self, started: datetime) -> Path:
        """Prove that a result can be saved; returns where it will lie, but for a suffix.

        Raises NotSavedError when nothing can be saved there; nothing was sent yet then.
        """
        self.discard()
        self._stamp = started.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        self.warnings = []
        try:
            self._run = UnsavedRun(self.results_dir, self._stamp)
        except OSError as error:
            raise self._not_started(error) from error
        return self.results_dir / self._stamp

    def sample_paths(self, workers: int) -> SamplePaths:
        """Files for the open run's samples, which `save` keeps; to be asked for before the workers are forked.

        Raises NotSavedError when they cannot be made.
        """
        if self._run is None:
            raise RuntimeError("sample_paths needs open_run before it")
        try:
            return self._run.sample_paths(workers)
        except OSError as error:
            self.discard()
            raise self._not_started(error) from error

    def save(self, result: SuiteResult, files: Mapping[str, str | bytes]) -> Path:
        """Write results.json and `files` (name → content), give the directory its final name and return that.

        The name is the start of the run in UTC, with -2, -3 ... when it is taken. Raises NotSavedError when
        the disk refuses, and leaves nothing behind then.
        """
        if self._run is None:
            raise RuntimeError("save needs open_run before it")
        for name in files:
            check_name(name)
        contents = {
            RESULT_FILE: result_json(result.document),
            **{name: _encoded(content) for name, content in files.items()},
        }
        try:
            name = self._run.write(contents)
            self._point_latest(name, self._run)
            with suppress(OSError):  # makes the new name last through a power cut, where the disk knows how
                os.fsync(self._run.results)
        except OSError as error:
            raise NotSavedError(
                f"{self.results_dir / self._stamp}: {_reason(error)}: the result of this run was not saved; "
                "make room there, or name another directory with --results-dir DIR"
            ) from error
        finally:
            self.warnings += self._run.warnings
            self.discard()
        return self.results_dir / name

    def discard(self) -> None:
        """Remove what was not saved. Without an open run it does nothing."""
        if self._run is not None:
            run, self._run = self._run, None
            run.close()

    def _not_started(self, error: OSError) -> NotSavedError:
        return NotSavedError(
            f"{self.results_dir}: {_reason(error)}: a result could not be saved there, so the load was not "
            "started; name another directory with --results-dir DIR"
        )

    def _point_latest(self, name: str, run: UnsavedRun) -> None:
        """The result is safe already: what fails here is a warning."""
        link = self.results_dir / LATEST
        try:
            if is_link_or_absent(LATEST, run.results):
                point_latest(name, run.results, run.directory)
            else:
                self.warnings.append(
                    f"{link}: is not a symbolic link, so it was left alone, not pointed to the newest"
                )
        except OSError as error:
            self.warnings.append(f"{link}: {_reason(error)}: does not point to the newest result")


def _encoded(content: str | bytes) -> bytes:
    return content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
