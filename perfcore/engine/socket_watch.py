"""Which descriptors epoll watches for which CurlMulti, and what libcurl wants of each at the moment.

libcurl asks for a socket anew for each request and gives it back after. A descriptor stays registered over that,
which saves two system calls a request; the tables here, indexed by descriptor, tell what is really wanted.
The numbers for what is wanted are libcurl's own (curl/multi.h).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from perfcore.engine.poller import READ, WRITE, Poller

_IN, _OUT, _IN_AND_OUT, _REMOVE = 1, 2, 3, 4
_EPOLL_EVENTS = {_IN: READ, _OUT: WRITE, _IN_AND_OUT: READ | WRITE}
_READABLE, _WRITABLE, _ERROR = 1, 2, 4
UNWANTED = 0

Owner = TypeVar("Owner")


class SocketWatch(Generic[Owner]):
    """`wanted[fd]` and `owner[fd]` are read by the loop; everything is changed here."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self.wanted: list[int] = []
        self.owner: list[Owner | None] = []
        self._registered: list[int] = []

    def callback(self, owner: Owner) -> Callable[[int, int, object, object], None]:
        """What libcurl calls, twice a request, to say what it wants of a socket; the usual two cases first."""
        wanted, registered, owners = self.wanted, self._registered, self.owner

        def want(what: int, fd: int, _multi: object, _data: object) -> None:
            if what == _REMOVE:
                wanted[fd] = UNWANTED
            elif fd < len(wanted) and owners[fd] is owner and registered[fd] == what:
                wanted[fd] = what
            else:
                self._watch(owner, what, fd)

        return want

    def _watch(self, owner: Owner, what: int, fd: int) -> None:
        if fd >= len(self.wanted):
            self._grow(fd)
        self.wanted[fd] = what
        self.owner[fd] = owner
        registered = self._registered[fd]
        if registered == what:
            return
        mask = _EPOLL_EVENTS[what]
        try:
            (self._poller.modify if registered else self._poller.register)(fd, mask)
        except FileNotFoundError:
            # The row was that of an earlier socket with this number, which libcurl closed without telling.
            self._poller.register(fd, mask)
        except FileExistsError:
            self._poller.modify(fd, mask)
        self._registered[fd] = what

    def _grow(self, fd: int) -> None:
        more = max(fd + 1, 2 * len(self.wanted), 256) - len(self.wanted)
        self.wanted.extend([UNWANTED] * more)
        self._registered.extend([UNWANTED] * more)
        self.owner.extend([None] * more)

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor that nobody wants at the moment: its event would come again and again."""
        self._registered[fd] = UNWANTED
        with suppress(OSError):  # closed meanwhile, which takes it out of epoll by itself
            self._poller.unregister(fd)

    def forget(self, fd: int) -> None:
        """The descriptor is about to be closed; the next socket may get its number."""
        if fd < len(self.wanted):
            self._registered[fd] = UNWANTED
            self.wanted[fd] = UNWANTED
            self.owner[fd] = None


def curl_events(ready: int) -> int:
    """epoll's events as libcurl's: readable, writable, and anything else as an error."""
    events = (_READABLE if ready & READ else 0) | (_WRITABLE if ready & WRITE else 0)
    return events | (_ERROR if ready & ~(READ | WRITE) else 0)
