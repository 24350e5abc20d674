"""A few requests of a worker to itself before the load starts.

A fresh fork pays for its first steps: pages copied on first write, libcurl's and the interpreter's first use of
every path. Measured, the first requests of a run were 3 to 5 ms late and as much too long; that belongs to the
generator and not into anybody's figures.
"""

import socket
import time
from contextlib import suppress

from perfcore.engine.transport import Exchange, Request, RequestSettings, Transport

REQUESTS = 20
LONGEST_S = 0.5
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_SETTINGS = RequestSettings(
    method="GET",
    timeout_s=LONGEST_S,
    connect_timeout_s=LONGEST_S,
    keepalive=True,
    tls_verify=True,
    tls_ca=None,
    tls_cert=None,
    tls_key=None,
    keep_body=False,
    keep_headers=False,
)


def rehearse(transport: Transport) -> None:
    """Send REQUESTS to a listening socket of this very process, then close the transport. Never fails."""
    deadline = time.monotonic() + LONGEST_S
    try:
        with suppress(OSError), socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            request = Request(_SETTINGS, f"http://127.0.0.1:{listener.getsockname()[1]}/", [], None)
            exchange = Exchange(1, 0, None)
            with _Peer(listener) as peer:
                for _ in range(REQUESTS):
                    transport.start(exchange, request)
                    while time.monotonic() < deadline and not transport.poll(0.0):
                        peer.answer()
                    if time.monotonic() >= deadline:
                        return
    finally:
        transport.close()


class _Peer:
    """The server's side, in the same thread: answers what has come."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._connection: socket.socket | None = None

    def __enter__(self) -> "_Peer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def answer(self) -> None:
        with suppress(BlockingIOError):
            if self._connection is None:
                self._connection = self._listener.accept()[0]
                self._connection.setblocking(False)
            if self._connection.recv(4096):
                self._connection.sendall(_ANSWER)
