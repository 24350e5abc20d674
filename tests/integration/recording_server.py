"""A server that takes everything, answers it all alike, and knows every request byte for byte."""

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.loop_thread import serving

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_BOUNDARY = re.compile(rb'boundary="?([^"\r\n;]+)')
_TRACEPARENT = re.compile(rb"(?<=\r\ntraceparent: )[0-9a-f-]+")
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: given=1\r\nContent-Length: 2\r\n\r\n"
)


class RecordingServer:
    """Counts what it receives: heads, each with the size and the hash of its body; boundaries and traces levelled."""

    def __init__(self) -> None:
        self.port = 0
        self.forget()

    def forget(self) -> tuple["Counter[tuple[bytes, int, str]]", int]:
        """What was received and on how many connections; both begin anew. For when nobody is connected any more."""
        had = getattr(self, "requests", Counter()), getattr(self, "connections", 0)
        self.requests: Counter[tuple[bytes, int, str]] = Counter()
        self.connections = 0
        return had

    def record(self, head: bytes, body: bytes) -> None:
        boundary = _BOUNDARY.search(head)
        if boundary is not None:
            head, body = (part.replace(boundary[1], b"BOUNDARY") for part in (head, body))
        head = _TRACEPARENT.sub(b"IDS", head)
        self.requests[head, len(body), hashlib.sha256(body).hexdigest()] += 1


class _Connection(asyncio.Protocol):
    def __init__(self, server: RecordingServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._needed = 0  # bytes of the request whose head has come

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= self._needed and (end := self._buffer.find(b"\r\n\r\n") + 4) > 3:
            head = bytes(self._buffer[:end])
            length = _LENGTH.search(head)
            self._needed = end + (int(length[1]) if length is not None else 0)
            if len(self._buffer) < self._needed:
                return
            self._server.record(head, bytes(self._buffer[end : self._needed]))
            del self._buffer[: self._needed]
            self._needed = 0
            self._transport.write(_HEAD + (b"" if head.startswith(b"HEAD ") else b"{}"))
            if b"\r\nconnection: close" in head.lower():
                self._transport.close()


@contextmanager
def recording_server(socket: Path) -> Iterator[RecordingServer]:
    """Running on a port of 127.0.0.1, and on this Unix socket."""
    server = RecordingServer()
    with serving(lambda: _Connection(server), socket) as server.port:
        yield server
