"""A body of multipart/form-data (RFC 7578), names escaped as browsers do (WHATWG, "multipart form data")."""

import random
from collections.abc import Iterable, Sequence
from mimetypes import guess_type
from pathlib import Path
from typing import NamedTuple

from perfcore.engine.upload import FilePiece, HeldPiece

_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


class FilePart(NamedTuple):
    """A file under the name of a field; `path` gives the name and the type that are told to the server."""

    name: str
    path: Path
    piece: HeldPiece | FilePiece


def choose_boundary(source: random.Random, contents: Iterable[bytes]) -> str:
    """A boundary that occurs in none of the contents: what is sent in a part must not end it."""
    known = tuple(contents)
    while True:
        boundary = f"perfcore-{source.getrandbits(128):032x}"
        if not any(boundary.encode() in content for content in known):
            return boundary


def text_parts(boundary: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """The parts that are texts, one after the other."""
    return b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(name)}"\r\n\r\n'.encode()
        + text.encode()
        + b"\r\n"
        for name, text in fields
    )


def file_parts(boundary: str, files: Sequence[FilePart]) -> list[HeldPiece | FilePiece]:
    """The parts that are files, and the end of the body."""
    pieces: list[HeldPiece | FilePiece] = []
    for name, path, piece in files:
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(name)}"; '
            f'filename="{_escaped(path.name)}"\r\n'
            f"Content-Type: {guess_type(path.name)[0] or 'application/octet-stream'}\r\n\r\n"
        )
        # A file's name is bytes, not always of UTF-8.
        pieces += [HeldPiece(head.encode("utf-8", "surrogateescape")), piece, HeldPiece(b"\r\n")]
    return [*pieces, HeldPiece(f"--{boundary}--\r\n".encode())]


def _escaped(name: str) -> str:
    return name.translate(_ESCAPES)
