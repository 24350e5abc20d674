"""Connections made beforehand: how a test asks for them, and what they have to be worth afterwards."""

import ssl
from collections.abc import Iterable

from waiting import WAIT_S

from engine.http_harness import Client, RawServer, send, user
from engine.http_site import outcome
from perfcore.engine.transport import Request


def connect(client: Client, sent: Request, users: Iterable[int], case: int = 0) -> None:
    client.preconnect(case, ((number, sent) for number in users), WAIT_S)


def descriptors(client: Client) -> list[int]:
    """Of the connections that users have."""
    users = client._user_of
    return (
        list(users) if isinstance(users, dict) else [fd for fd, user in enumerate(users) if user is not None]
    )


def handshakes(server: RawServer) -> int:
    return sum(isinstance(connection.socket, ssl.SSLSocket) for connection in server.connections)


def assert_first_requests_find_their_connections(
    client: Client, sent: Request, users: Iterable[int], version: str = "1.1"
) -> None:
    """Two requests of each user: the first is told of a connection that cost it nothing, the second of none."""
    count = 0
    for number in users:
        exchange = user(number)
        send(client, exchange, sent)
        assert outcome(exchange) == ("", 200)
        assert (exchange.connections, exchange.flags, exchange.attempts) == (1, 0, 1)
        assert (exchange.dns_us, exchange.connect_us, exchange.tls_us) == (0, 0, 0)
        assert exchange.ttfb_us > 0
        send(client, exchange, sent)
        assert (outcome(exchange), exchange.connections, exchange.attempts) == (("", 200), 0, 1)
        count += 1
    sums = [
        sum(counts[name] for counts in client.addresses()[0].values()) for name in ("connections", "requests")
    ]
    assert sums == [count, 2 * count]
    assert client.http_versions() == {0: {version: count}}
