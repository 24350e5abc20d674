"""Servers as rules: what the n-th request on a connection gets, so that two runs meet exactly the same answers."""

import itertools
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.http_harness import OK, Connection

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def plain(body: bytes, status: int = 200, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


# Of the client in wire_load. What fills it and what stands behind it come together: one record of TLS, one segment.
BUFFER_BYTES = 8192
assert len(plain(b"z" * 8152)) == BUFFER_BYTES


def closing(body: bytes) -> bytes:
    return plain(body, 200, "Connection: close")


def varied(n: int) -> bytes:
    return plain(b"x" * (n * 7 % 50), 200, f"X-Request-Id: {n:0{8 + n % 30}}")


def in_chunks(n: int) -> bytes:
    return CHUNKED + b"%x;ext=%d\r\n%b\r\n0\r\n\r\n" % (n, n, b"y" * n)


@dataclass
class Rule:
    """The n-th request on a connection, from 1, gets `answer(n)`; None is nothing at all, for ever.

    The connection is closed after an answer that is `last`, and reset after one that is `reset`. `pieces` is in how
    many writes an answer goes out; `corked`, they
    arrive together, over TLS as so many records.
    """

    answer: Callable[[int], bytes | None]
    last: Callable[[int], bool] = lambda _n: False
    resets: bool = False
    pieces: int = 1
    corked: bool = False
    seen: list[bytes] = field(default_factory=list)

    def __call__(self, connection: Connection) -> None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in itertools.count(1):
            got = connection.read_request()
            if got is None:
                return
            self.seen.append(got)
            reply = self.answer(n)
            if reply is None:
                connection.wait_for_end()
                return
            size = -(-len(reply) // self.pieces) or 1
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, self.corked)
            for at in range(0, len(reply), size):
                connection.send(reply[at : at + size])
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            if self.last(n):
                if self.resets:
                    connection.reset()
                return


def every(
    k: int, odd: bytes | None, other: Callable[[int], bytes | None] = lambda _n: OK, pieces: int = 1
) -> Rule:
    """Every k-th answer on a connection is this one."""
    return Rule(lambda n: other(n) if n % k else odd, pieces=pieces, corked=pieces > 1)


def sixth(odd: bytes, *, resets: bool = False) -> Rule:
    """The sixth answer is this one, and the connection ends after it."""
    return Rule(lambda n: OK if n < 6 else odd, lambda n: n == 6, resets)


RULES: dict[str, Callable[[], Rule]] = {
    "the same answer": lambda: Rule(lambda _n: OK),
    "another answer each time": lambda: Rule(varied),
    "the same length, another head": lambda: Rule(lambda n: plain(b"ok", 200, f"X: {n:08}")),
    "the same head, another body": lambda: Rule(lambda n: plain(b"%08d" % n)),
    "the same, in pieces": lambda: Rule(lambda _n: OK, pieces=3),
    "in pieces": lambda: Rule(varied, pieces=4),
    "chunks": lambda: Rule(in_chunks),
    "the same chunks": lambda: Rule(lambda _n: in_chunks(5)),
    "chunks and trailers": lambda: Rule(lambda _n: CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 0\r\n\r\n"),
    "a trailer that looks like the end": lambda: Rule(lambda _n: CHUNKED + b"2\r\nok\r\n0\r\nX:0\r\n\r\n"),
    "an interim answer first": lambda: Rule(lambda _n: b"HTTP/1.1 103 Early\r\nX: 1\r\n\r\n" + OK),
    "an interim answer before chunks": lambda: Rule(lambda n: b"HTTP/1.1 103 E\r\n\r\n" + in_chunks(n)),
    "heads without carriage returns": lambda: Rule(lambda _n: OK.replace(b"\r\n", b"\n")),
    "chunks after such a head": lambda: Rule(
        lambda n: b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n" + in_chunks(n).partition(b"\r\n\r\n")[2]
    ),
    "no content": lambda: Rule(lambda _n: b"HTTP/1.1 204 No Content\r\n\r\n"),
    "no content, and a length": lambda: Rule(lambda _n: b"HTTP/1.1 204 X\r\nContent-Length: 5\r\n\r\n"),
    "not modified": lambda: Rule(lambda _n: b"HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n"),
    "an empty body": lambda: Rule(lambda _n: plain(b"")),
    "larger than the buffer": lambda: Rule(lambda n: plain(b"z" * (65_000 + n * 100))),
    "exactly the buffer": lambda: Rule(lambda _n: plain(b"z" * 8152)),
    "exactly the buffer, and another": lambda: every(6, plain(b"z" * 8152) + OK),
    "a status that fails now and then": lambda: every(4, plain(b"no", 503)),
    "only failures": lambda: Rule(lambda _n: plain(b"no", 503)),
    "close, announced": lambda: every(5, closing(b"bye")),
    "close, announced, always": lambda: Rule(lambda _n: closing(b"bye")),
    "HTTP/1.0": lambda: Rule(lambda _n: b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", lambda _n: True),
    "until the end": lambda: sixth(b"HTTP/1.1 200 OK\r\n\r\nall of it"),
    "a cut body": lambda: sixth(OK[:-1]),
    "a cut head": lambda: sixth(OK[:20]),
    "cut chunks": lambda: sixth(in_chunks(5)[:-4]),
    "an answer and half of another": lambda: sixth(OK + OK[:20]),
    "two answers": lambda: every(6, OK + OK),
    "two answers, in two writes": lambda: every(6, OK + OK, pieces=2),
    "an answer and an empty line": lambda: every(6, OK + b"\r\n"),
    "an answer and a stray byte": lambda: every(6, OK + b"x"),
    "chunks and a stray byte": lambda: every(6, in_chunks(5) + b"0"),
    "garbage": lambda: every(6, b"garbage\r\n\r\n"),
    "a bad chunk": lambda: every(6, CHUNKED + b"zz\r\n"),
    "two lengths": lambda: every(6, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"),
    "another protocol": lambda: every(6, b"HTTP/1.1 101 X\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n"),
    "a status of zero": lambda: every(6, b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n"),
    "a status of 999": lambda: every(6, plain(b"", 999)),
}
