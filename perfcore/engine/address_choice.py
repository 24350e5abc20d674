"""`dns: {select: …}`: which of a name's several addresses a user's next connection goes to.

libcurl takes the first that answers, for every connection. Here the name is looked up once by each worker (so that
the `dns` phase of such a test holds no look-up), and the users are spread over what it says.
"""

import random
import socket
from collections.abc import Callable, Sequence

Resolve = Callable[[str, int], Sequence[str]]


def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name in the resolver's order; none when it cannot be resolved (libcurl will say so)."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_address(host: str) -> bool:
    """Whether it is no name, so that there is nothing to choose."""
    return ":" in host or host.replace(".", "").isdigit()


class NameTable:
    """What the names that a worker connects to resolve to; each looked up once."""

    def __init__(self, resolve: Resolve = resolve) -> None:
        self._resolve = resolve
        self._known: dict[str, Sequence[str]] = {}

    def addresses(self, host: str, port: int) -> Sequence[str]:
        if host not in self._known:
            self._known[host] = self._resolve(host, port)
        return self._known[host]


class AddressChoice:
    """One user's: with `round_robin` users begin at different addresses and move on by one with each connection."""

    def __init__(self, select: str, names: NameTable, user: int) -> None:
        self._select = select
        self._names = names
        self._next = user - 1
        self._draw = random.Random(user)

    def pick(self, host: str, port: int) -> str | None:
        """The address for the next connection to this host; None leaves it to libcurl."""
        addresses = self._names.addresses(host, port)
        if not addresses:
            return None
        if self._select == "random":
            return self._draw.choice(addresses)
        self._next += 1
        return addresses[(self._next - 1) % len(addresses)]
