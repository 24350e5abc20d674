"""The calibration in the user's cache directory: written whole and for its owner alone, read with suspicion.

$XDG_CACHE_HOME/perfcore/calibration.json, or below ~/.cache. Beside it lies the plot, calibration.svg. What is there
may be of another machine (a home directory on a file server), of an older version, cut short or not ours at all: a
run then says why it does not use it, and goes on.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from perfcore.errors import NotSavedError
from perfcore.metrics.calibration import Calibration, difference, read_calibration
from perfcore.report.json_report import result_json
from perfcore.report.private_files import new_file, open_or_make, write_all

FILE, PLOT = "calibration.json", "calibration.svg"
# A whole one has 10 kB.
_MOST_BYTES = 1_000_000
_TRIAL = b"\0" * 4096
_WAY_OUT = "`perfcore calibrate` makes a new one"


@dataclass(frozen=True, slots=True)
class Stored:
    """`calibration` as it is to be used, or the `reason` why it is not; neither where there is none."""

    calibration: Calibration | None = None
    reason: str | None = None


def cache_directory() -> Path | None:
    """Where perfcore keeps what it can make again; None where the user has no place for that.

    As the XDG base directory specification has it: a relative XDG_CACHE_HOME is ignored.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    if named.startswith("/"):
        return Path(named) / "perfcore"
    try:
        return Path.home() / ".cache" / "perfcore"
    except RuntimeError:
        return None


def stored_calibration(here: Mapping[str, str]) -> Stored:
    """What is stored for a machine with the fingerprint `here`. It raises nothing: a run does without."""
    place = cache_directory()
    if place is None:
        return Stored()
    path = place / FILE
    try:
        calibration = read_calibration(_loaded(path))
    except (FileNotFoundError, NotADirectoryError):
        return Stored()
    except OSError as error:
        return Stored(reason=f"{path} cannot be read ({error.strerror or error})")
    except ValueError as error:
        return Stored(reason=f"{path} is broken ({error}); {_WAY_OUT}")
    changed = difference(calibration.fingerprint, here)
    if changed is not None:
        told = f"the calibration of {calibration.calibrated} is of another machine or version ({changed})"
        return Stored(reason=f"{told}; {_WAY_OUT}")
    return Stored(calibration)


def _loaded(path: Path) -> object:
    # Not blocking: it may be a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("it is too long")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        raise ValueError("it is no JSON") from None


def prove_place() -> Path:
    """The directory in which both files can be written and replaced, as was just tried; it leaves nothing there.

    Before minutes are spent on what cannot be kept. NotSavedError.
    """
    place = cache_directory()
    if place is None:
        raise NotSavedError(
            "there is no home directory to keep the calibration in; set XDG_CACHE_HOME to a directory"
        )
    try:
        with (
            _opened(place, keep=False) as directory,
            _written(dict.fromkeys((PLOT, FILE), _TRIAL), directory),
        ):
            for name in (PLOT, FILE):
                _refuse_irreplaceable(name, directory)
    except OSError as error:
        raise _not_saved(place, error, "nothing was measured") from error
    return place


def save_calibration(calibration: Calibration, plot: str) -> Path:
    """Replaces both files, and returns where the calibration lies. NotSavedError: all is as it was."""
    place = cache_directory() or prove_place()
    contents = {PLOT: plot.encode(), FILE: result_json(calibration.document())}
    try:
        with _opened(place, keep=True) as directory, _written(contents, directory) as temporary:
            _replace_all(temporary, directory)
    except OSError as error:
        raise _not_saved(place, error, "the calibration was not saved") from error
    return place / FILE


@contextmanager
def _opened(place: Path, *, keep: bool) -> Iterator[int]:
    """The directory's descriptor. What had to be made of it is removed after a failure, or where nothing is kept."""
    made = [path for path in (place, *place.parents) if not os.path.lexists(path)]
    try:
        directory = open_or_make(place)
        try:
            yield directory
        finally:
            os.close(directory)
    except BaseException:
        _remove_empty(made)
        raise
    if not keep:
        _remove_empty(made)


def _remove_empty(made: Sequence[Path]) -> None:
    with suppress(OSError):
        for path in made:  # the innermost first
            path.rmdir()


@contextmanager
def _written(contents: Mapping[str, bytes], directory: int) -> Iterator[dict[str, str]]:
    """Temporary names, by the names that they are to have: all are written first, so that a full disk replaces none."""
    temporary = {name: f".{name}.tmp-{os.getpid()}" for name in contents}
    try:
        for name, content in contents.items():
            # Of a process with this number that was killed in between.
            _unlink(temporary[name], directory)
            descriptor = new_file(temporary[name], directory)
            try:
                write_all(descriptor, content)
            finally:
                os.close(descriptor)
        yield temporary
    finally:
        for name in temporary.values():
            with suppress(OSError):
                _unlink(name, directory)


def _replace_all(temporary: Mapping[str, str], directory: int) -> None:
    """Give all of them their names; when one of them is refused, those before it are as they were."""
    former: dict[str, str] = {}
    replaced: list[str] = []
    try:
        for name in temporary:
            _refuse_irreplaceable(name, directory)
            former[name] = f".{name}.old-{os.getpid()}"
            _unlink(former[name], directory)
            with suppress(FileNotFoundError):
                _second_name(name, former[name], directory)
        for name, new in temporary.items():
            replaced.append(name)
            os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        for name in replaced:
            try:
                os.rename(former[name], name, src_dir_fd=directory, dst_dir_fd=directory)
            except FileNotFoundError:  # there was none
                _unlink(name, directory)
        raise
    finally:
        for old in former.values():
            with suppress(OSError):
                _unlink(old, directory)


def _second_name(name: str, second: str, directory: int) -> None:
    try:
        os.link(name, second, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links: for a moment there is none of that name
        os.rename(name, second, src_dir_fd=directory, dst_dir_fd=directory)


def _unlink(name: str, directory: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _refuse_irreplaceable(name: str, directory: int) -> None:
    """OSError for what no new file may replace: a directory, a mount, another user's file in a sticky directory."""
    try:
        there = os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return
    around, user = os.fstat(directory), os.geteuid()
    if stat.S_ISDIR(there.st_mode):
        number = errno.EISDIR
    elif there.st_dev != around.st_dev:
        number = errno.EBUSY
    elif around.st_mode & stat.S_ISVTX and user not in (0, there.st_uid, around.st_uid):
        number = errno.EPERM
    else:
        return
    raise OSError(number, f"{name}: {os.strerror(number)}")


def _not_saved(place: Path, error: OSError, what: str) -> NotSavedError:
    reason = error.strerror or str(error)
    return NotSavedError(
        f"{place}: {reason}: {what}; make room there, or set XDG_CACHE_HOME to another directory"
    )
