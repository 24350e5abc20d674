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

from perfcore.engine.address_choice import NameTable
from perfcore.engine.redirects import origin

# So many handshakes at a time: a listener's queue is short.
_AT_ONCE = 128

Place = tuple[str, int]  # address and port


class Preconnection:
    """Connections that nobody has taken yet, by address and port."""

    def __init__(self, names: NameTable) -> None:
        self._names = names
        self._standing: dict[Place, list[socket.socket]] = {}
        self._handed: socket.socket | None = None

    def connect(self, urls: Iterable[str], timeout_s: float) -> None:
        """One connection for each URL, to the first address of its host; returns when all stand or time is over."""
        deadline = time.monotonic() + timeout_s
        places = [place for place in map(self._place, urls) if place is not None]
        for first in range(0, len(places), _AT_ONCE):
            opened = [(place, sock) for place in places[first : first + _AT_ONCE] if (sock := _begin(place))]
            for place, sock in _standing(opened, deadline):
                self._standing.setdefault(place, []).append(sock)

    def _place(self, url: str) -> Place | None:
        _, host, port = origin(url)
        if port is None:
            return None
        addresses = self._names.addresses(host, port)
        return (addresses[0], port) if addresses else None

    def take(self, address: object) -> socket.socket | None:
        """A connection to this address (as libcurl gives it: `(host, port, …)`), if one stands."""
        self._forget_handed()
        standing = (
            self._standing.get((str(address[0]), int(address[1]))) if isinstance(address, tuple) else None
        )
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


def _begin(place: Place) -> socket.socket | None:
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    with suppress(BlockingIOError):
        try:
            sock.connect(place)
        except BlockingIOError:
            raise
        except OSError:
            sock.close()
            return None
    return sock


def _standing(
    opened: list[tuple[Place, socket.socket]], deadline: float
) -> list[tuple[Place, socket.socket]]:
    """Those that stand by the deadline; the others are closed."""
    waiting = {sock.fileno(): (place, sock) for place, sock in opened}
    poller = select.poll()
    for fd in waiting:
        poller.register(fd, select.POLLOUT)
    standing = []
    while waiting and (left_s := deadline - time.monotonic()) > 0:
        for fd, _ in poller.poll(left_s * 1000):
            poller.unregister(fd)
            place, sock = waiting.pop(fd)
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                sock.close()
            else:
                standing.append((place, sock))
    for _, sock in waiting.values():
        sock.close()
    return standing


def _is_idle(sock: socket.socket) -> bool:
    """Whether the server has neither closed it nor said anything."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return not poller.poll(0)
