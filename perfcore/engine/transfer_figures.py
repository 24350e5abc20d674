"""What a transfer that has ended came to: status, bytes, phases, error kind, and whether it was sent twice.

Each getinfo costs a tenth of a small request's Python; so of a request that is sent again and again on a kept
connection only what can differ is asked for, and the rest is known from the first.
"""

from collections.abc import Callable

import pycurl

from perfcore.engine.connection_counts import ConnectionCounts
from perfcore.engine.curl_errors import error_code, error_text
from perfcore.engine.curl_handle import User
from perfcore.engine.curl_options import FIRST_FRAMED_VERSION, HTTP_VERSION_NAMES
from perfcore.engine.poller import is_readable
from perfcore.engine.transport import Exchange
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import CONNECTED, RESENT

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


class TransferFigures(ConnectionCounts):
    """Fills in exchanges whose handles have just been taken out of their CurlMulti.

    `on_dead` is called when a connection has turned out dead that libcurl takes, or took, for a good one.
    """

    def __init__(self, on_dead: Callable[[], None]) -> None:
        super().__init__()
        self._on_dead = on_dead
        self._ends_empty = False  # the server has ended an empty answer by closing, which is its right

    def note_answer(self, exchange: Exchange, user: User) -> None:
        """An answer that libcurl takes for a whole one."""
        getinfo = user.getinfo
        exchange.error = 0
        exchange.status = getinfo(_RESPONSE_CODE)
        first_byte_us = getinfo(_FIRST_BYTE_US)
        body_bytes = getinfo(_BODY_SIZE)
        exchange.received_bytes = body_bytes + getinfo(_HEAD_SIZE)
        if not body_bytes and self._head_was_cut(exchange, user):
            exchange.error = _TRUNCATED
            exchange.error_text = "the server closed the connection within the head of its answer"
            exchange.status = 0
        if user.plain:
            exchange.ttfb_us = first_byte_us
            user.address.requests += 1
        elif user.sockets or user.head_size is None:
            self._note_connection(exchange, user, first_byte_us)
        else:
            # What a request on a kept connection leaves at these values needs saying once.
            user.plain = True
            exchange.ttfb_us = first_byte_us
            user.address.requests += 1
            exchange.flags = exchange.connections = 0
            exchange.attempts = 1
            exchange.dns_us = exchange.connect_us = exchange.tls_us = 0
            exchange.sent_bytes = user.head_size

    def note_failure(self, exchange: Exchange, user: User, curl_code: int, message: str) -> None:
        """A transfer that has failed."""
        getinfo = user.getinfo
        exchange.status = 0
        exchange.received_bytes = getinfo(_BODY_SIZE) + getinfo(_HEAD_SIZE)
        # A transfer that fails while it connects gets its remaining instants set to that of the failure: what was
        # sent and received tells how far it came, the instants do not.
        first_byte_us = getinfo(_FIRST_BYTE_US) if exchange.received_bytes else 0
        os_errno = getinfo(pycurl.OS_ERRNO)
        exchange.error_text = error_text(curl_code, message or user.handle.errstr(), os_errno)
        request = user.configured
        assert request is not None
        exchange.error = error_code(
            curl_code,
            os_errno,
            exchange.error_text,
            is_tls=request.url.lower().startswith("https:"),
            connected=getinfo(pycurl.REQUEST_SIZE) > 0,
            answer_began=exchange.received_bytes > 0,
        )
        self._note_connection(exchange, user, first_byte_us)

    def _head_was_cut(self, exchange: Exchange, user: User) -> bool:
        """Whether an empty answer that ended with its connection was cut within its head.

        libcurl takes such an answer for a whole one. A kept head shows; of one that was not kept, whether the
        server is known to end empty answers by closing.
        """
        if user.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T) >= 0 or user.is_framed:
            return False
        if user.keeps and not user.kept.head_is_whole:
            if user.open_sockets:
                self._on_dead()  # libcurl would send the next request on it
            return True
        if user.open_sockets > 1 or (user.open_sockets and not is_readable(user.fd)):
            return False  # the connection goes on, so the answer had an end; of several nobody knows which it was
        if user.open_sockets:
            self._on_dead()
        if user.keeps:
            self._ends_empty = True
            return False
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
        ready_us = 0
        opened, user.sockets = user.sockets, 0
        closed, user.closed = user.closed, 0
        exchange.dns_us = exchange.connect_us = exchange.tls_us = 0
        exchange.flags = exchange.connections = 0
        if opened and connect_end_us:
            dns_end_us = getinfo(pycurl.NAMELOOKUP_TIME_T)
            tls_end_us = getinfo(pycurl.APPCONNECT_TIME_T)
            ready_us = max(connect_end_us, tls_end_us)
            exchange.tls_us = max(0, tls_end_us - connect_end_us) if tls_end_us else 0
            exchange.flags = CONNECTED
            exchange.dns_us = dns_end_us
            exchange.connect_us = max(0, connect_end_us - dns_end_us)
            exchange.connections = max(1, getinfo(pycurl.NUM_CONNECTS))
            address = bytes(getinfo(pycurl.PRIMARY_IP)).decode("utf-8", "replace")
            self._note_opened(exchange, user, address, exchange.connections)
        if user.stood_at is not None:
            self._note_stood(exchange, user, user.stood_at)
        exchange.ttfb_us = max(0, first_byte_us - ready_us)
        exchange.sent_bytes = getinfo(pycurl.REQUEST_SIZE)  # heads and bodies, of all times that it was sent
        # A request that could not be sent was seen by no server.
        exchange.attempts = 1 if exchange.sent_bytes else 0
        if user.attempts is None:
            had_connection = user.open_sockets - opened + closed > 0
            self._note_size(exchange, user, may_be_resent=opened > 0 and had_connection)
            user.address.requests += exchange.attempts

    def _note_opened(self, exchange: Exchange, user: User, address: str, count: int) -> None:
        """`count` connections to this address, the last of which is the user's."""
        version = user.getinfo(pycurl.INFO_HTTP_VERSION)
        user.is_framed = version >= FIRST_FRAMED_VERSION
        user.address = self.address(exchange.case, address_name(user, address))
        user.address.connections += count
        if version:  # an answer has told
            self.note_version(exchange.case, HTTP_VERSION_NAMES.get(version, str(version)), count)

    def _note_stood(self, exchange: Exchange, user: User, address: str) -> None:
        """The connection that was made before the first request, which this is: it cost the request nothing."""
        user.stood_at = None
        if not exchange.connections:
            self._note_opened(exchange, user, address, 1)
        else:
            # The server had closed it, and another one was opened; what it would have spoken nobody knows.
            self.address(exchange.case, address_name(user, address)).connections += 1
        exchange.connections += 1

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
                    self._on_dead()
            return
        was_sent_whole = body_bytes <= _SENT_AT_ONCE_BYTES or 200 <= exchange.status < 400
        if exchange.sent_bytes and was_sent_whole:
            if user.overhead is None:
                user.overhead = exchange.sent_bytes - variable
            if exchange.flags == 0 and not exchange.connections and not exchange.error:
                user.head_size = exchange.sent_bytes


def address_name(user: User, address: str) -> str:
    """The address that libcurl gives, or `unix:PATH`: of a socket's path it gives the beginning only."""
    request = user.configured
    path = request.settings.unix_socket if request is not None else ""
    return f"unix:{path}" if path else address
