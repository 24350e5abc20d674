"""A server that is slow at first: what it holds falls from 40 ms to 2 ms, for each path from its first request on."""

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from integration.loop_thread import serving

FIRST_MS = 40.0
LAST_MS = 2.0
TAU_S = 1.0
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class WarmingServer:
    def __init__(self) -> None:
        self.port = 0
        self.requests: Counter[str] = Counter()
        """By path."""
        self._began_s: dict[str, float] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hold_s(self, path: str, now_s: float) -> float:
        self.requests[path] += 1
        warm_s = now_s - self._began_s.setdefault(path, now_s)
        return (LAST_MS + (FIRST_MS - LAST_MS) * math.exp(-warm_s / TAU_S)) / 1000


class _Connection(asyncio.Protocol):
    def __init__(self, server: WarmingServer) -> None:
        self._server = server
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            loop = asyncio.get_running_loop()
            hold_s = self._server.hold_s(head.split(b" ")[1].decode(), loop.time())
            loop.call_later(hold_s, self._transport.write, _ANSWER)


@contextmanager
def warming_server() -> Iterator[WarmingServer]:
    """Running on a port of 127.0.0.1."""
    server = WarmingServer()
    with serving(lambda: _Connection(server)) as server.port:
        yield server
