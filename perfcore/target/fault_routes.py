"""Routes that misbehave, each in one known way. The request is read and counted before, like any other."""

from collections.abc import Iterator
from itertools import pairwise

from perfcore.target.basic_routes import milliseconds
from perfcore.target.body_routes import BLOCK_BYTES, FILLER, blocks
from perfcore.target.messages import (
    BINARY_TYPE,
    Ending,
    Exchange,
    Plan,
    RefusalError,
    Request,
    Response,
    Stream,
    json_response,
)
from perfcore.target.state import TargetState
from perfcore.units import parse_count

_STILL_TO_COME = 1_000
_NO_HTTP = bytes(range(128, 256)) * (BLOCK_BYTES // 128)
_ENDLESS_LINE = b"X-Endless: " + FILLER[:64] + b"\r\n"
_MAX_PIECES = 1_000


def reset(request: Request, state: TargetState) -> Plan:
    """A reset in place of an answer, or after `?after=` bytes of a body that was to be longer."""
    return _broken_off(request, Ending.RESET)


def hang(request: Request, state: TargetState) -> Plan:
    """No answer, or nothing more after `?after=` bytes of a body that was to be longer."""
    return _broken_off(request, Ending.SILENCE)


def _broken_off(request: Request, ending: Ending) -> Plan:
    text = request.parameter("after", "")
    if not text:
        return lambda exchange: exchange.end(ending)
    sent = parse_count(text)
    announced = f"Content-Length: {sent + _STILL_TO_COME}"
    return _cut(request, request.head(Response(200, content_type=BINARY_TYPE), announced), sent, ending)


def _cut(request: Request, head: bytes, sent: int, ending: Ending) -> Plan:
    return Stream(head, lambda: blocks(0 if request.method == "HEAD" else sent, BLOCK_BYTES), ending)


def truncate(request: Request, state: TargetState) -> Plan:
    """Announces `?size=` bytes (1000), sends `?sent=` (half of them) and closes.

    With `?chunked=1` the announcement is that of a chunk, with `?head=1` it ends within the head.
    """
    size = parse_count(request.parameter("size", "1000"))
    sent = parse_count(request.parameter("sent", str(size // 2)))
    if sent >= size:
        raise RefusalError(400, f"sent={sent} is not less than size={size}")
    response = Response(200, content_type=BINARY_TYPE)
    if request.flag("chunked"):
        head = request.head(response, "Transfer-Encoding: chunked")
        return _cut(
            request, head + (b"" if request.method == "HEAD" else b"%x\r\n" % size), sent, Ending.CLOSE
        )
    head = request.head(response, f"Content-Length: {size}")
    if request.flag("head"):
        return _cut(request, head[: len(head) // 2], 0, Ending.CLOSE)
    return _cut(request, head, sent, Ending.CLOSE)


def garbage(request: Request, state: TargetState) -> Plan:
    """`?size=` bytes (1000) that are no HTTP, then closes."""
    return _endless(b"", _NO_HTTP, parse_count(request.parameter("size", "1000")))


def endless_headers(request: Request, state: TargetState) -> Plan:
    """`?lines=` header lines (a million) without an end of the head, then closes."""
    lines = parse_count(request.parameter("lines", "1M"))
    repeated = _ENDLESS_LINE * (BLOCK_BYTES // len(_ENDLESS_LINE))
    return _endless(b"HTTP/1.1 200 OK\r\n", repeated, lines * len(_ENDLESS_LINE))


def _endless(head: bytes, repeated: bytes, size: int) -> Plan:
    """The first `size` bytes of a repetition; made as the client takes them."""
    whole, left = divmod(size, len(repeated))

    def pieces() -> Iterator[bytes]:
        for _ in range(whole):
            yield repeated
        yield repeated[:left]

    return Stream(head, pieces, Ending.CLOSE)


def slow_headers(request: Request, state: TargetState) -> Plan:
    """The head in `?pieces=` (5) with `?delay_ms=` (100) before each but the first; the body with the last."""
    count = parse_count(request.parameter("pieces", "5"))
    pause_ns = milliseconds(request.parameter("delay_ms", "100"))
    if not 1 <= count <= _MAX_PIECES:
        raise RefusalError(400, f"pieces={count} is not between 1 and {_MAX_PIECES}")
    # The filler makes the head long enough for so many pieces.
    wire = request.encode(json_response(200, {"status": "ok"}, (("X-Filler", "x" * count),)))
    head_bytes = wire.index(b"\r\n\r\n") + 4
    edges = [head_bytes * number // count for number in range(count)] + [len(wire)]
    pieces = [wire[start:stop] for start, stop in pairwise(edges)]

    def answer(exchange: Exchange, number: int = 0) -> None:
        if number == count - 1:
            exchange.send(pieces[number])
            return
        exchange.send_raw(pieces[number])
        due_ns = exchange.arrived_ns + (number + 1) * pause_ns
        exchange.hold(due_ns, lambda: answer(exchange, number + 1))

    return answer


def close(request: Request, state: TargetState) -> Plan:
    """A whole answer that promises to keep the connection, which is closed `?after_ms=` (0) later all the same.

    A request that arrives in between is counted and not answered.
    """
    held_ns = milliseconds(request.parameter("after_ms", "0"))
    wire = request.encode(json_response(200, {"status": "ok"}))

    def answer(exchange: Exchange) -> None:
        exchange.send_raw(wire)
        if held_ns:
            exchange.hold(exchange.arrived_ns + held_ns, lambda: exchange.end(Ending.CLOSE))
        else:
            exchange.end(Ending.CLOSE)

    return answer
