"""Where a run is kept: `results/<timestamp>/`, whole or absent, and readable by its owner alone.

Everything is written into a hidden directory beside the final one (`.2026-11-22T10-00-00Z.tmp-PID`), flushed
to the disk and then renamed as a whole. A process that is killed in between leaves the hidden directory and
nothing else; no reader ever meets half a result. The hidden directory is made before the load starts, so that
a place that cannot be written is told before the first request and not after an hour.

Names that are already there are never followed or replaced, with one exception: the symbolic link `latest`.
"""

import errno
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from perfcore.errors import NotSavedError
from perfcore.metrics.test_result import SuiteResult
from perfcore.report.json_report import result_json

RESULT_FILE = "results.json"
LATEST = "latest"
_NAME_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
_MOST_NAMES = 10_000  # runs within one second, or leftovers: beyond it something else is wrong
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ResultsLogger:
    """Keeps one run at a time: `open_run` before the load, then either `save` or `discard`.

    `warnings` holds, after `save`, what went wrong beside the result itself (one line each).
    """

    def __init__(self, results_dir: Path) -> None:
        self.results_dir = Path(results_dir).absolute()
        self.warnings: list[str] = []
        self._stamp = ""
        self._run_dir: Path | None = None

    def open_run(self, started: datetime) -> Path:
        """The run's own directory for now (0700): what is put there during the run is kept by `save`.

        Raises NotSavedError when it cannot be made; nothing was sent yet then.
        """
        self._stamp = started.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        self.warnings = []
        try:
            _make_results_dir(self.results_dir)
            self._run_dir = self._make_run_dir()
        except OSError as error:
            raise NotSavedError(
                f"{self.results_dir}: {_reason(error)}: a result could not be saved there, so the load was "
                "not started; name another directory with --results-dir DIR"
            ) from error
        return self._run_dir

    def save(self, result: SuiteResult, files: Mapping[str, str | bytes]) -> Path:
        """Write results.json and `files` (name → content), give the directory its final name and return that.

        The name is the start of the run in UTC, with -2, -3 ... when it is taken. Raises NotSavedError when
        the disk refuses, and leaves nothing behind then.
        """
        if self._run_dir is None:
            raise RuntimeError("save needs open_run before it")
        contents: dict[str, str | bytes] = {RESULT_FILE: result_json(result.document), **files}
        for name in files:
            if name in ("", ".", "..", RESULT_FILE) or "/" in name or "\0" in name:
                raise ValueError(f"{name!r} is not the name of a further file of a result")
        try:
            self._restore_run_dir()
            _fill(self._run_dir, contents)
            final = self._rename()
        except OSError as error:
            self.discard()
            raise NotSavedError(
                f"{self.results_dir / self._stamp}: {_reason(error)}: the result of this run was not saved; "
                "make room there, or name another directory with --results-dir DIR"
            ) from error
        except BaseException:
            self.discard()
            raise
        self._point_latest(final.name)
        _sync_directory(self.results_dir)
        return final

    def discard(self) -> None:
        """Remove what `open_run` made, with everything in it. Without an open run it does nothing."""
        if self._run_dir is not None:
            shutil.rmtree(self._run_dir, ignore_errors=True)
            self._run_dir = None

    def _make_run_dir(self) -> Path:
        """A hidden directory that nobody else has: two runs of a process may start within the same second."""
        base = f".{self._stamp}.tmp-{os.getpid()}"
        for number in range(1, _MOST_NAMES):
            path = self.results_dir / (base if number == 1 else f"{base}-{number}")
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
                path.chmod(0o700)  # a umask can only have taken bits away
                return path
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), base)

    def _restore_run_dir(self) -> None:
        """Somebody may have cleaned the results while the load ran: that shall not cost the figures too."""
        if self._run_dir is not None and not os.path.lexists(self._run_dir):
            self.warnings.append(
                f"{self._run_dir}: was removed during the run; files that the workers had put there are lost"
            )
            _make_results_dir(self.results_dir)
            self._run_dir = self._make_run_dir()

    def _rename(self) -> Path:
        assert self._run_dir is not None
        for number in count(1):
            final = self.results_dir / (self._stamp if number == 1 else f"{self._stamp}-{number}")
            if os.path.lexists(final) and number < _MOST_NAMES:
                continue  # rename(2) alone would replace an empty directory
            try:
                self._run_dir.rename(final)
            except OSError as error:
                if error.errno not in _NAME_TAKEN or number >= _MOST_NAMES:
                    raise
            else:
                break
        self._run_dir = None
        return final

    def _point_latest(self, name: str) -> None:
        """Point `latest` to this result. The result is safe already: what fails here is a warning."""
        link = self.results_dir / LATEST
        try:
            if not stat.S_ISLNK(link.lstat().st_mode):
                self.warnings.append(
                    f"{link}: is not a symbolic link, so it was left alone, not pointed to the newest"
                )
                return
        except FileNotFoundError:
            pass
        except OSError as error:
            self.warnings.append(f"{link}: {_reason(error)}: does not point to the newest result")
            return
        temporary = self.results_dir / f".{LATEST}.{name}.tmp-{os.getpid()}"
        try:
            temporary.symlink_to(name)
            temporary.replace(link)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            self.warnings.append(f"{link}: {_reason(error)}: does not point to the newest result")


def _make_results_dir(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from None
    else:
        path.chmod(0o700)


def _fill(directory: Path, contents: Mapping[str, str | bytes]) -> None:
    """Write the files, make what lies there already private too, and have all of it on the disk."""
    directory_fd = os.open(directory, _DIRECTORY)
    try:
        for entry in os.scandir(directory_fd):
            if entry.is_file(follow_symlinks=False):
                os.chmod(entry.name, 0o600, dir_fd=directory_fd)
                file_fd = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
                try:
                    os.fsync(file_fd)
                finally:
                    os.close(file_fd)
        for name, content in contents.items():
            file_fd = os.open(name, _NEW_FILE, 0o600, dir_fd=directory_fd)
            with os.fdopen(file_fd, "wb") as file:
                os.fchmod(file_fd, 0o600)
                file.write(
                    content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
                )
                file.flush()
                os.fsync(file_fd)
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)


def _sync_directory(path: Path) -> None:
    """Make the new name last through a power cut, where the file system knows how."""
    with suppress(OSError):
        directory_fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory_fd)
        finally:
            os.close(directory_fd)


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
