"""Directories and files that only their owner can read, made relative to a descriptor and never through a link.

A umask takes bits away from what a mode asks for, so modes are set after making. Setting the process's umask
instead would change it for every thread of a caller.
"""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY_BY_CHOICE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_UNREAD_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNNAMED_FILE = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC
_PRIVATE_DIRECTORY, _PRIVATE_FILE = 0o700, 0o600
# What a file system answers that has no unnamed files (NFS, 9p); an old one takes the flag for a directory's.
_NO_UNNAMED_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOSYS, errno.EINVAL})


def open_or_make(path: Path) -> int:
    """The directory's descriptor; it and its missing parents are made (0700).

    A link on the way is followed: which directory to use is the user's choice.
    """
    with suppress(FileNotFoundError):
        return os.open(path, _DIRECTORY_BY_CHOICE)
    parent = open_or_make(path.parent)
    try:
        os.mkdir(path.name, _PRIVATE_DIRECTORY, dir_fd=parent)
        return open_made(path.name, parent)
    except FileExistsError:  # somebody else was faster, or it is a link that leads nowhere
        return os.open(path, _DIRECTORY_BY_CHOICE)
    finally:
        os.close(parent)


def open_made(name: str, parent: int) -> int:
    """The descriptor of a directory that was just made, private now whatever the umask was."""
    # With a umask like 0777 not even its owner can read it yet.
    unread = os.open(name, _UNREAD_DIRECTORY, dir_fd=parent)
    try:
        made = os.fstat(unread)
        if os.geteuid() not in (0, made.st_uid):  # root may be nobody to a file server
            raise PermissionError(errno.EPERM, "was replaced by somebody else")
        if stat.S_IMODE(made.st_mode) != _PRIVATE_DIRECTORY:
            os.chmod(f"/proc/self/fd/{unread}", _PRIVATE_DIRECTORY)
        return os.open(".", DIRECTORY, dir_fd=unread)
    finally:
        os.close(unread)


def new_file(name: str, directory: int) -> int:
    """The descriptor of a file that was not there before (0600). Raises FileExistsError, for a link too."""
    return _made_private(os.open(name, _NEW_FILE, _PRIVATE_FILE, dir_fd=directory))


def unnamed_file(directory: int) -> int | None:
    """The descriptor of a file without a name, which `name_file` may give one; None where that does not exist."""
    try:
        return _made_private(os.open(".", _UNNAMED_FILE, _PRIVATE_FILE, dir_fd=directory))
    except OSError as error:
        if error.errno in _NO_UNNAMED_FILES:
            return None
        raise


def name_file(descriptor: int, name: str, directory: int) -> None:
    """Give an unnamed file of the same file system a name that is not there yet."""
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)


def _made_private(descriptor: int) -> int:
    try:
        os.fchmod(descriptor, _PRIVATE_FILE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of it and have it on the disk; a disk that fills up takes a part first, and then refuses."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def lock(descriptor: int) -> bool | None:
    """Hold a directory as long as the descriptor is open; False when somebody else does, None where nobody can."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def leads_to(name: str, parent: int, descriptor: int) -> bool:
    """Whether the name still is that of the open file or directory."""
    try:
        return os.path.samestat(os.lstat(name, dir_fd=parent), os.fstat(descriptor))
    except FileNotFoundError:
        return False
