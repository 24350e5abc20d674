"""A run before it is saved: it has no name on the disk, so nothing of it is left when its process is killed.

Files that grow during the run have no name (O_TMPFILE). Those that are to be kept get one at the end, in a hidden
directory that is made for the moment of saving, locked meanwhile, and renamed as a whole.
"""

import errno
import os
import pwd
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from perfcore.report.private_files import (
    leads_to,
    lock,
    name_file,
    new_file,
    open_made,
    open_or_make,
    unnamed_file,
    write_all,
)
from perfcore.report.result_directory import (
    MOST_NAMES,
    OWN_FILES,
    RESULT_FILE,
    SAMPLES_FILE,
    hidden_name,
    remove_directory,
    remove_leftovers,
    result_name,
)

ROOT = 0
_NAME_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
# A full disk may still make a directory; a result needs a block of it at least.
_TRIAL = b"\0" * 4096


@dataclass(frozen=True, slots=True)
class SamplePaths:
    """Where rows are written: a part for each process, and the whole of them at the end.

    They have no names: `/proc/PID/fd/N` is how other processes of the same user reach them while this one lives.
    """

    whole: str
    supervisor: str
    workers: tuple[str, ...]


class UnsavedRun:
    """One run's place. OSError of every method is what the disk, the directory or its owner refuse."""

    def __init__(self, results_dir: Path, stamp: str) -> None:
        """Make the results directory if it is missing, and prove that a result can be written there."""
        self.path = results_dir
        self._stamp = stamp
        self.warnings: list[str] = []
        self._kept: dict[str, int] = {}  # what is saved beside the result: name, descriptor
        self._parts: list[int] = []
        self._hidden = ""
        self._directory: int | None = None
        self.results = open_or_make(results_dir)
        try:
            refuse_foreign(self.results)
            remove_leftovers(self.results)
            self._prove()
        except BaseException:
            self.close()
            raise

    def _prove(self) -> None:
        """Write a block and make a directory, as a result needs them; both have a name as shortly as can be."""
        trial = unnamed_file(self.results)
        if trial is None:
            trial = self._new_hidden_file(RESULT_FILE, _TRIAL)
        else:
            os.posix_fallocate(trial, 0, len(_TRIAL))  # told at once, where a write may be told by fsync only
            os.write(trial, _TRIAL)
        os.close(trial)
        self._make_hidden()
        self._remove_hidden()

    def sample_paths(self, workers: int) -> SamplePaths:
        """Files for the samples of a run with so many workers; to be called once, before the fork."""
        whole = unnamed_file(self.results)
        if whole is None:
            whole = self._new_hidden_file(SAMPLES_FILE)
        self._kept[SAMPLES_FILE] = whole
        for _ in range(workers + 1):
            self._parts.append(self._new_part())
        supervisor, *others = map(_path, self._parts)
        return SamplePaths(_path(whole), supervisor, tuple(others))

    def _new_part(self) -> int:
        """A file that is gone when its last descriptor is closed.

        Where a file system has no unnamed files it loses its name at once, and the hidden directory stays for the
        run: an NFS client keeps a removed file that is open there, under a name of its own.
        """
        descriptor = unnamed_file(self.results)
        if descriptor is None:
            descriptor = self._new_hidden_file(RESULT_FILE)
            os.unlink(RESULT_FILE, dir_fd=self._directory)
        return descriptor

    def write(self, contents: Mapping[str, bytes]) -> str:
        """Put everything on the disk under the result's final name, whole or not at all; returns the name.

        Until `close` the result is held: no cleaning meets it before `latest` points to it. The files are on the disk
        before anything has a name, so that a kill has to meet the moment of four system calls to leave something.
        """
        _close_all(self._parts)  # what they take of the disk may be what the result needs
        self._find_again()
        unnamed: dict[str, int] = {}
        try:
            for name, content in contents.items():
                descriptor = unnamed_file(self.results)
                if descriptor is not None:
                    unnamed[name] = descriptor
                    write_all(descriptor, content)
            for descriptor in self._kept.values():
                os.fsync(descriptor)
            directory = self._make_hidden()
            self._name_kept(directory)
            for name, descriptor in unnamed.items():
                name_file(descriptor, name, directory)
        finally:
            _close_all(list(unnamed.values()))
        for name in contents.keys() - unnamed.keys():
            descriptor = new_file(name, directory)
            try:
                write_all(descriptor, contents[name])
            finally:
                os.close(descriptor)
        final = self._rename()
        with suppress(
            OSError
        ):  # it is there; this makes it last through a power cut, where the disk knows how
            os.fsync(directory)
        return final

    def _name_kept(self, directory: int) -> None:
        for name, descriptor in self._kept.items():
            is_named = leads_to(name, directory, descriptor)
            if not os.fstat(descriptor).st_size:  # nobody could write it
                if is_named:
                    os.unlink(name, dir_fd=directory)
            elif not is_named:
                name_file(descriptor, name, directory)

    @property
    def directory(self) -> int:
        """The descriptor of the directory that `write` has made."""
        assert self._directory is not None
        return self._directory

    def close(self) -> None:
        """Leave nothing that was not saved, and no descriptor."""
        # A second signal may come here in the middle of it, and everything is to be tried then.
        _close_all(self._parts)
        for name in list(self._kept):
            _close(self._kept.pop(name))
        with suppress(OSError):
            self._remove_hidden()
        if self._directory is not None:
            _close(self._directory)
            self._directory = None
        if self.results >= 0:
            _close(self.results)
            self.results = -1

    def _new_hidden_file(self, name: str, content: bytes = b"") -> int:
        descriptor = new_file(name, self._make_hidden())
        try:
            write_all(descriptor, content)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _make_hidden(self) -> int:
        """The hidden directory that nobody else has: two runs of a process may be saved at the same time."""
        if self._directory is not None:
            return self._directory
        for number in range(1, MOST_NAMES):
            name = hidden_name(self._stamp, number)
            try:
                os.mkdir(name, 0o700, dir_fd=self.results)
            except FileExistsError:
                continue
            with suppress(FileNotFoundError):  # whoever cleans may meet it before it is locked
                directory = open_made(name, self.results)
                # Whoever cleans may hold it already, and is about to remove it.
                if lock(directory) is not False and leads_to(name, self.results, directory):
                    self._hidden, self._directory = name, directory
                    return directory
                os.close(directory)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _remove_hidden(self) -> None:
        if self._directory is not None and self._hidden:
            directory, self._directory = self._directory, None
            try:
                remove_directory(self._hidden, self.results, directory)
            finally:
                os.close(directory)
                self._hidden = ""

    def _find_again(self) -> None:
        """Somebody may have removed or moved the results while the load ran: that shall not cost the figures."""
        results = open_or_make(self.path)
        try:
            refuse_foreign(results)
            moved = not os.path.samestat(os.fstat(results), os.fstat(self.results))
            removed = self._directory is not None and not leads_to(
                self._hidden, self.results, self._directory
            )
            if moved or removed:
                self._lose_hidden()
        except BaseException:
            os.close(results)
            raise
        os.close(self.results)
        self.results = results

    def _lose_hidden(self) -> None:
        """Only where files had to have a name during the run; unnamed ones live on."""
        if self._directory is None:
            return
        for name in list(self._kept):
            _close(self._kept.pop(name))
            self.warnings.append(f"{self.path / self._hidden}: was removed during the run; {name} is lost")
        os.close(self._directory)
        self._hidden, self._directory = "", None

    def _rename(self) -> str:
        for number in count(1):
            name = result_name(self._stamp, number)
            with suppress(FileNotFoundError):
                os.lstat(name, dir_fd=self.results)
                if number < MOST_NAMES:
                    continue  # rename(2) alone would replace an empty directory
            try:
                os.rename(self._hidden, name, src_dir_fd=self.results, dst_dir_fd=self.results)
            except OSError as error:
                if error.errno not in _NAME_TAKEN or number >= MOST_NAMES:
                    raise
            else:
                break
        self._hidden = ""
        return name


def _path(descriptor: int) -> str:
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        _close(descriptors.pop())


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


def refuse_foreign(results: int) -> None:
    """Raise PermissionError for a results directory of another user's.

    They could read nothing there, but take away and replace what is saved. Root may: it stands in bind mounts of
    other users' directories wherever a container runs. And root's directories are taken, because volumes that an
    orchestrator hands to an ordinary user belong to root; who has root can do all of that anyway.
    """
    owner, user = os.fstat(results).st_uid, os.geteuid()
    if user not in (ROOT, owner) and owner != ROOT:
        try:
            name = f"{pwd.getpwuid(owner).pw_name} ({owner})"
        except KeyError:
            name = str(owner)
        raise PermissionError(errno.EPERM, f"belongs to another user, {name}")


def check_name(name: str) -> None:
    """Raise ValueError for what is no further file of a result."""
    if name == RESULT_FILE or name not in OWN_FILES:
        raise ValueError(f"{name!r} is not the name of a further file of a result")
