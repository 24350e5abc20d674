"""`preconnect: true`: connections that stand before the first request is due, made by libcurl itself, TLS included.

What is not obvious:

- A transfer with the settings of the request is refused by libcurl while it makes the request's head: after name,
  connect, proxy and TLS, before the first byte of the request. libcurl takes the connection for unused then, and keeps
  it in the user's pool, where the first request finds it (`set_refused_head` in engine/curl_options.py).
- After the handshake a server of TLS 1.3 sends tickets, and one of HTTP/2 its settings. libcurl drops a kept connection
  that has something to read, as soon as a second has passed. So the kernel is told to report the socket as readable
  only when there is much of it (SO_RCVLOWAT), or its end, until the first request is under way.

A connection that cannot be made is left to the first request, which meets the same and is counted.
"""

import socket
import time
from collections.abc import Iterable
from contextlib import suppress

from perfcore.engine.curl_handle import REFUSED, TIMEOUT_SOCKET, Shard, User
from perfcore.engine.poller import Poller, is_readable
from perfcore.engine.socket_watch import SocketWatch, curl_events
from perfcore.engine.transport import Request

# So many handshakes at a time: a listener's queue is short.
_AT_ONCE = 128
# More than a server says unasked; below half of any receive buffer, so that the kernel does not make that larger.
_UNASKED_BYTES = 16_384
_LONGEST_WAIT_S = 0.1
_POLL_IN, _POLL_REMOVE = 1, 4  # curl/multi.h

Key = tuple[int, int]
"""Test and number of a user."""


class Preconnection:
    """Users whose connections stand, and who have sent nothing yet."""

    def __init__(self, poller: Poller, watch: SocketWatch[Shard], ca_file: str | None) -> None:
        self._poller = poller
        self._watch = watch
        self._ca_file = ca_file
        self._under_way: dict[object, tuple[Key, User, Request]] = {}
        self._standing: dict[Key, User] = {}
        self._is_refused = True  # as it should be; else a request was sent, and no further one is to be

    def connect(self, users: Iterable[tuple[Key, User, Request]], timeout_s: float) -> None:
        """Connect these as their requests will; returns when all stand or have failed, or the time is over.

        `users` is asked for the next one when there is room for it. Nothing else may be under way.
        """
        deadline = time.monotonic() + timeout_s
        coming = iter(users)
        try:
            while (left_s := deadline - time.monotonic()) > 0:
                while self._is_refused and len(self._under_way) < _AT_ONCE and (found := next(coming, None)):
                    self._begin(*found, left_s)
                if not self._under_way:
                    break
                self._advance(left_s)
        finally:
            for _, user, _ in self._under_way.values():
                user.shard.remove_handle(user.handle)
                _discard(user)
            self._under_way.clear()

    def take(self, key: Key) -> User | None:
        """The user that was connected, for its first request; its connection may have been closed meanwhile."""
        return self._standing.pop(key, None)

    def close(self) -> None:
        for user in self._standing.values():
            _discard(user)
        self._standing.clear()

    def _begin(self, key: Key, user: User, request: Request, timeout_s: float) -> None:
        if user.begin_to_connect(request, self._ca_file, timeout_s):
            self._under_way[user.handle] = key, user, request
        else:
            _discard(user)

    def _advance(self, left_s: float) -> None:
        shards = {user.shard for _, user, _ in self._under_way.values()}
        wishes = [ms / 1000 for shard in shards if (ms := shard.timeout()) >= 0]
        for fd, ready in self._poller.wait(min(left_s, _LONGEST_WAIT_S, *wishes)):
            shard = self._watch.owner[fd]
            if shard is None or not self._watch.wanted[fd]:
                self._watch.unregister(fd)
            else:
                shard.act(fd, curl_events(ready))
        for shard in shards:
            shard.act(TIMEOUT_SOCKET, 0)
            self._collect(shard)

    def _collect(self, shard: Shard) -> None:
        waiting = 1
        while waiting:
            waiting, succeeded, failed = shard.info_read()
            self._is_refused &= not succeeded
            for handle in succeeded:
                self._end(handle, was_refused=False)
            for handle, curl_code, _ in failed:
                self._end(handle, was_refused=curl_code == REFUSED)

    def _end(self, handle: object, *, was_refused: bool) -> None:
        key, user, request = self._under_way.pop(handle)
        stands = user.end_to_connect()
        if not stands or not was_refused:
            _discard(user)
            return
        user.is_framed = request.settings.http_version == "3"  # over UDP, where servers speak at any time
        if _may_be_spoken_on(request):
            _report_from(user.fd, _UNASKED_BYTES)
        # What epoll watches at the moment may be that it can be written.
        want = self._watch.callback(user.shard)
        want(_POLL_IN, user.fd, None, None)
        want(_POLL_REMOVE, user.fd, None, None)
        self._standing[key] = user


def can_be_used(user: User) -> bool:
    """Whether a user's connection that has carried nothing yet is one that the server goes on with."""
    return user.open_sockets > 0 and (user.is_framed or not is_readable(user.fd))


def report_all(fd: int) -> None:
    """The first request is under way: from now on whatever comes is for it."""
    _report_from(fd, 1)


def _may_be_spoken_on(request: Request) -> bool:
    """Whether a server may say something before it is asked."""
    settings = request.settings
    is_tls = request.url.lower().startswith("https:") or settings.proxy.lower().startswith("https:")
    return is_tls or settings.http_version == "2-prior-knowledge"


def _report_from(fd: int, least_bytes: int) -> None:
    """Have the kernel report this socket as readable when it holds so many bytes, or its end."""
    with suppress(OSError):  # closed meanwhile
        sock = socket.socket(fileno=fd)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least_bytes)
        finally:
            sock.detach()


def _discard(user: User) -> None:
    user.shard.users -= 1
    user.close_connections()
    user.handle.close()
