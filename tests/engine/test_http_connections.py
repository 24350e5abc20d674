"""Connections that a server has ended or that a suite has placed, and what is told of them."""

from engine.http_harness import (
    OK,
    Connection,
    answering,
    both_engines,
    open_client,
    request,
    send,
    serving,
    user,
)
from perfcore.metrics.samples import RESENT

pytestmark = both_engines


def test_these_tests_run_through_the_engine_that_they_name(engine: str) -> None:
    with open_client() as client:
        assert client.name == engine


def test_nothing_is_sent_on_a_connection_that_ended_within_a_head() -> None:
    def serve(connection: Connection) -> None:
        if connection.read_request() is not None:
            connection.send(b"HTTP/1.1 200 OK\r\nX-Cut: ")

    with serving(serve) as server, open_client() as client:
        exchange, sent = user(), request(server.url)
        for _ in range(4):
            send(client, exchange, sent)
            assert (exchange.attempts, exchange.flags & RESENT, exchange.connections) == (1, 0, 1)
        assert len(server.connections) == 4


def test_a_request_sent_twice_counts_twice_for_its_address() -> None:
    requests = 0

    def serve(connection: Connection) -> None:
        nonlocal requests
        while connection.read_request() is not None:
            requests += 1
            if requests == 3:
                return  # no answer: the client sends it again
            connection.send(OK)

    with serving(serve) as server, open_client() as client:
        exchange, sent = user(), request(server.url)
        attempts = [send(client, exchange, sent).attempts for _ in range(3)]
        assert attempts == [1, 1, 2]
        assert requests == 4
        assert client.addresses() == {0: {"127.0.0.1": {"connections": 2, "requests": 4}}}


def test_an_address_of_the_suite_goes_before_the_choice_among_those_of_the_name() -> None:
    with serving(answering(OK)) as server, open_client() as client:
        # A name that the machine knows, so that there is something to choose from.
        sent = request(
            f"http://localhost:{server.port}/", resolve={"localhost": "127.0.0.9"}, dns_select="round_robin"
        )
        exchange = send(client, user(), sent)
        # Nobody listens there.
        assert (exchange.status, exchange.attempts) == (0, 0)
        assert server.connections == []
