"""A server that knows the traceparent of each request, and holds, refuses or sends on some as their path says."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from integration.loop_thread import serving

_TRACEPARENT = re.compile(rb"\r\ntraceparent: *([^\r\n]*)\r\n", re.IGNORECASE)
_USER = re.compile(rb"\r\nx-user: *(\d+)\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
# Of the requests for /held, by the order in which they come: for so many seconds. Every other one is answered at once.
HOLDS_S = {7: 0.15, 19: 0.25, 31: 0.35}


@dataclass
class TracingServer:
    port: int = 0
    traceparents: dict[str, list[list[str]]] = field(default_factory=dict)
    """By path, of each request in the order in which they came: the values of all its headers of that name."""
    heads: dict[str, set[bytes]] = field(default_factory=dict)
    """By path: what else the heads of its requests hold."""
    held: dict[str, tuple[float, int]] = field(default_factory=dict)
    """By traceparent: how long, and whose request it was by its X-User."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, path: str) -> list[str]:
        """The traceparent of each request for this path, which has exactly one."""
        every = self.traceparents.get(path, [])
        assert all(len(values) == 1 for values in every), every
        return [value for (value,) in every]

    def answer(self, head: bytes) -> tuple[float, bytes]:
        """After how many seconds which one."""
        path = head.split(b" ")[1].decode()
        found = [value.decode() for value in _TRACEPARENT.findall(head)]
        before = self.traceparents.setdefault(path, [])
        before.append(found)
        self.heads.setdefault(path, set()).add(_TRACEPARENT.sub(b"\r\n", head))
        if path == "/held":
            hold_s = HOLDS_S.get(len(before), 0.0)
            user = _USER.search(head)
            if hold_s and user is not None:
                self.held[found[0]] = hold_s, int(user[1])
            return hold_s, _response(b"200 OK")
        if path == "/refused-once" and before.count(found) == 1:
            return 0.0, _response(b"503 Service Unavailable")
        if path == "/hop":
            return 0.0, _response(b"302 Found", b"Location: /landed\r\n")
        return 0.0, _response(b"200 OK")


def _response(status: bytes, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: 2\r\n\r\n{}" % (status, more)


class _Connection(asyncio.Protocol):
    def __init__(self, server: TracingServer) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(self._buffer)
        if end < 4 or len(self._buffer) < end + (int(length[1]) if length is not None else 0):
            return
        head, self._buffer = self._buffer[:end], b""
        hold_s, response = self._server.answer(head)
        if hold_s:
            asyncio.get_running_loop().call_later(hold_s, self._transport.write, response)
        else:
            self._transport.write(response)


@contextmanager
def tracing_server() -> Iterator[TracingServer]:
    """Running on a port of 127.0.0.1."""
    server = TracingServer()
    with serving(lambda: _Connection(server)) as server.port:
        yield server
