"""Connections of the wire path: libcurl makes them (CONNECT_ONLY) and owns them, the bytes on them are ours.

DNS, proxy, TCP, TLS, client certificates and their timings are libcurl's as in a transfer. A handle stays in its
CurlMulti as long as its connection is used: to take it out is to close the connection, and the only way to.
"""

import os
import socket
import termios
from array import array
from collections.abc import Callable
from fcntl import ioctl
from functools import partial
from typing import Any

import pycurl

from perfcore.engine.curl_errors import error_code, error_text
from perfcore.engine.curl_handle import FAR_NS, TIMEOUT_SOCKET, Shard, default_ca_file, local_address
from perfcore.engine.curl_options import set_addresses, set_local_address, set_settings
from perfcore.engine.poller import READ, Poller
from perfcore.engine.receive_stamps import ANCILLARY_BYTES, ask_for_stamps, peek_stamp, stamp_of
from perfcore.engine.socket_watch import SocketWatch, curl_events
from perfcore.engine.transport import Request, RequestSettings

# What reading and writing raise, BlockingIOError among it.
BROKEN = (OSError, pycurl.error)
# A fresh connection is looked for in no pool, so a CurlMulti may hold many; each costs 10 KiB.
CONNECTIONS_PER_SHARD = 200
_FIONREAD = termios.FIONREAD
_OVERHEADS = range(21, 65)  # of the ciphers of today; with more there was something else in it
_arrived = array("i", [0])  # bytes in the socket, undecrypted


class Connection:
    """One connection, being made or standing. Phases are microseconds since it was asked for.

    `send(bytes)` and `recv_into(buffer)` return sizes, `recv_stamped(buffer)` a size and when the kernel received it
    (see receive_stamps; 0 where that is not known). They raise BlockingIOError, and OSError or pycurl.error when the
    connection is broken.
    """

    __slots__ = (
        "_on_end",
        "_overhead",
        "_receive",
        "_socket",
        "address",
        "awaits_room",
        "connect_us",
        "dns_us",
        "error",
        "error_text",
        "fd",
        "handle",
        "has_ended",
        "is_tls",
        "owner",
        "recv_into",
        "recv_stamped",
        "send",
        "settings",
        "shard",
        "tls_us",
    )

    def __init__(
        self,
        owner: Any,
        handle: "pycurl.Curl",
        shard: Shard,
        settings: RequestSettings,
        on_end: Callable[[Any], None],
    ) -> None:
        self.owner = owner
        self._on_end = on_end
        self.handle = handle
        self.shard = shard
        self.settings = settings
        self._receive: Callable[[Any], int] | None = None  # libcurl's, over TLS
        self._socket: socket.socket | None = None
        self._overhead = -1  # bytes by which a TLS record is longer than what it carries
        self.fd = -1  # as long as it does not stand
        self.is_tls = False
        self.awaits_room = False  # watched for room to send, too
        self.address = ""
        self.dns_us = self.connect_us = self.tls_us = 0
        self.has_ended = False  # TLS has said so; the socket may say it later, or never
        self.error = 0  # an outcome's code, when it could not be made
        self.error_text = ""
        self.send: Callable[[Any], int] = handle.send
        self.recv_into: Callable[[Any], int] = handle.recv_into
        self.recv_stamped: Callable[[Any], tuple[int, int]] | None = None

    def stand(self, is_tls: bool) -> None:
        """libcurl has made it."""
        getinfo = self.handle.getinfo_raw
        self.fd = getinfo(pycurl.ACTIVESOCKET)
        self.is_tls = is_tls
        dns_us, connect_us = getinfo(pycurl.NAMELOOKUP_TIME_T), getinfo(pycurl.CONNECT_TIME_T)
        tls_us = getinfo(pycurl.APPCONNECT_TIME_T)
        self.dns_us = dns_us
        self.connect_us = max(0, connect_us - dns_us)
        self.tls_us = max(0, tls_us - connect_us) if tls_us else 0
        path = self.settings.unix_socket
        self.address = (
            f"unix:{path}" if path else bytes(getinfo(pycurl.PRIMARY_IP)).decode("utf-8", "replace")
        )
        # The family is of no matter here; that it is given saves asking the kernel.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=self.fd)
        ask_for_stamps(self._socket)
        if is_tls:
            self._receive, self.recv_into = self.recv_into, self._receive_all
            self.recv_stamped = partial(_receive_peeked, self._socket, self.recv_into)
        else:
            # libcurl's own send and recv cost twice as much, and do nothing else where there is no TLS.
            self.send = self._socket.send
            self.recv_into = self._socket.recv_into
            self.recv_stamped = partial(_receive_stamped, self._socket)

    def _receive_all(self, buffer: memoryview) -> int:
        """Over TLS: what OpenSSL has taken from the socket wakes nobody, so everything is read that there is, or fits.

        To read until nothing is left costs a fifth of a small request. Not done where one record was in the socket:
        they differ in their overhead, if at all, by less than another one is long. One that arrives in the very moment
        between looking and reading is left; whoever waits for more of an answer has to read again.
        """
        assert self._receive is not None
        ioctl(self.fd, _FIONREAD, _arrived)
        arrived = _arrived[0]
        size = self._receive(buffer)
        if arrived - size == self._overhead and size:
            return size
        return self._receive_rest(buffer, size, arrived)

    def _receive_rest(self, buffer: memoryview, first: int, arrived: int) -> int:
        receive = self._receive
        assert receive is not None
        size = part = first
        try:
            while part and size < len(buffer):
                part = receive(buffer[size:])
                size += part
        except BlockingIOError:
            if size == first and arrived - first in _OVERHEADS:
                self._overhead = arrived - first
            return size
        except pycurl.error:
            return size  # it comes again
        if not part:
            self.has_ended = True
            self._on_end(self.owner)
        return size

    def let_go(self) -> None:
        """libcurl is about to close the descriptor."""
        if self._socket is not None:
            self._socket.detach()
            self._socket = None
        # In a circle nobody would find it: workers do not look for garbage.
        self.recv_into, self.recv_stamped = self.handle.recv_into, None

    def has_input(self) -> bool:
        """Whether a connection on which nothing is asked has something to say, its end included.

        Over TLS what it said is lost then.
        """
        if self._socket is not None and not self.is_tls:
            try:
                self._socket.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return False
            except OSError:
                pass
            return True
        try:
            self.handle.recv(1)
        except BlockingIOError:
            return False  # TLS speaks of itself now and then
        except pycurl.error:
            pass
        return True

    @property
    def stands(self) -> bool:
        return self.fd >= 0


