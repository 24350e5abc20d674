"""What a request on the wire path came to: the figures of its exchange, connections and requests by address."""

from perfcore.engine.connection_counts import Address, ConnectionCounts
from perfcore.engine.transport import Exchange
from perfcore.engine.wire_user import WireUser
from perfcore.metrics.samples import CONNECTED, RESENT


class WireFigures(ConnectionCounts):
    """Fills in exchanges, and counts what the result has beside them."""

    def note_connection(self, user: WireUser) -> None:
        """The user has a new connection."""
        assert user.connection is not None
        self._address(user).connections += 1

    def note_first_answer(self, user: WireUser, version: str) -> None:
        """The first answer on a connection, whole or not, has told what is spoken on it."""
        self.note_version(user.exchange.case, version)

    def note_sent(self, user: WireUser, requests: int = 1) -> None:
        """So many requests have gone out on the user's connection."""
        self._address(user).requests += requests

    def _address(self, user: WireUser) -> Address:
        assert user.connection is not None
        return self.address(user.exchange.case, user.connection.address)

    @staticmethod
    def fill(user: WireUser, done_ns: int, received_bytes: int) -> Exchange:
        """The exchange of the user's request, which has ended in one way or another, with its figures."""
        exchange, connection = user.exchange, user.connection
        exchange.done_ns = done_ns
        exchange.delay = user.delay
        exchange.received_bytes = received_bytes
        exchange.sent_bytes = user.sent_bytes
        exchange.attempts = user.attempts
        exchange.connections = user.connections
        exchange.flags = RESENT if user.attempts > 1 else 0
        exchange.ttfb_us = (user.first_ns - user.sent_ns) // 1000 if user.first_ns else 0
        if user.connections and connection is not None and not user.stood_before:
            exchange.flags |= CONNECTED
            exchange.dns_us = connection.dns_us
            exchange.connect_us = connection.connect_us
            exchange.tls_us = connection.tls_us
        else:
            exchange.dns_us = exchange.connect_us = exchange.tls_us = 0
        user.stood_before = False
        return exchange
