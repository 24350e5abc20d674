"""HttpClient: the Transport over libcurl transfers.

What is not obvious:

- Users are held in several CurlMulti ("shards") over one epoll, since libcurl's cost of one request grows with
  the handles in a CurlMulti.
- There is no timer callback: two to three Python calls a request are saved by asking each touched shard once a
  pass (`CurlMulti.timeout`) for when it wants to be called.
- libcurl sends a request again by itself when the kept connection turns out dead. It looks before it sends only
  on connections that were idle for a second; those that the server closes meanwhile are dropped here as soon as
  epoll tells of it, and once a server has been seen to do so, every kept connection is looked at before use.

libcurl's objects and their settings are in engine/curl_handle.py, the descriptors in engine/socket_watch.py.
"""

import os
import time
from functools import partial

import pycurl

from perfcore.engine.curl_errors import error_code, error_text
from perfcore.engine.curl_handle import FAR_NS, Address, Shard, User, default_ca_file
from perfcore.engine.poller import READ, Poller, is_readable
from perfcore.engine.rehearsal import rehearse
from perfcore.engine.socket_watch import SocketWatch, curl_events
from perfcore.engine.transport import Exchange, Request
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import CONNECTED, RESENT

USERS_PER_SHARD = 40
# After so long in one batch the loop gets its turn, so that due starts are not kept waiting.
BATCH_NS = 250_000
# But not after fewer completions than usually fit: a pass costs as much as a request, and on a slow machine (or
# under a profiler) time alone would make every pass one of a single completion.
LEAST_BATCH = 24
_TIMEOUT_SOCKET = pycurl.SOCKET_TIMEOUT
_clock_ns = time.monotonic_ns
# Bytes by which a request may differ from what the first one foretells: the digits of Content-Length, non-ASCII.
_SIZE_SLACK = 32
# A body up to here is sent in one go with its head: whatever the server answered, it was sent whole.
_SENT_AT_ONCE_BYTES = 16_384
_NO_BODY_STATUSES = (204, 304)
_TRUNCATED = CODE["truncated"]

# Names of their own for what every request asks: a module's attribute is a second look-up each time.
_RESPONSE_CODE = pycurl.RESPONSE_CODE
_FIRST_BYTE_US = pycurl.STARTTRANSFER_TIME_T
_BODY_SIZE = pycurl.SIZE_DOWNLOAD_T
_HEAD_SIZE = pycurl.HEADER_SIZE


