"""Routes about bodies: of a size, in chunks, compressed; and those that take one in. See routes.py for the rules."""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from urllib.parse import unquote

from perfcore.target.messages import (
    BINARY_TYPE,
    JSON_TYPE,
    Plan,
    RefusalError,
    Request,
    Response,
    Stream,
    json_response,
)
from perfcore.target.multipart import parse_form
from perfcore.target.state import TargetState
from perfcore.units import parse_count

BLOCK_BYTES = 65_536
# Larger answers are streamed. Up to a thousand smaller ones are remembered by the server, so this bounds them.
_WHOLE_BYTES = 16_384
FILLER = b"0123456789abcdef" * (BLOCK_BYTES // 16)
_BODY_METHODS = ("POST", "PUT", "PATCH")
# What zlib calls the two formats: gzip is RFC 1952; "deflate" means RFC 1950, not the bare RFC 1951.
_WINDOW_BITS = {"gzip": 31, "deflate": 15}
_NO_COMPRESSION = b"These bytes are not compressed, whatever the header says.\n"


def sized(request: Request, state: TargetState) -> Plan:
    """N bytes with a Content-Length."""
    size = parse_count(unquote(request.rest))
    if size <= _WHOLE_BYTES:
        return request.encode(Response(200, FILLER[:size], BINARY_TYPE))
    head = request.head(Response(200, content_type=BINARY_TYPE), f"Content-Length: {size}")
    if request.method == "HEAD":
        return head
    return Stream(head, lambda: blocks(size, BLOCK_BYTES))


def chunked(request: Request, state: TargetState) -> Plan:
    """N bytes in chunks of `?chunk=` bytes (16 KiB); HTTP/1.0 has no chunks, there closing ends them."""
    size = parse_count(unquote(request.rest))
    chunk = parse_count(request.parameter("chunk", "16384"))
    if not 1 <= chunk <= BLOCK_BYTES:
        raise RefusalError(400, f"chunk={chunk} is not between 1 and {BLOCK_BYTES}")
    response = Response(200, content_type=BINARY_TYPE)
    if request.version == "1.0":
        request.keeps_alive = False
        head = request.head(response, "")
        return head if request.method == "HEAD" else Stream(head, lambda: blocks(size, BLOCK_BYTES))
    head = request.head(response, "Transfer-Encoding: chunked")
    if request.method == "HEAD":
        return head
    if size <= _WHOLE_BYTES:
        return head + b"".join(_chunks(size, chunk))
    return Stream(head, lambda: _chunks(size, chunk))


def blocks(size: int, block: int) -> Iterator[bytes]:
    whole = FILLER[:block]
    for _ in range(size // block):
        yield whole
    if size % block:
        yield FILLER[: size % block]


def _chunks(size: int, chunk: int) -> Iterator[bytes]:
    """Small chunks come several in a piece, for each piece costs a system call."""
    frame = b"%x\r\n%b\r\n" % (chunk, FILLER[:chunk])
    at_once = max(1, BLOCK_BYTES // len(frame))
    piece = frame * at_once
    pieces, left = divmod(size // chunk, at_once)
    for _ in range(pieces):
        yield piece
    tail = frame * left
    if size % chunk:
        tail += b"%x\r\n%b\r\n" % (size % chunk, FILLER[: size % chunk])
    yield tail + b"0\r\n\r\n"


def gzip(request: Request, state: TargetState) -> Plan:
    return _compressible(request, "gzip")


def deflate(request: Request, state: TargetState) -> Plan:
    return _compressible(request, "deflate")


def _compressible(request: Request, coding: str) -> Plan:
    """JSON of `?size=` bytes (1000), compressed if the client accepts it; with `?broken=1` only said to be."""
    opening, closing = b'{"route": "%b", "filler": "' % request.path.encode("latin-1"), b'"}'
    size = parse_count(request.parameter("size", "1000"))
    filled = size - len(opening) - len(closing)
    if filled < 0:
        raise RefusalError(400, f"size={size} is less than {len(opening) + len(closing)}")
    headers: tuple[tuple[str, str], ...] = (("Vary", "Accept-Encoding"),)
    if request.flag("broken"):
        return request.encode(
            Response(200, _NO_COMPRESSION, headers=(*headers, ("Content-Encoding", coding)))
        )

    def plain() -> Iterator[bytes]:
        return chain((opening,), blocks(filled, BLOCK_BYTES), (closing,))

    if not accepts(request.header(b"accept-encoding"), coding):
        if size <= _WHOLE_BYTES:
            return request.encode(Response(200, b"".join(plain()), headers=headers))
        head = request.head(Response(200, headers=headers), f"Content-Length: {size}")
        return head if request.method == "HEAD" else Stream(head, plain)
    headers = (*headers, ("Content-Encoding", coding))
    if size <= _WHOLE_BYTES:
        return request.encode(Response(200, b"".join(_compressed(plain(), coding)), headers=headers))
    return _of_unknown_length(request, headers, lambda: _compressed(plain(), coding))


def _of_unknown_length(
    request: Request, headers: tuple[tuple[str, str], ...], body: Callable[[], Iterator[bytes]]
) -> Plan:
    """In chunks; HTTP/1.0 has none, there closing ends it."""
    response = Response(200, content_type=JSON_TYPE, headers=headers)
    if request.version == "1.0":
        request.keeps_alive = False
        head = request.head(response, "")
        return head if request.method == "HEAD" else Stream(head, body)
    head = request.head(response, "Transfer-Encoding: chunked")
    return head if request.method == "HEAD" else Stream(head, lambda: _framed(body()))


def _framed(parts: Iterator[bytes]) -> Iterator[bytes]:
    for part in parts:
        yield b"%x\r\n%b\r\n" % (len(part), part) if part else b""
    yield b"0\r\n\r\n"


def _compressed(parts: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """Empty pieces come too: the caller decides how much compressing is enough for one turn."""
    compressor = zlib.compressobj(level=1, wbits=_WINDOW_BITS[coding])
    for part in parts:
        yield compressor.compress(part)
    yield compressor.flush()


def accepts(text: str, coding: str) -> bool:
    """Whether an Accept-Encoding allows this coding by name, or by * where it is not named (RFC 9110, 12.5.3)."""
    weights: dict[str, bool] = {}
    for item in text.lower().split(","):
        name, _, weight = item.partition(";")
        weights[name.strip()] = weight.replace(" ", "").removeprefix("q=").strip("0.") != "" or not weight
    return weights.get(coding, weights.get("*", False))


def upload(request: Request, state: TargetState) -> Plan:
    """How many bytes came, and their SHA-256; nothing of them is kept."""
    _needs_body_method(request)
    digest = (request.body_hash or hashlib.sha256()).hexdigest()
    return request.encode(json_response(200, {"bytes": request.body_bytes, "sha256": digest}))


def multipart(request: Request, state: TargetState) -> Plan:
    """The fields of a multipart/form-data body, and what its files are."""
    _needs_body_method(request)
    return request.encode(json_response(200, parse_form(request.header(b"content-type"), request.body)))


def _needs_body_method(request: Request) -> None:
    if request.method not in _BODY_METHODS:
        raise RefusalError(405, f"/{request.segment} takes {', '.join(_BODY_METHODS)}")
