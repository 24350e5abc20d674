"""`preconnect: true`: TCP connections that stand before the first request is due.

They are made here, by plain sockets, while the worker gets ready, and handed to libcurl when it wants to open one to
the same address: it then goes on with the TLS handshake, if any, or with the request. A connection that cannot be made
is left to the first request, which meets the same and is counted.
"""

import select
import socket
import time
from collections.abc import Iterable
from contextlib import suppress

from perfcore.engine.transport import RequestSettings

# So many handshakes at a time: a listener's queue is short.
_AT_ONCE = 128
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h

Way = tuple[str, str, int]
"""From which address of this machine (empty: any), to which address and port."""


def local_address(settings: RequestSettings, user: int) -> str:
    """Where the user's connections come from; empty where the suite says nothing."""
    addresses = settings.local_addresses
    return addresses[(user - 1) % len(addresses)] if addresses else ""


def new_socket(family: int, kind: int, protocol: int, local: str) -> socket.socket | None:
    """A socket for a connection that does not stand yet; None when it cannot come from the address it should."""
    sock = socket.socket(family, kind, protocol)
    if local:
        with suppress(OSError):
            # The port is chosen with the connection, so that it is free for this way and not for all.
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        try:
            sock.bind((local, 0))
        except OSError:
            sock.close()
            return None
    return sock


class Preconnection:
    """Connections that nobody has taken yet, by their way."""

    def __init__(self) -> None:
        self._standing: dict[Way, list[socket.socket]] = {}
        self._handed: socket.socket | None = None

    def connect(self, ways: Iterable[Way], timeout_s: float) -> None:
        """One connection for each; returns when all stand or the time is over."""
        deadline = time.monotonic() + timeout_s
        left = list(ways)
        for first in range(0, len(left), _AT_ONCE):
            opened = [(way, sock) for way in left[first : first + _AT_ONCE] if (sock := _begin(way))]
            for way, sock in _standing(opened, deadline):
                self._standing.setdefault(way, []).append(sock)

    def take(self, way: Way) -> socket.socket | None:
        """A connection of this way, if one stands."""
        self._forget_handed()
        standing = self._standing.get(way)
        while standing:
            sock = standing.pop()
            if _is_idle(sock):
                self._handed = sock
                return sock
            sock.close()  # the server did not want to wait
        return None

    def _forget_handed(self) -> None:
        # libcurl has made a descriptor of its own of it by now.
        if self._handed is not None:
            self._handed.close()
            self._handed = None

    def close(self) -> None:
        self._forget_handed()
        for standing in self._standing.values():
            for sock in standing:
                sock.close()
        self._standing.clear()


def _begin(way: Way) -> socket.socket | None:
    local, address, port = way
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = new_socket(family, socket.SOCK_STREAM, 0, local)
    if sock is None:
        return None
    sock.setblocking(False)
    try:
        sock.connect((address, port))
    except BlockingIOError:
        pass
    except OSError:
        sock.close()
        return None
    return sock


def _standing(opened: list[tuple[Way, socket.socket]], deadline: float) -> list[tuple[Way, socket.socket]]:
    """Those that stand by the deadline; the others are closed."""
    waiting = {sock.fileno(): (way, sock) for way, sock in opened}
    poller = select.poll()
    for fd in waiting:
        poller.register(fd, select.POLLOUT)
    standing = []
    while waiting and (left_s := deadline - time.monotonic()) > 0:
        for fd, _ in poller.poll(left_s * 1000):
            poller.unregister(fd)
            way, sock = waiting.pop(fd)
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                sock.close()
            else:
                standing.append((way, sock))
    for _, sock in waiting.values():
        sock.close()
    return standing


def _is_idle(sock: socket.socket) -> bool:
    """Whether the server has neither closed it nor said anything."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return not poller.poll(0)
