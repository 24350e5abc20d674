"""Old results are removed, and nothing else.

A result is a directory whose name is that of its own results.json: `2026-11-22T10-00-00Z` and
`"timestamp": "2026-11-22T10:00:00Z"`. Everything else in a results directory is left as it is, and so is a result
that holds anything besides perfcore's own files. Nothing is reached through a link: every name is opened relative to
the directory that it stands in.

A result is first given a hidden name and then removed, so that one is whole or absent here too.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from perfcore.report.private_files import DIRECTORY
from perfcore.report.result_directory import (
    LATEST,
    MOST_NAMES,
    RESULT_FILE,
    foreign_names,
    held,
    hidden_name,
    parse_result_name,
    point_latest,
    remove_directory,
    remove_leftovers,
)

_STAMP_FORMAT = "%Y-%m-%dT%H-%M-%SZ"
# Never blocks and follows nothing: what has the name of a result may be a pipe or a link.
_PLAIN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Larger than any results.json; what is read is held in memory.
_LONGEST_RESULT_BYTES = 1 << 29


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result in its directory; `foreign` names what it holds besides perfcore's own files."""

    name: str
    started: datetime
    number: int  # of those that began in that second
    size_bytes: int
    foreign: tuple[str, ...] = ()


@dataclass(slots=True)
class Cleaning:
    """What was done, or with `dry_run` what would be."""

    removed: list[StoredResult] = field(default_factory=list)
    kept: int = 0
    guarded: list[StoredResult] = field(default_factory=list)  # old, but with files that are not perfcore's
    refused: list[tuple[str, str]] = field(default_factory=list)  # name, reason

    @property
    def removed_bytes(self) -> int:
        return sum(result.size_bytes for result in self.removed)


def outdated(
    results: Sequence[StoredResult], *, keep: int | None, older_than_s: float | None, now: datetime
) -> list[StoredResult]:
    """Results beyond the newest `keep` that are older as well, newest first; None does not ask for that."""
    newest_first = sorted(results, key=lambda result: (result.started, result.number), reverse=True)
    return [
        result
        for result in newest_first[keep or 0 :]
        if older_than_s is None or (now - result.started).total_seconds() > older_than_s
    ]


def clean_results(
    results_dir: Path, *, keep: int | None, older_than_s: float | None, now: datetime, dry_run: bool = False
) -> Cleaning:
    """Remove outdated results, and what killed processes left. OSError when the directory cannot be read."""
    cleaning = Cleaning()
    directory = os.open(results_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not dry_run:
            remove_leftovers(directory)
        results = list(_stored_results(directory, cleaning))
        for result in outdated(results, keep=keep, older_than_s=older_than_s, now=now):
            if result.foreign:
                cleaning.guarded.append(result)
            elif dry_run or _remove(result, directory, cleaning):
                cleaning.removed.append(result)
        cleaning.kept = len(results) - len(cleaning.removed)
        if cleaning.removed and not dry_run:
            _repair_latest(directory, results, cleaning)
    finally:
        os.close(directory)
    return cleaning


def _stored_results(results: int, cleaning: Cleaning) -> Iterator[StoredResult]:
    for name in sorted(os.listdir(results)):
        if parse_result_name(name) is None:
            continue
        try:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=results).st_mode):
                continue
            stored = _stored_result(name, results)
        except FileNotFoundError:
            continue  # another cleaning was faster, or it is no result
        except OSError as error:
            cleaning.refused.append((name, error.strerror or str(error)))
        else:
            if stored is not None:
                yield stored


def _stored_result(name: str, results: int) -> StoredResult | None:
    """None for a directory that is no result."""
    parsed = parse_result_name(name)
    directory = os.open(name, DIRECTORY, dir_fd=results)
    try:
        stamp = _stamp_inside(directory)
        if parsed is None or stamp != parsed[0]:
            return None
        started = datetime.strptime(stamp, _STAMP_FORMAT).replace(tzinfo=UTC)
        files = [os.lstat(file, dir_fd=directory) for file in os.listdir(directory)]
        size_bytes = sum(file.st_size for file in files if stat.S_ISREG(file.st_mode))
        return StoredResult(name, started, parsed[1], size_bytes, tuple(foreign_names(directory)))
    except ValueError:  # a name that is no date
        return None
    finally:
        os.close(directory)


def _stamp_inside(directory: int) -> str | None:
    """The start that results.json tells, in the form of a directory's name; None for what is no results.json."""
    if not stat.S_ISREG(os.lstat(RESULT_FILE, dir_fd=directory).st_mode):
        return None
    descriptor = os.open(RESULT_FILE, _PLAIN_FILE, dir_fd=directory)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LONGEST_RESULT_BYTES:
            return None
        try:
            document = orjson.loads(file.read())
        except orjson.JSONDecodeError:
            return None
    if not isinstance(document, dict) or type(document.get("schema_version")) is not int:
        return None
    timestamp = document.get("timestamp")
    return timestamp.replace(":", "-") if isinstance(timestamp, str) else None


def _remove(result: StoredResult, results: int, cleaning: Cleaning) -> bool:
    try:
        with held(result.name, results) as directory:
            if directory is None:
                return False  # it is just being saved, or removed by somebody else
            if not os.access(".", os.W_OK | os.X_OK, dir_fd=directory, effective_ids=True):
                cleaning.refused.append((result.name, "its files cannot be removed: Permission denied"))
                return False
            foreign = tuple(foreign_names(directory))
            if foreign:  # put there since the results were looked at
                cleaning.guarded.append(replace(result, foreign=foreign))
                return False
            hidden = _hide(result.name, results)
            try:
                remove_directory(hidden, results, directory)
            except OSError:
                with suppress(OSError):  # what is left is told under the name that its owner knows
                    os.rename(hidden, result.name, src_dir_fd=results, dst_dir_fd=results)
                raise
    except FileNotFoundError:
        return False
    except OSError as error:
        cleaning.refused.append((result.name, error.strerror or str(error)))
        return False
    return True


def _hide(name: str, results: int) -> str:
    stamp, _ = parse_result_name(name) or (name, 1)
    for number in range(1, MOST_NAMES):
        hidden = hidden_name(stamp, number)
        try:
            os.lstat(hidden, dir_fd=results)
        except FileNotFoundError:
            break
    os.rename(name, hidden, src_dir_fd=results, dst_dir_fd=results)
    return hidden


def _repair_latest(results: int, known: Sequence[StoredResult], cleaning: Cleaning) -> None:
    """Where the target of `latest` was removed it points to the newest that is left, or is removed as well."""
    try:
        target = os.readlink(LATEST, dir_fd=results)
    except OSError:
        return  # there is none, or it is the user's own file
    gone = {result.name for result in cleaning.removed}
    if target not in gone:
        return
    left = [result for result in known if result.name not in gone]
    try:
        if left:
            newest = max(left, key=lambda result: (result.started, result.number))
            with held(newest.name, results) as directory:
                if directory is not None:
                    point_latest(newest.name, results, directory)
        else:
            os.unlink(LATEST, dir_fd=results)
    except OSError as error:
        cleaning.refused.append((LATEST, error.strerror or str(error)))
