"""The calibration in the user's cache directory: written whole and for its owner alone, read with suspicion.

$XDG_CACHE_HOME/perfcore/calibration.json, or below ~/.cache. Beside it lies the plot, calibration.svg. What is there
may be of another machine (a home directory on a file server), of an older version, cut short or not ours at all: a
run then says why it does not use it, and goes on.
"""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
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
    """The directory, made if need be, in which a file was just written and removed.

    Before minutes are spent on what cannot be kept. NotSavedError.
    """
    place = cache_directory()
    if place is None:
        raise NotSavedError(
            "there is no home directory to keep the calibration in; set XDG_CACHE_HOME to a directory"
        )
    try:
        _write({f".{FILE}.tmp-{os.getpid()}": b"\0" * 4096}, place, keep=False)
    except OSError as error:
        raise _not_saved(place, error, "nothing was measured") from error
    return place


def save_calibration(calibration: Calibration, plot: str) -> Path:
    """Replaces what was there, and returns where the calibration lies. NotSavedError: all is as it was."""
    place = cache_directory() or prove_place()
    try:
        _write({PLOT: plot.encode(), FILE: result_json(calibration.document())}, place, keep=True)
    except OSError as error:
        raise _not_saved(place, error, "the calibration was not saved") from error
    return place / FILE


def _write(contents: Mapping[str, bytes], place: Path, *, keep: bool) -> None:
    """All files under temporary names first, so that a full disk replaces none of them."""
    directory = open_or_make(place)
    written: dict[str, str] = {}
    try:
        for name, content in contents.items():
            temporary = f".{name}.tmp-{os.getpid()}"
            # Of a process with this number that was killed in between.
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory)
            descriptor = new_file(temporary, directory)
            written[temporary] = name
            try:
                write_all(descriptor, content)
            finally:
                os.close(descriptor)
        if keep:
            for temporary, name in list(written.items()):
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
                del written[temporary]
    finally:
        for temporary in written:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
        os.close(directory)


def _not_saved(place: Path, error: OSError, what: str) -> NotSavedError:
    reason = error.strerror or str(error)
    return NotSavedError(
        f"{place}: {reason}: {what}; make room there, or set XDG_CACHE_HOME to another directory"
    )
