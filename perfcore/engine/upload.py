"""A request's body that is too large to be held: pieces of memory and of files, read as they are sent.

The files are opened before the fork, so that every worker reads what the suite meant when it was loaded, and are
read by position, so that any number of users may be at different places of the same one.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

# Bodies up to here are held in memory: sending them costs no Python call.
HELD_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FilePiece:
    """A whole file, open for reading; `size` is what it had when it was opened."""

    fd: int
    size: int

    def __len__(self) -> int:
        return self.size

    def read_at(self, offset: int, size: int) -> bytes:
        return os.pread(self.fd, min(size, self.size - offset), offset)


@dataclass(frozen=True, slots=True)
class HeldPiece:
    """Bytes in memory."""

    content: bytes

    def __len__(self) -> int:
        return len(self.content)

    def read_at(self, offset: int, size: int) -> bytes:
        return self.content[offset : offset + size]


class Upload:
    """Pieces in their order. `len()` is the body's length in bytes."""

    __slots__ = ("_ends", "_length", "_pieces")

    def __init__(self, pieces: Iterable[FilePiece | HeldPiece]) -> None:
        self._pieces = [piece for piece in pieces if len(piece)]
        self._ends = list(accumulate(len(piece) for piece in self._pieces))
        self._length = self._ends[-1] if self._ends else 0

    def __len__(self) -> int:
        return self._length

    def read_at(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`; empty at the end, or where a file has become shorter than it was."""
        for piece, end in zip(self._pieces, self._ends, strict=True):
            if offset < end:
                return piece.read_at(offset - (end - len(piece)), size)
        return b""


def open_piece(path: Path) -> FilePiece:
    """The file as it is now, by its size. The descriptor is inherited by the workers and never closed before them."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return FilePiece(fd, os.fstat(fd).st_size)
