"""What lies in a results directory by perfcore's doing: names, and how such a directory is taken away again.

    2026-11-22T10-00-00Z/             a result; -2, -3 … when several runs began in that second
    .2026-11-22T10-00-00Z.tmp-PID/    one that is being written, or being removed: locked (flock) by who does it
    latest -> 2026-11-22T10-00-00Z

A hidden directory that nobody holds belongs to a process that was killed. Only plain files with names of
perfcore's own are ever removed, so a directory that holds anything else stays.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from perfcore.report.private_files import DIRECTORY, leads_to, lock

RESULT_FILE = "results.json"
SUITE_FILE = "suite.yaml"
SAMPLES_FILE = "samples.npy"
LATEST = "latest"
_NEXT_LATEST = ".latest"  # for an instant, in the result that it points to: the link before it has its place
# Every file that a result may have: what is not here can neither be saved nor removed.
OWN_FILES = frozenset({RESULT_FILE, SUITE_FILE, SAMPLES_FILE})
_STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"
_RESULT = re.compile(rf"({_STAMP})(?:-([1-9]\d{{0,4}}))?", re.ASCII)
# Runs within one second, or leftovers: beyond so many something else is wrong.
MOST_NAMES = 10_000
_HIDDEN = re.compile(rf"\.{_STAMP}\.tmp-\d+(?:-\d+)?", re.ASCII)
# What version 0.1.0 could leave when it was killed.
_EARLIER_FILE = re.compile(r"\.samples-(?:supervisor|worker-\d+)", re.ASCII)
_EARLIER_LINK = re.compile(rf"\.latest\.{_STAMP}(?:-\d+)?\.tmp-\d+", re.ASCII)


def result_name(stamp: str, number: int) -> str:
    return stamp if number == 1 else f"{stamp}-{number}"


def parse_result_name(name: str) -> tuple[str, int] | None:
    """(stamp, number) of a result's directory; None for a name that `result_name` does not give."""
    match = _RESULT.fullmatch(name)
    if match is None or match[2] == "1":
        return None
    return match[1], int(match[2] or 1)


def hidden_name(stamp: str, number: int) -> str:
    base = f".{stamp}.tmp-{os.getpid()}"
    return base if number == 1 else f"{base}-{number}"


def foreign_names(directory: int) -> list[str]:
    """What the directory holds besides files of perfcore's own."""
    with os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries if not _is_own(entry))


def _is_own(entry: "os.DirEntry[str]") -> bool:
    if entry.name == _NEXT_LATEST:
        return entry.is_symlink()
    has_own_name = entry.name in OWN_FILES or _EARLIER_FILE.fullmatch(entry.name) is not None
    return has_own_name and entry.is_file(follow_symlinks=False)


def remove_directory(name: str, parent: int, directory: int) -> None:
    """Take away a directory that holds nothing but perfcore's own; the result itself goes last of its files."""
    for file in sorted(os.listdir(directory), key=lambda file: file == RESULT_FILE):
        if file in OWN_FILES or file == _NEXT_LATEST or _EARLIER_FILE.fullmatch(file):
            with suppress(FileNotFoundError):
                os.unlink(file, dir_fd=directory)
    if leads_to(name, parent, directory):  # the name may be somebody else's by now
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=parent)


def remove_leftovers(results: int) -> None:
    """Take away what killed processes left; what cannot be removed, or is held by somebody alive, stays."""
    for name in os.listdir(results):
        with suppress(OSError):
            if _HIDDEN.fullmatch(name):
                with held(name, results) as directory:
                    if directory is not None and not foreign_names(directory):
                        remove_directory(name, results, directory)
            elif _EARLIER_LINK.fullmatch(name) and stat.S_ISLNK(os.lstat(name, dir_fd=results).st_mode):
                os.unlink(name, dir_fd=results)


@contextmanager
def held(name: str, parent: int) -> Iterator[int | None]:
    """The descriptor of a directory that nobody else holds meanwhile; None when somebody does."""
    directory = os.open(name, DIRECTORY, dir_fd=parent)
    try:
        yield directory if lock(directory) and leads_to(name, parent, directory) else None
    finally:
        os.close(directory)


def is_link_or_absent(name: str, directory: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=directory).st_mode)
    except FileNotFoundError:
        return True


def point_latest(name: str, results: int, directory: int) -> None:
    """Let `latest` point to the result of that name and descriptor, at once: it is never missing in between."""
    with suppress(FileNotFoundError):
        os.unlink(_NEXT_LATEST, dir_fd=directory)
    os.symlink(name, _NEXT_LATEST, dir_fd=directory)
    try:
        os.rename(_NEXT_LATEST, LATEST, src_dir_fd=directory, dst_dir_fd=results)
    except OSError:
        with suppress(OSError):
            os.unlink(_NEXT_LATEST, dir_fd=directory)
        raise
