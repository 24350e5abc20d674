"""Reads a multipart/form-data body (RFC 7578) strictly: what a client gets wrong is told, not mended."""

import hashlib
import re

from perfcore.target.messages import TOKEN, RefusalError

_MAX_PARTS = 1_000
_TYPE = re.compile(r"multipart/form-data\s*;(.*)", re.IGNORECASE | re.DOTALL)
# A quoted value may hold an escaped quote; browsers write %22 for it, and so does libcurl.
_PARAMETER = re.compile(r'\s*([^\s=;"]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))\s*(?:;|$)')
_PERCENT_ESCAPES = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))


def parse_form(content_type: str, body: bytes) -> dict[str, object]:
    """`fields` (name to text) and `files` (name to filename, content_type, bytes, sha256); RefusalError if wrong.

    A name that comes several times has a list of all of its values.
    """
    fields: dict[str, list[object]] = {}
    files: dict[str, list[object]] = {}
    for raw_headers, content in _parts(_boundary(content_type), body):
        headers = _headers(raw_headers)
        kind, _, rest = headers.get("content-disposition", "").partition(";")
        parameters = _parameters(rest)
        if kind.strip().lower() != "form-data" or "name" not in parameters:
            raise RefusalError(400, "a part has no Content-Disposition: form-data with a name")
        name = _unescaped(parameters["name"])
        if "filename" not in parameters:
            fields.setdefault(name, []).append(content.decode("utf-8", "backslashreplace"))
            continue
        seen = {
            "filename": _unescaped(parameters["filename"]),
            "content_type": headers.get("content-type"),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        files.setdefault(name, []).append(seen)
    return {"fields": _single(fields), "files": _single(files)}


def _single(values: dict[str, list[object]]) -> dict[str, object]:
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def _boundary(content_type: str) -> bytes:
    match = _TYPE.fullmatch(content_type)
    if match is None:
        raise RefusalError(400, f"Content-Type {content_type!r} is not multipart/form-data with a boundary")
    boundary = _parameters(match[1]).get("boundary", "")
    if not 1 <= len(boundary) <= 70:
        raise RefusalError(400, "the boundary is missing, or longer than 70 characters")
    return boundary.encode("latin-1")


def _parts(boundary: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    """The raw headers and the content of each part."""
    delimiter = b"\r\n--" + boundary
    if body.count(delimiter) > _MAX_PARTS:
        raise RefusalError(400, f"more than {_MAX_PARTS} parts")
    preamble, *pieces = (b"\r\n" + body).split(delimiter)
    if preamble or not pieces:
        raise RefusalError(400, "the body does not begin with the boundary")
    if pieces[-1] not in (b"--", b"--\r\n"):
        raise RefusalError(400, "the body does not end with the closing boundary")
    parts: list[tuple[bytes, bytes]] = []
    for piece in pieces[:-1]:
        line, first_newline, rest = piece.partition(b"\r\n")
        headers, blank_line, content = rest.partition(b"\r\n\r\n")
        if line.strip(b" \t") or not first_newline or not blank_line:
            raise RefusalError(400, "a part is not headers, an empty line and a content")
        parts.append((headers, content))
    return parts


def _headers(raw: bytes) -> dict[str, str]:
    """By name in lower case. Names of fields and files are UTF-8 (RFC 7578 section 5.1)."""
    try:
        lines = raw.decode().split("\r\n")
    except UnicodeDecodeError:
        raise RefusalError(400, "the headers of a part are not UTF-8") from None
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not TOKEN.fullmatch(name):
            raise RefusalError(400, f"{line!r} is no header of a part")
        headers[name.lower()] = value.strip()
    return headers


def _parameters(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            raise RefusalError(400, f"{text.strip()!r} are no parameters of a header")
        found[match[1].lower()] = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2])
        at = match.end()
    return found


def _unescaped(text: str) -> str:
    for escape, character in _PERCENT_ESCAPES:
        text = text.replace(escape, character)
    return text
