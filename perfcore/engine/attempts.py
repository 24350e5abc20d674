"""How often a request went out: counted where libcurl does more for one request than to send it.

Of a plain request the bytes that libcurl says it sent tell whether it was sent twice (http_client). With cookies, a
proxy, rounds of authentication or redirects those bytes may be anything; then libcurl calls back right before each time
that a request goes out, which costs a Python call and nothing more.
"""

from collections.abc import Callable

from perfcore.engine.response_keeping import KeptResponse
from perfcore.engine.transport import Exchange, Request, RequestSettings
from perfcore.engine.upload import Upload
from perfcore.metrics.samples import CONNECTED, RESENT

_SCHEMES_OF_ROUNDS = frozenset({"digest", "ntlm", "negotiate"})


def must_be_counted(request: Request) -> bool:
    """Whether the bytes sent do not tell how often a request went out."""
    settings = request.settings
    return bool(
        settings.auth_scheme
        or settings.cookies
        or settings.follow_redirects
        or settings.proxy
        or settings.http_version in ("2", "2-prior-knowledge", "3")
        or isinstance(request.body, Upload)
    )


class Attempts:
    """Of one user's request under way: the times that it went out, and what its earlier hops came to."""

    __slots__ = (
        "_answers",
        "_connected",
        "_connections",
        "_count",
        "_counted",
        "_first_issued_ns",
        "_goes_on",
        "_kept",
        "_note_address",
        "_received_bytes",
        "_resent",
        "_sent_bytes",
        "hops",
        "takes_rounds",
    )

    def __init__(
        self, settings: RequestSettings, kept: KeptResponse, note_address: Callable[[str], None]
    ) -> None:
        self._goes_on = False
        self.takes_rounds = settings.auth_scheme in _SCHEMES_OF_ROUNDS
        self._kept = kept
        self._note_address = note_address
        self._first_issued_ns = 0
        self.begin()

    def begin(self) -> None:
        """A new request of the user's, or the next hop of the one under way."""
        if self._goes_on:
            self._goes_on = False
            return
        self.hops = 0
        self._resent = self._connected = False
        self._count = self._counted = self._connections = self._received_bytes = self._sent_bytes = 0
        self._answers = self._kept.answers

    def about_to_send(self, address: str, _local_address: str, _port: int, _local_port: int) -> int:
        """libcurl's call right before it sends a request, this time or again."""
        self._count += 1
        self._note_address(address)
        return 0

    def end_hop(self, exchange: Exchange) -> None:
        """The exchange holds the figures of a hop that is followed by another one."""
        if not self.hops:
            self._first_issued_ns = exchange.issued_ns
        self.hops += 1
        self._goes_on = True
        self._note_resent(exchange)
        self._connected |= bool(exchange.flags & CONNECTED)
        self._connections += exchange.connections
        self._received_bytes += exchange.received_bytes
        self._sent_bytes += exchange.sent_bytes

    def settle(self, exchange: Exchange) -> None:
        """Complete the figures of the last hop, which the exchange holds, to those of the whole request."""
        self._note_resent(exchange)
        exchange.attempts = self._count
        if self._resent:
            exchange.flags |= RESENT
        if self._connected:
            exchange.flags |= CONNECTED
        exchange.connections += self._connections
        exchange.received_bytes += self._received_bytes
        exchange.sent_bytes += self._sent_bytes
        exchange.earlier_us = (exchange.issued_ns - self._first_issued_ns) // 1000 if self.hops else 0

    def _note_resent(self, exchange: Exchange) -> None:
        """Each sending has an answer, but for one that was in vain and for a last one that failed."""
        sendings = self._count - self._counted
        self._counted = self._count
        if self.takes_rounds:
            answers = self._kept.answers - self._answers
            self._answers = self._kept.answers
            has_failed_last = bool(exchange.error) and not exchange.received_bytes
        else:
            answers, has_failed_last = 1, False
        if sendings > answers + has_failed_last:
            self._resent = True