def _receive_stamped(connection: socket.socket, buffer: memoryview) -> tuple[int, int]:
    size, ancillary, _, _ = connection.recvmsg_into((buffer,), ANCILLARY_BYTES)
    return size, stamp_of(ancillary)


def _receive_peeked(
    connection: socket.socket, receive: Callable[[memoryview], int], buffer: memoryview
) -> tuple[int, int]:
    """Over TLS: of the first bytes that wait, before OpenSSL takes them."""
    stamp_ns = peek_stamp(connection)
    return receive(buffer), stamp_ns


class Connector:
    """Makes and closes connections on CurlMulti shards.

    `on_closed(fd)` is called right before one is closed, `on_end(owner)` when TLS says that it ends.
    """

    def __init__(
        self, poller: Poller, on_closed: Callable[[int], None], on_end: Callable[[Any], None]
    ) -> None:
        self._poller = poller
        self._on_closed = on_closed
        self._on_end = on_end
        self._watch: SocketWatch[Shard] = SocketWatch(poller)
        self._shards: list[Shard] = []
        self._roomy: list[Shard] = []
        self._connection_of: dict[pycurl.Curl, Connection] = {}  # being made
        self._spare: dict[int, list[pycurl.Curl]] = {}  # configured, by the identity of their settings
        self._settings: dict[int, RequestSettings] = {}  # so that no identity comes twice
        self._touched: list[Shard] = []
        self._ca_file = default_ca_file()
        self.ended: list[Connection] = []  # made, or failed with an error; whoever takes them empties it
        self.wake_ns = FAR_NS

    def connect(
        self,
        owner: Any,
        request: Request,
        user: int,
        timeout_s: float,
        address: tuple[str, str] | None = None,
    ) -> Connection:
        """Begin to connect as this request would; `address` is (host, address) where one was chosen for the name."""
        settings = request.settings
        handle = self._handle(settings)
        handle.setopt(pycurl.URL, request.url)
        handle.setopt(pycurl.TIMEOUT_MS, max(1, round(timeout_s * 1000)))
        if address is not None:
            set_addresses(handle, {**settings.resolve, address[0]: address[1]})
        elif settings.dns_select != "first":
            set_addresses(handle, settings.resolve)  # the handle may know an earlier choice
        local = local_address(settings, user)
        if local:
            set_local_address(handle, local)
        shard = self._roomy_shard()
        shard.users += 1
        shard.active += 1
        connection = Connection(owner, handle, shard, settings, self._on_end)
        self._connection_of[handle] = connection
        shard.add_handle(handle)
        self._act(shard, TIMEOUT_SOCKET, 0)
        return connection

    def close(self, connection: Connection) -> None:
        """Close a connection, or give up making it. Not while events of its descriptor may wait to be handled."""
        if connection.error:
            return  # it never stood, and its handle is back
        connection.let_go()
        if self._connection_of.pop(connection.handle, None) is not None:
            connection.shard.active -= 1
        self._put_back(connection)
        connection.fd = -1

    def serve(self, fd: int, ready: int) -> None:
        """Something has happened on a descriptor that is libcurl's."""
        if fd >= len(self._watch.owner):  # given up, and of a kind that libcurl has never asked to watch
            self._poller.unregister(fd)
            return
        shard = self._watch.owner[fd]
        if shard is None or not self._watch.wanted[fd]:
            self._watch.unregister(fd)
            return
        self._act(shard, fd, 1 if ready == READ else curl_events(ready))

    def serve_timers(self, now_ns: int) -> None:
        """Call libcurl where it wants to be called by now, and find out when it wants to be next."""
        if now_ns >= self.wake_ns:
            for shard in self._shards:
                if shard.deadline_ns <= now_ns:
                    shard.deadline_ns = FAR_NS
                    self._act(shard, TIMEOUT_SOCKET, 0)
        if self._touched or now_ns >= self.wake_ns:
            for shard in self._touched:
                shard.touched = False
                ms = shard.timeout()
                shard.deadline_ns = FAR_NS if ms < 0 else now_ns + ms * 1_000_000
            self._touched.clear()
            self.wake_ns = min((shard.deadline_ns for shard in self._shards), default=FAR_NS)

    @property
    def has_news(self) -> bool:
        """Whether something has ended, or libcurl has still to say when it wants to be called."""
        return bool(self.ended or self._touched)

    def shut(self) -> None:
        """Forget everything; every connection has been closed."""
        for handles in self._spare.values():
            for handle in handles:
                handle.close()
        for shard in self._shards:
            shard.close()
        self._spare.clear()
        self._settings.clear()
        self._shards.clear()
        self._roomy.clear()

    def _handle(self, settings: RequestSettings) -> "pycurl.Curl":
        key = id(settings)
        spare = self._spare.get(key)
        if spare:
            return spare.pop()
        self._settings[key] = settings
        handle = pycurl.Curl()
        set_settings(handle, settings, self._ca_file)
        handle.setopt(pycurl.CONNECT_ONLY, 1)
        handle.setopt(pycurl.FRESH_CONNECT, 1)
        handle.setopt(pycurl.FORBID_REUSE, 0)
        handle.setopt(pycurl.CLOSESOCKETFUNCTION, self._close_socket)
        return handle

    def _roomy_shard(self) -> Shard:
        while self._roomy:
            if self._roomy[-1].users < CONNECTIONS_PER_SHARD:
                return self._roomy[-1]
            self._roomy.pop()
        shard = Shard()
        shard.multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch.callback(shard))
        self._shards.append(shard)
        self._roomy.append(shard)
        return shard

    def _put_back(self, connection: Connection) -> None:
        """Take a handle out of its CurlMulti, which closes its connection; another one may have both."""
        handle, shard = connection.handle, connection.shard
        shard.remove_handle(handle)
        if shard.users == CONNECTIONS_PER_SHARD:
            self._roomy.append(shard)
        shard.users -= 1
        self._spare.setdefault(id(connection.settings), []).append(handle)

    def _act(self, shard: Shard, fd: int, events: int) -> None:
        if not shard.touched:
            shard.touched = True
            self._touched.append(shard)
        if shard.act(fd, events)[1] < shard.active:
            self._collect(shard)

    def _collect(self, shard: Shard) -> None:
        waiting = 1
        while waiting:
            waiting, succeeded, failed = shard.info_read()
            for handle in succeeded:
                connection = self._connection_of.pop(handle)
                shard.active -= 1
                connection.stand(bytes(handle.getinfo_raw(pycurl.SCHEME)).lower() == b"https")
                self._take_over(connection.fd)
                self.ended.append(connection)
            for handle, curl_code, message in failed:
                connection = self._connection_of.pop(handle)
                shard.active -= 1
                self._note_failure(connection, curl_code, message)
                self._put_back(connection)
                self.ended.append(connection)

    def _take_over(self, fd: int) -> None:
        """From now on the descriptor is watched for the wire path, whatever libcurl wanted of it."""
        self._watch.forget(fd)
        try:
            self._poller.modify(fd, READ)
        except FileNotFoundError:
            self._poller.register(fd, READ)

    @staticmethod
    def _note_failure(connection: Connection, curl_code: int, message: str) -> None:
        getinfo = connection.handle.getinfo_raw
        os_errno = getinfo(pycurl.OS_ERRNO)
        connection.error_text = error_text(curl_code, message or connection.handle.errstr(), os_errno)
        connection.error = error_code(
            curl_code,
            os_errno,
            connection.error_text,
            is_tls=bytes(getinfo(pycurl.EFFECTIVE_URL)).lower().startswith(b"https:"),
            connected=getinfo(pycurl.REQUEST_SIZE) > 0,
            answer_began=False,
        )

    def _close_socket(self, fd: int) -> int:
        self._watch.forget(fd)
        self._on_closed(fd)
        os.close(fd)
        return 0
