"""The body of a test's requests: text, JSON, a form, a file, or a form with files."""

import random
from pathlib import Path
from typing import NamedTuple

from perfcore.engine.multipart_body import FilePart, choose_boundary, file_parts, text_parts
from perfcore.engine.request_parts import Part, encoded_pairs, joined, joined_pairs, part_of
from perfcore.engine.upload import HELD_BYTES, FilePiece, HeldPiece, Upload, open_piece
from perfcore.errors import SetupFailedError
from perfcore.suite.multipart import Multipart
from perfcore.suite.template import compile_json, compile_text
from perfcore.suite.test_case import TestCase
from perfcore.suite.text_template import Scope

_HAS_BODY_BY_NATURE = frozenset({"POST", "PUT", "PATCH"})


class RequestBody(NamedTuple):
    """`content` is None for no body, `content_type` for one whose type nobody knows; `files` are those left open."""

    content: Part[bytes | Upload] | None
    content_type: str | None = None
    files: tuple[FilePiece, ...] = ()


def compile_body(case: TestCase, scope: Scope, source: random.Random) -> RequestBody:
    """`source` decides what is left to chance. Raises SetupFailedError for a file that cannot be read any more."""
    if case.body is not None:
        return RequestBody(part_of(compile_text(case.body, scope), str.encode))
    if case.has_json:
        return RequestBody(part_of(compile_json(case.json_body, scope), bytes), "application/json")
    if case.form is not None:
        pairs = encoded_pairs(case.form, scope)
        form = joined([part for _, part in pairs], lambda texts: joined_pairs(pairs, texts).encode())
        return RequestBody(_widened(form), "application/x-www-form-urlencoded")
    if case.multipart is not None:
        return _compile_multipart(case.multipart, scope, source)
    if case.body_file is not None:
        (piece,) = _pieces([case.body_file])
        if isinstance(piece, HeldPiece):
            return RequestBody(Part(piece.content))
        return RequestBody(Part(Upload([piece])), files=(piece,))
    # These have a body by nature; without one they say so with Content-Length: 0.
    return RequestBody(Part(b"") if case.method in _HAS_BODY_BY_NATURE else None)


def _compile_multipart(multipart: Multipart, scope: Scope, source: random.Random) -> RequestBody:
    names = [name for name, texts in multipart.fields.items() for _ in texts]
    templates = [compile_text(text, scope) for texts in multipart.fields.values() for text in texts]
    paths = [(name, path) for name, listed in multipart.files.items() for path in listed]
    pieces = _pieces([path for _, path in paths])
    texts = [*names, *(text for template in templates for text in template.literals)]
    texts += [text for name, path in paths for text in (name, path.name)]
    held = [piece.content for piece in pieces if isinstance(piece, HeldPiece)]
    boundary = choose_boundary(source, [*(text.encode("utf-8", "replace") for text in texts), *held])
    parts = [FilePart(name, path, piece) for (name, path), piece in zip(paths, pieces, strict=True)]
    tail = file_parts(boundary, parts)
    files = tuple(piece for piece in pieces if isinstance(piece, FilePiece))

    if files:

        def finish(values: list[str]) -> bytes | Upload:
            return Upload([HeldPiece(text_parts(boundary, zip(names, values, strict=True))), *tail])

    else:
        end = b"".join(piece.content for piece in tail if isinstance(piece, HeldPiece))

        def finish(values: list[str]) -> bytes | Upload:
            return text_parts(boundary, zip(names, values, strict=True)) + end

    content = joined([part_of(template, str) for template in templates], finish)
    return RequestBody(content, f"multipart/form-data; boundary={boundary}", files)


def _pieces(paths: list[Path]) -> list[HeldPiece | FilePiece]:
    """The files, in memory when they are small together: the workers share the pages. Otherwise open."""
    try:
        if sum(path.stat().st_size for path in paths) <= HELD_BYTES:
            return [HeldPiece(path.read_bytes()) for path in paths]
        return [open_piece(path) for path in paths]
    except OSError as error:
        raise SetupFailedError(f"{error.filename}: cannot be read any more: {error.strerror}") from None


def _widened(part: Part[bytes]) -> Part[bytes | Upload]:
    return Part(part.constant, part.render)