class HttpClient:
    """libcurl transfers on CurlMulti shards, one epoll over all of them. See engine/transport.py for the methods."""

    name = "transfer"

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._watch: SocketWatch[Shard] = SocketWatch(poller)
        self._shards: list[Shard] = []
        self._users: list[User] = []
        self._exchange_of: dict[pycurl.Curl, Exchange] = {}
        self._user_of: dict[int, User] = {}  # by descriptor
        self._touched: list[Shard] = []
        self._unhandled: list[tuple[int, int]] = []  # events that the last pass had no time for
        self._early: list[Exchange] = []  # ended while they were started
        self._kept: list[Exchange] = []  # with an answer that will be handed back with them
        self._judged: list[Exchange] = []  # with one that was, in the last pass
        self._wake_ns = FAR_NS
        self._addresses: dict[tuple[int, str], Address] = {}
        self._ca_file = default_ca_file()
        self._is_wary = False  # the server closes connections without saying so: look before each request
        self._ends_empty = False  # the server has ended an empty answer by closing, which is its right

    @property
    def in_flight(self) -> int:
        return sum(shard.active for shard in self._shards) + len(self._early)

    # -- one request ---------------------------------------------------------------------------------------

    def start(self, exchange: Exchange, request: Request) -> None:
        """Send `request` now; `exchange.issued_ns` is stamped right before libcurl gets it."""
        user = exchange.transport_state
        if user is None:
            user = self._open(exchange)
        if user.configured is not request:
            user.configure(request, self._ca_file)
        if self._is_wary and user.open_sockets:
            self._drop_if_dead(user)
        shard = user.shard
        user.active = True
        shard.active += 1
        exchange.issued_ns = _clock_ns()
        shard.add_handle(user.handle)
        # libcurl starts a transfer only when it is next called; one call for each, so that `issued` is right.
        if shard.act(_TIMEOUT_SOCKET, 0)[1] < shard.active:
            self._collect(shard, _clock_ns(), self._early)
        if not shard.touched:
            shard.touched = True
            self._touched.append(shard)

    def poll(self, timeout_s: float) -> list[Exchange]:
        """Exchanges that have ended, `done_ns` stamped after the last byte of each."""
        if self._judged:
            self._forget_judged()
        completed, self._early = self._early, []
        begin_ns = _clock_ns()
        timeout_s = self._until_libcurl_wants(begin_ns, timeout_s)
        events = self._unhandled or self._poller.wait(0 if completed else timeout_s)
        self._unhandled = []
        owners, wanted = self._watch.owner, self._watch.wanted
        begin_ns = _clock_ns()
        for fd, ready in events:
            shard = owners[fd]
            if shard is None or not wanted[fd]:
                self._watch.unregister(fd)
                self._drop_idle(fd)
                continue
            if not shard.touched:
                shard.touched = True
                self._touched.append(shard)
            if shard.act(fd, 1 if ready == READ else curl_events(ready))[1] < shard.active:
                now_ns = _clock_ns()
                self._collect(shard, now_ns, completed)
                if now_ns - begin_ns > BATCH_NS and len(completed) >= LEAST_BATCH:
                    # For the next pass. Should one of them be out of date by then, libcurl finds nothing to read.
                    self._unhandled = events[events.index((fd, ready)) + 1 :]
                    break
        if _clock_ns() >= self._wake_ns:
            self._serve_timers(completed)
        if self._kept:
            self._judged, self._kept = self._kept, []
        return completed

    def cut(self, exchange: Exchange) -> None:
        user = exchange.transport_state
        if user is not None and user.active:
            self._release(user)

    def keep_next(self, exchange: Exchange) -> None:
        """Keep the user's next answer, body and headers, as a sample."""
        exchange.transport_state.keep_next()

    def location(self, exchange: Exchange) -> str | None:
        """The answer's Location as an absolute URL, as far as it can be read."""
        url = exchange.transport_state.handle.getinfo_raw(pycurl.REDIRECT_URL)
        return bytes(url).decode("utf-8", "backslashreplace") if url else None

    def rehearse(self) -> None:
        rehearse(HttpClient(Poller()))

    def addresses(self) -> dict[int, dict[str, dict[str, int]]]:
        """By test and address: the connections opened to it and the requests sent to it."""
        counted: dict[int, dict[str, dict[str, int]]] = {}
        for (case, address), counts in self._addresses.items():
            figures = {"connections": counts.connections, "requests": counts.requests}
            counted.setdefault(case, {})[address] = figures
        return counted

    def close(self) -> None:
        for user in self._users:
            if user.active:
                self._release(user)
            user.close_connections()
        for user in self._users:
            user.handle.close()
        for shard in self._shards:
            shard.close()
        self._poller.close()
        self._users.clear()
        self._exchange_of.clear()
        self._user_of.clear()
        self._shards.clear()

    # -- when libcurl wants to be called --------------------------------------------------------------------

    def _until_libcurl_wants(self, now_ns: int, timeout_s: float) -> float:
        for shard in self._touched:
            shard.touched = False
            ms = shard.timeout()
            shard.deadline_ns = FAR_NS if ms < 0 else now_ns + ms * 1_000_000
            if shard.deadline_ns < self._wake_ns:
                self._wake_ns = shard.deadline_ns
        self._touched.clear()
        return max(0.0, min(timeout_s, (self._wake_ns - now_ns) / 1e9))

    def _serve_timers(self, completed: list[Exchange]) -> None:
        now_ns = _clock_ns()
        for shard in self._shards:
            if shard.deadline_ns <= now_ns:
                shard.deadline_ns = FAR_NS
                running = shard.act(_TIMEOUT_SOCKET, 0)[1]
                if not shard.touched:
                    shard.touched = True
                    self._touched.append(shard)
                if running < shard.active:
                    self._collect(shard, _clock_ns(), completed)
        self._wake_ns = min((shard.deadline_ns for shard in self._shards), default=FAR_NS)

    # -- completions ------------------------------------------------------------------------------------------

    def _collect(self, shard: Shard, now_ns: int, completed: list[Exchange]) -> None:
        waiting = 1
        while waiting:
            waiting, succeeded, failed = shard.info_read()
            for handle in succeeded:
                exchange = self._exchange_of[handle]
                exchange.done_ns = now_ns
                self._finish(exchange, shard)
                completed.append(exchange)
            for handle, curl_code, message in failed:
                exchange = self._exchange_of[handle]
                exchange.done_ns = now_ns
                self._finish_failed(exchange, curl_code, message)
                completed.append(exchange)

    def _finish(self, exchange: Exchange, shard: Shard) -> None:
        user = exchange.transport_state
        getinfo = user.getinfo
        # First, as _release does: a connection that is not kept is closed by it, and that is looked at below.
        shard.remove_handle(user.handle)
        user.active = False
        shard.active -= 1
        exchange.error = 0
        exchange.status = getinfo(_RESPONSE_CODE)
        first_byte_us = getinfo(_FIRST_BYTE_US)
        body_bytes = getinfo(_BODY_SIZE)
        exchange.received_bytes = body_bytes + getinfo(_HEAD_SIZE)
        if not body_bytes and self._head_was_cut(exchange, user):
            exchange.error = _TRUNCATED
            exchange.error_text = "the server closed the connection within the head of its answer"
            exchange.status = 0
        if user.sockets or user.head_size is None:
            self._note_connection(exchange, user, first_byte_us)
        else:
            exchange.ttfb_us = first_byte_us
            user.address.requests += 1
            if not user.plain:
                # What a request on a kept connection leaves at these values needs saying once.
                user.plain = True
                exchange.flags = 0
                exchange.attempts = 1
                exchange.dns_us = exchange.connect_us = exchange.tls_us = 0
                exchange.sent_bytes = user.head_size
        if user.keeps:
            self._hand_over_kept(exchange, user)

    def _finish_failed(self, exchange: Exchange, curl_code: int, message: str) -> None:
        user = exchange.transport_state
        getinfo = user.getinfo
        self._release(user)
        exchange.status = 0
        exchange.received_bytes = getinfo(_BODY_SIZE) + getinfo(_HEAD_SIZE)
        # A transfer that fails while it connects gets its remaining instants set to that of the failure: what was
        # sent and received tells how far it came, the instants do not.
        first_byte_us = getinfo(_FIRST_BYTE_US) if exchange.received_bytes else 0
        exchange.error_text = error_text(curl_code, message or user.handle.errstr())
        self._note_connection(exchange, user, first_byte_us)
        exchange.error = error_code(
            curl_code,
            getinfo(pycurl.OS_ERRNO),
            exchange.error_text,
            is_tls=user.configured.url.lower().startswith("https:"),
            connected=exchange.sent_bytes > 0,
            answer_began=exchange.received_bytes > 0,
        )
        if user.keeps:
            self._hand_over_kept(exchange, user)

    def _head_was_cut(self, exchange: Exchange, user: User) -> bool:
        """Whether an empty answer that ended with its connection was cut within its head.

        libcurl takes such an answer for a whole one. A kept head shows; of one that was not kept, whether the
        server is known to end empty answers by closing.
        """
        if user.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T) >= 0:
            return False
        if self._user_of.get(user.fd) is user and not is_readable(user.fd):
            return False  # the connection goes on, so the answer had an end
        if user.keeps:
            self._ends_empty = self._ends_empty or user.kept.head_is_whole
            return not user.kept.head_is_whole
        request = user.configured
        has_none = exchange.status in _NO_BODY_STATUSES or (
            request is not None and request.settings.method == "HEAD"
        )
        return not has_none and not self._ends_empty

    def _note_connection(self, exchange: Exchange, user: User, first_byte_us: int) -> None:
        """The figures of a request that opened a connection, or whose size is not known yet."""
        user.plain = False
        getinfo = user.getinfo
        connect_end_us = getinfo(pycurl.CONNECT_TIME_T)
        tls_end_us = getinfo(pycurl.APPCONNECT_TIME_T)
        ready_us = 0
        opened, user.sockets = user.sockets, 0
        closed, user.closed = user.closed, 0
        exchange.dns_us = exchange.connect_us = exchange.tls_us = 0
        exchange.flags = 0
        exchange.attempts = 1
        if opened and connect_end_us:
            dns_end_us = getinfo(pycurl.NAMELOOKUP_TIME_T)
            exchange.flags = CONNECTED
            exchange.dns_us = dns_end_us
            exchange.connect_us = max(0, connect_end_us - dns_end_us)
            exchange.tls_us = max(0, tls_end_us - connect_end_us) if tls_end_us else 0
            ready_us = max(connect_end_us, tls_end_us)
            user.address = self._address(exchange.case, bytes(getinfo(pycurl.PRIMARY_IP)).decode("ascii"))
            user.address.connections += 1
        exchange.ttfb_us = max(0, first_byte_us - ready_us)
        exchange.sent_bytes = getinfo(pycurl.REQUEST_SIZE)  # heads and bodies, of all times that it was sent
        if exchange.sent_bytes:
            user.address.requests += 1
        had_connection = user.open_sockets - opened + closed > 0
        self._note_size(exchange, user, may_be_resent=opened > 0 and had_connection)

    def _note_size(self, exchange: Exchange, user: User, *, may_be_resent: bool) -> None:
        """Learn what one request takes, and see whether libcurl sent this one again by itself.

        It does so when the kept connection turns out dead: another one was opened then, and its count of sent
        bytes holds the request twice.
        """
        request = user.configured
        assert request is not None
        body_bytes = len(request.body or b"")
        variable = len(request.url) + sum(len(line) + 2 for line in request.headers) + body_bytes
        if may_be_resent:
            if user.overhead is not None:
                once = user.overhead + variable
                if exchange.sent_bytes + _SIZE_SLACK >= 2 * once:
                    exchange.attempts = 2
                    exchange.flags |= RESENT
                    self._is_wary = True
            return
        was_sent_whole = body_bytes <= _SENT_AT_ONCE_BYTES or 200 <= exchange.status < 400
        if exchange.sent_bytes and was_sent_whole:
            if user.overhead is None:
                user.overhead = exchange.sent_bytes - variable
            if exchange.flags == 0 and not exchange.error:
                user.head_size = exchange.sent_bytes

    def _address(self, case: int, address: str) -> Address:
        return self._addresses.setdefault((case, address), Address())

    def _hand_over_kept(self, exchange: Exchange, user: User) -> None:
        exchange.body, exchange.headers = user.kept.take()
        self._kept.append(exchange)
        user.keep_only_what_is_asked_for()

    def _forget_judged(self) -> None:
        # An answer that is not kept must not seem to be the one before it. Those of `_kept` have a new one already.
        for exchange in self._judged:
            if exchange not in self._kept:
                exchange.body = b""
                exchange.headers = {}
        self._judged.clear()

    def _release(self, user: User) -> None:
        shard = user.shard
        shard.remove_handle(user.handle)
        user.active = False
        shard.active -= 1

    # -- users and their sockets ------------------------------------------------------------------------------

    def _open(self, exchange: Exchange) -> User:
        shard = self._shards[-1] if self._shards else None
        if shard is None or shard.users >= USERS_PER_SHARD:
            shard = self._new_shard()
        shard.users += 1
        user = User(shard)
        user.handle.setopt(pycurl.SOCKOPTFUNCTION, partial(self._note_opened, user))
        user.handle.setopt(pycurl.CLOSESOCKETFUNCTION, self._close_socket)
        self._users.append(user)
        self._exchange_of[user.handle] = exchange
        exchange.transport_state = user
        return user

    def _new_shard(self) -> Shard:
        shard = Shard()
        shard.multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch.callback(shard))
        shard.multi.setopt(pycurl.M_MAXCONNECTS, USERS_PER_SHARD * 4)
        self._shards.append(shard)
        return shard

    def _drop_if_dead(self, user: User) -> None:
        if not user.active and self._user_of.get(user.fd) is user and is_readable(user.fd):
            self._drop(user, user.fd)

    def _drop_idle(self, fd: int) -> None:
        """Close the connection of a user that is idle, which the server has closed or said something on unasked."""
        user = self._user_of.get(fd)
        if user is None or user.active or not is_readable(fd):
            return  # or the event was that it can be written, or one that was dealt with meanwhile
        self._is_wary = True
        self._drop(user, fd)

    def _drop(self, user: User, fd: int) -> None:
        # pycurl closes the socket by itself then, without calling _close_socket.
        self._forget(fd)
        user.drop_connection()
        user.closed = 0

    def _note_opened(self, user: User, fd: int, _purpose: int) -> int:
        user.sockets += 1
        user.open_sockets += 1
        user.fd = fd
        self._user_of[fd] = user
        return 0

    def _close_socket(self, fd: int) -> int:
        self._forget(fd)
        os.close(fd)
        return 0

    def _forget(self, fd: int) -> None:
        user = self._user_of.pop(fd, None)
        if user is not None:
            user.open_sockets -= 1
            user.closed += 1
        self._watch.forget(fd)
