"""Answers and connections that once ended a worker, kept a user waiting, or went to the wrong server."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
import trustme
from waiting import WAIT_S

from engine.http_harness import (
    OK,
    Connection,
    finish,
    open_client,
    request,
    send,
    serving,
    until,
    user,
)
from engine.test_wire_template import scenario_of
from engine.wire_load import Load
from perfcore.engine.poller import is_readable
from perfcore.engine.transport import Exchange
from perfcore.engine.wire_client import WireClient
from perfcore.engine.wire_template import wire_template
from perfcore.engine.wire_user import WireUser
from perfcore.metrics.outcomes import ERROR_KINDS

MOVED = b"HTTP/1.1 302 X\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"


class Answering:
    """Says the same to every request, after so many plain successes."""

    def __init__(self, answer: bytes, good_ones: int = 0) -> None:
        self._answer = answer
        self._good_ones = good_ones

    def __call__(self, connection: Connection) -> None:
        answered = 0
        while connection.read_request() is not None:
            connection.send(OK if answered < self._good_ones else self._answer)
            answered += 1


@pytest.mark.parametrize("place", [b"http://[", b"//[x", b"http://[::1"])
def test_a_location_that_is_no_url_is_told_as_it_came(place: bytes) -> None:
    with serving(Answering(MOVED % place)) as server, open_client("wire") as client:
        exchange = send(client, user(), request(server.url + "/"))
        assert (exchange.error, exchange.status) == (0, 302)
        assert client.location(exchange) == place.decode()


def test_a_redirect_that_ends_a_cycle_says_where_to(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str | None] = []
    hand_back = WireClient._hand_back

    def watched(self: WireClient, one: WireUser, completed: list[Exchange]) -> None:
        hand_back(self, one, completed)
        if one.exchange.status == 302:
            told.append(self.location(one.exchange))

    monkeypatch.setattr(WireClient, "_hand_back", watched)
    with serving(Answering(MOVED % b"/there", good_ones=5)) as server:
        load = Load(request(server.url + "/"), users=1, iterations=8).run()
        assert told == [f"{server.url}/there"] * 3
        assert load.outcomes() == {("", 200): 5, ("expectation:status", 302): 3}


def test_a_length_of_many_zeros_is_a_length() -> None:
    padded = b"HTTP/1.1 200 OK\r\nContent-Length: " + b"0" * 5000 + b"2\r\n\r\nok"
    with serving(Answering(padded)) as server:
        load = Load(request(server.url + "/"), users=2, iterations=20).run()
        assert load.outcomes() == {("", 200): 40}
        load.assert_consistent(server, requests=40)


def test_a_request_goes_to_the_server_that_its_url_names() -> None:
    with serving(Answering(OK)) as first, serving(Answering(OK)) as second, open_client("wire") as client:
        exchange = user()
        for server in (first, second, second, first):
            assert send(client, exchange, request(server.url + "/")).error == 0
        assert (len(first.connections), len(second.connections)) == (2, 1)
        assert exchange.connections == 1


def test_a_connection_that_stands_beforehand_is_not_used_for_another_server() -> None:
    with serving(Answering(OK)) as first, serving(Answering(OK)) as second, open_client("wire") as client:
        client.preconnect(0, [(1, request(first.url + "/"))], WAIT_S)
        assert send(client, user(), request(second.url + "/")).error == 0
        assert [connection.received > 0 for connection in second.connections] == [True]


@pytest.mark.parametrize(
    ("endpoint", "is_compiled"),
    [
        ("/${uuid()}", True),
        ("users/${uuid()}", True),
        ("?x=${uuid()}", True),
        ("http://127.0.0.1/${uuid()}", True),
        ("${choice('http://127.0.0.2/a', '/b')}", False),
        ("http:${choice('//127.0.0.2/a', '/b')}", False),
        ("ht${choice('tp://127.0.0.2/a', 'b')}", False),
    ],
)
def test_only_requests_that_cannot_lead_elsewhere_are_compiled(endpoint: str, is_compiled: bool) -> None:
    scenario = scenario_of("http://127.0.0.1", {"endpoint": endpoint})
    template = wire_template(scenario, scenario.request_for(user()))
    assert (template is not None) is is_compiled


def test_what_could_not_be_connected_beforehand_is_no_connection_of_the_first_request() -> None:
    with socket.socket() as closed, open_client("wire") as client:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        sent = request(f"http://127.0.0.1:{closed.getsockname()[1]}/")
        client.preconnect(0, [(1, sent)], WAIT_S)
        exchange = send(client, user(), sent)
        assert (ERROR_KINDS[exchange.error], exchange.connections, exchange.attempts) == ("refused", 0, 0)


def test_a_unix_socket_that_ends_before_anybody_has_looked_at_it(tmp_path: Path) -> None:
    """Its connection stands within the very call that asked for it; libcurl never asks to watch its descriptor."""
    path = tmp_path / "server.sock"
    with socket.socket(socket.AF_UNIX) as listener, open_client("wire") as client:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            listener.accept()[0].close()
            accepted = listener.accept()[0]
            with contextlib.closing(accepted):
                connection = Connection(accepted, 2)
                if connection.read_request() is not None:
                    connection.send(OK)
                    connection.wait_for_end()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        connector: Any = client._connector  # type: ignore[union-attr]
        connect = connector.connect

        def connect_and_wait(*arguments: Any) -> Any:
            connection = connect(*arguments)
            if connection.stands:  # as it does, but for a machine under load
                until(lambda: is_readable(connection.fd))
            connector.connect = connect
            return connection

        connector.connect = connect_and_wait
        sent = request("http://localhost/", unix_socket=str(path))
        client.preconnect(0, [(1, sent)], WAIT_S)
        assert ERROR_KINDS[send(client, user(), sent).error] == ""
        assert client.in_flight == 0
    thread.join(WAIT_S)


def test_a_reset_under_tls_is_a_reset_in_mid_answer_too(tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    may_reset = threading.Event()

    def reset_within_the_answer(connection: Connection) -> None:
        connection.read_request()
        connection.send(OK[:-1])
        may_reset.wait(WAIT_S)
        connection.reset()

    with serving(reset_within_the_answer, tls) as server, open_client("wire") as client:
        exchange = user()
        client.start(exchange, request(server.url + "/", tls_ca=ca))

        def answer_has_begun() -> bool:
            return not client.poll(0.01) and exchange.transport_state.reader is not None

        until(answer_has_begun)
        may_reset.set()
        assert finish(client, 1) == [exchange]
        assert ERROR_KINDS[exchange.error] == "reset"


def test_a_user_of_a_server_that_closes_unannounced_stays_wary_with_requests_that_differ() -> None:
    def close_after_two(connection: Connection) -> None:
        for _ in range(2):
            if connection.read_request() is None:
                return
            connection.send(OK)

    with serving(close_after_two) as server:
        scenario = scenario_of(server.url, {"endpoint": "/${uuid()}", "method": "GET"})
        load = Load(scenario, users=1, iterations=20).run()
        assert load.outcomes() == {("", 200): 20}
        # In a cycle the loop starts nothing; a wary user is started for each request after the first dead connection.
        assert load.starts >= 17
