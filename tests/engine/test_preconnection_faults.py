"""Connections wanted beforehand that cannot be made, come too late, or have ended by the first request."""

import os
import socket
import threading
from pathlib import Path

import pytest
from waiting import WAIT_S

from engine.http_harness import CLIENTS as ENGINES
from engine.http_harness import (
    OK,
    Connection,
    answering,
    authority,
    bodies_thrown_away,
    both_engines,
    open_client,
    request,
    send,
    serving,
    transfers_only,
    until,
    user,
)
from engine.http_site import Site, answer, outcome, site
from engine.preconnected import connect, descriptors
from perfcore.engine.poller import Poller, is_readable
from perfcore.engine.transport import Exchange
from perfcore.metrics.samples import CONNECTED

pytestmark = both_engines

TCP_CLOSE_WAIT = 8  # linux/tcp_states.h


def test_connections_that_cannot_be_made_are_left_to_the_requests(tmp_path: Path) -> None:
    tls, _ = authority(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with serving(Site(), tls) as server, open_client() as client:
        wanted = {
            f"http://127.0.0.1:{port}/": "refused",
            "http://nowhere.invalid/": "dns",
            f"{server.url}/": "tls",  # of an authority that nobody knows
        }
        for case, (url, kind) in enumerate(wanted.items()):
            sent = request(url, preconnect=True)
            connect(client, sent, [1], case)
            exchange = send(client, Exchange(1, case, None), sent)
            assert (outcome(exchange), exchange.attempts) == ((kind, 0), 0)
        assert client.http_versions() == {}


def test_a_server_that_does_not_shake_hands_holds_the_start_up_for_the_given_time_only() -> None:
    with serving(Connection.wait_for_end) as server, open_client() as client:
        sent = request(server.url.replace("http:", "https:"), preconnect=True)
        client.preconnect(0, ((number, sent) for number in range(1, 400)), 0.3)
        until(lambda: len(server.connections) == 128)  # at a time
        assert (client.in_flight, descriptors(client)) == (0, [])
        exchange = user()
        client.start(exchange, sent)
        until(lambda: len(server.connections) == 129)
        client.cut(exchange)


def test_no_time_means_no_connection() -> None:
    with site() as (_, server, client):
        sent = request(server.url, preconnect=True)
        client.preconnect(0, [(1, sent)], 0.0)
        assert send(client, user(), sent).flags == CONNECTED
        assert len(server.connections) == 1


def has_been_closed(fd: int) -> bool:
    """Whether the server's end of this connection has come."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == TCP_CLOSE_WAIT


@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("is_noticed", [False, True])
def test_a_connection_that_the_server_closed_meanwhile_is_not_used(
    tmp_path: Path, is_encrypted: bool, is_noticed: bool
) -> None:
    tls, ca = authority(tmp_path)

    is_over = threading.Event()

    def serve(connection: Connection) -> None:
        if connection.number > 1:
            answering(OK)(connection)
        else:
            assert is_over.wait(WAIT_S)

    with serving(serve, tls if is_encrypted else None) as server, open_client() as client:
        sent = request(server.url, preconnect=True, tls_ca=ca, cookies=True)
        connect(client, sent, [1])
        (fd,) = descriptors(client)
        for _ in range(3):
            client.poll(0)
        is_over.set()
        # That it can be read does not say so: TLS may have sent tickets.
        until(lambda: has_been_closed(fd))
        if is_noticed:
            client.poll(0)  # it is closed here, before anybody wants it
            assert descriptors(client) == []
        exchange = send(client, user(), sent)
        # Two connections were opened; the request went out once, on the second.
        assert (outcome(exchange), exchange.flags) == (("", 200), CONNECTED)
        assert (exchange.attempts, exchange.connections) == (1, 2)
        assert client.addresses() == {0: {"127.0.0.1": {"connections": 2, "requests": 1}}}
        assert len(server.connections) == 2
        assert (send(client, exchange, sent).connections, exchange.flags) == (0, 0)


def test_a_server_that_speaks_first_is_not_taken_for_one_that_answers() -> None:
    def serve(connection: Connection) -> None:
        if connection.number == 1:
            connection.send(answer(408, b""))
        answering(OK)(connection)

    with serving(serve) as server, open_client() as client:
        sent = request(server.url, preconnect=True)
        connect(client, sent, [1])
        (fd,) = descriptors(client)
        until(lambda: is_readable(fd))
        exchange = send(client, user(), sent)
        assert (outcome(exchange), exchange.flags) == (("", 200), CONNECTED)


def test_an_address_that_is_none_of_this_machines_is_not_replaced_by_another() -> None:
    with site() as (served, server, client):
        sent = request(server.url, preconnect=True, local_addresses=("192.0.2.1",))
        connect(client, sent, [1])
        assert outcome(send(client, user(), sent)) == ("unreachable", 0)
        assert (served.seen, server.connections) == ([], [])


@transfers_only("the wire path connects without a request")
def test_a_libcurl_that_does_not_refuse_the_request_only_makes_the_first_one_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perfcore.engine.curl_handle.set_refused_head", lambda *_: None)
    with site() as (served, server, client):
        sent = request(server.url, preconnect=True)
        connect(client, sent, range(1, 300))
        assert len(served.seen) <= 128  # it is not asked for more
        exchange = send(client, user(), sent)
        assert (outcome(exchange), exchange.flags, exchange.connections) == (("", 200), CONNECTED, 1)


def test_nothing_is_left_open_whether_connections_were_taken_or_not(tmp_path: Path, engine: str) -> None:
    tls, ca = authority(tmp_path)
    served = Site()
    with serving(served, tls) as server, bodies_thrown_away():
        with open_client():
            pass  # what libraries open once
        before = len(os.listdir("/proc/self/fd"))
        client = ENGINES[engine](Poller())
        sent = request(server.url, preconnect=True, tls_ca=ca)
        connect(client, sent, range(1, 101))
        for number in range(1, 51):
            send(client, user(number), sent)
        client.close()
        for connection in list(server.connections):
            until(lambda connection=connection: connection.socket.fileno() == -1)  # type: ignore[misc]
        assert len(os.listdir("/proc/self/fd")) == before
        assert len(served.seen) == 50
