"""Cookies, and features together: what goes over the wire, and what is told of it.

The servers are raw sockets, so what they saw is known byte for byte.
"""

import socket
import threading
from pathlib import Path

from engine.http_harness import (
    OK,
    Connection,
    both_engines,
    open_client,
    request,
    send,
    send_all,
    serving,
    transfers_only,
    user,
)
from engine.http_site import answer, outcome, site
from perfcore.metrics.samples import RESENT

pytestmark = both_engines

# -- cookies -----------------------------------------------------------------------------------------------------


def test_each_user_has_a_jar_of_its_own() -> None:
    numbers = iter(range(1, 9))
    with site(set=lambda _got: answer(Set_Cookie=f"sid={next(numbers)}; Path=/")) as (served, server, client):
        sent = request(f"{server.url}/set", cookies=True)
        shown = request(f"{server.url}/show", cookies=True)
        users = [user(1), user(2)]
        for one in users:
            send(client, one, sent)
        for one in users:
            send(client, one, shown)
        assert served.headers("Cookie") == [[], [], ["sid=1"], ["sid=2"]]


def test_a_cookie_of_the_suite_and_those_of_the_jar_are_one_header() -> None:
    with site(a=answer(Set_Cookie="sid=1; Path=/")) as (served, server, client):
        exchange = user()
        for _ in range(2):
            send(client, exchange, request(f"{server.url}/a", cookies=True, headers=["Cookie: own=2"]))
        assert served.headers("Cookie") == [["own=2"], ["sid=1; own=2"]]


def test_without_cookies_none_is_kept() -> None:
    with site(a=answer(Set_Cookie="sid=1; Path=/")) as (served, server, client):
        exchange = user()
        for _ in range(2):
            send(client, exchange, request(f"{server.url}/a"))
        assert served.headers("Cookie") == [[], []]


def test_a_jar_that_a_server_overfills_is_emptied_and_that_is_told(engine: str) -> None:
    numbers = iter(range(10**6))

    def flood(_got: bytes) -> bytes:
        lines = "".join(f"Set-Cookie: c{next(numbers)}=x; Path=/\r\n" for _ in range(45))
        return f"HTTP/1.1 200 X\r\n{lines}Content-Length: 0\r\n\r\n".encode()

    with site(a=flood) as (_, server, client):
        exchange, sent = user(), request(f"{server.url}/a", cookies=True)
        for _ in range(70):
            assert outcome(send(client, exchange, sent)) == ("", 200)
        # With transfers the jar is looked at with every tenth request, on the wire after each answer.
        assert client.emptied_jars() == {0: 3 if engine == "wire" else 2}


def test_growing_cookies_are_no_resends() -> None:
    sizes = iter([2000, 10, 5000, 1, 8000, 3])

    def reply(_got: bytes) -> bytes:
        return answer(Set_Cookie=f"c={'x' * next(sizes)}; Path=/", Connection="close")

    with site(a=reply) as (_, server, client):
        exchange, sent = user(), request(f"{server.url}/a", cookies=True)
        for _ in range(6):
            send(client, exchange, sent)
            assert (exchange.attempts, exchange.flags & RESENT, exchange.connections) == (1, 0, 1)


# -- what goes together ----------------------------------------------------------------------------------------------


def test_a_dead_connection_is_a_resend_for_counted_users_too() -> None:
    kept = threading.Event()

    def serve(connection: Connection) -> None:
        while connection.read_request() is not None:
            if connection.number == 1 and kept.is_set():
                return  # closes instead of an answer
            connection.send(OK)
            kept.set()

    with serving(serve) as server, open_client() as client:
        exchange, sent = user(), request(server.url, cookies=True)
        send(client, exchange, sent)
        send(client, exchange, sent)
        assert outcome(exchange) == ("", 200)
        assert (exchange.attempts, exchange.flags & RESENT, exchange.connections) == (2, RESENT, 1)


def test_a_request_that_could_not_be_sent_is_no_attempt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with open_client() as client:
        for changes in ({}, {"cookies": True}):
            exchange = send(client, user(), request(f"http://127.0.0.1:{port}/", **changes))
            assert (outcome(exchange), exchange.attempts, exchange.connections) == (("refused", 0), 0, 0)


def test_what_ended_while_it_started_and_is_cut_is_not_handed_back(tmp_path: Path) -> None:
    with open_client() as client:
        exchange = user()
        client.start(exchange, request("http://app/", unix_socket=str(tmp_path / "none")))
        assert client.in_flight == 1
        client.cut(exchange)
        assert client.in_flight == 0
        assert client.poll(0.0) == []


@transfers_only("redirects are followed by libcurl transfers")
def test_many_users_with_everything_at_once_are_counted_exactly() -> None:
    with site(a=answer(302, Location="/b", Set_Cookie="s=1; Path=/")) as (served, server, client):
        sent = request(f"{server.url}/a", follow_redirects=True, cookies=True, compressed=True)
        users = [user(number) for number in range(1, 101)]
        attempts = connections = 0
        for _ in range(5):
            for done in send_all(client, users, sent):
                assert outcome(done) == ("", 200)
                attempts += done.attempts
                connections += done.connections
        assert (attempts, connections) == (len(served.seen), len(server.connections)) == (1000, 100)
