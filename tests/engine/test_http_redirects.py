"""Redirects that are followed, and those that are not: the hops on the wire, and what is told of them.

The servers are raw sockets, so what they saw is known byte for byte.
"""

import base64
import socket
import threading

import pytest

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
from engine.http_site import Site, answer, outcome, site
from perfcore.metrics.samples import CONNECTED

pytestmark = both_engines


@transfers_only("redirects are followed by libcurl transfers")
def test_a_redirect_is_followed_as_attempts_of_one_request() -> None:
    with site(a=answer(302, b"moved", Location="/b"), b=answer(302, b"again", Location="/c")) as (
        served,
        server,
        client,
    ):
        exchange = user()
        for turn in range(2):
            send(client, exchange, request(f"{server.url}/a", follow_redirects=True))
            assert outcome(exchange) == ("", 200)
            assert exchange.attempts == 3
            assert (exchange.connections, exchange.flags) == ((1, CONNECTED) if turn == 0 else (0, 0))
            assert exchange.received_bytes == sum(
                map(len, (*(served.routes[path] for path in ("/a", "/b")), OK))  # type: ignore[arg-type]
            )
            assert exchange.sent_bytes == sum(map(len, served.seen[-3:]))
            assert exchange.earlier_us > 0
        assert len(served.seen) == 6
        assert client.addresses() == {0: {"127.0.0.1": {"connections": 1, "requests": 6}}}


def test_without_follow_redirects_a_redirect_is_an_answer() -> None:
    with site(a=answer(302, Location="/b")) as (_, server, client):
        exchange = send(client, user(), request(f"{server.url}/a"))
        assert (outcome(exchange), exchange.attempts) == (("", 302), 1)
        assert client.location(exchange) == f"{server.url}/b"


@transfers_only("redirects are followed by libcurl transfers")
def test_a_loop_ends_at_max_redirects() -> None:
    with site(a=answer(302, Location="/a")) as (served, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", follow_redirects=True, max_redirects=3))
        assert outcome(exchange) == ("too_many_redirects", 0)
        assert (exchange.attempts, len(served.seen)) == (4, 4)
        assert "3 redirects" in exchange.error_text
        assert f"{server.url}/a" in exchange.error_text


@transfers_only("redirects are followed by libcurl transfers")
@pytest.mark.parametrize("elsewhere", ["ftp://127.0.0.1/x", "file:///etc/hostname", "gopher://127.0.0.1/"])
def test_a_redirect_to_anything_but_http_is_not_followed(elsewhere: str) -> None:
    with site(a=answer(302, Location=elsewhere)) as (_, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", follow_redirects=True))
        assert (outcome(exchange), exchange.attempts) == (("", 302), 1)


@transfers_only("redirects are followed by libcurl transfers")
@pytest.mark.parametrize(
    "named",
    [
        "http://[foo/",
        "http://[::1/",
        "http://a]b/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1%00x/",
        "http://ü]/",
    ],
)
def test_a_redirect_to_what_is_no_url_is_a_bad_response(named: str) -> None:
    with site(a=answer(302, Location=named)) as (_, server, client):
        exchange, sent = user(), request(f"{server.url}/a", follow_redirects=True)
        for _ in range(2):
            assert outcome(send(client, exchange, sent)) == ("bad_response", 0)
            assert exchange.error_text


@transfers_only("redirects are followed by libcurl transfers")
def test_a_redirect_to_an_international_name_is_looked_up() -> None:
    with site(a=answer(302, Location="http://bücher.invalid/")) as (_, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", follow_redirects=True))
        assert outcome(exchange) == ("dns", 0)


@transfers_only("redirects are followed by libcurl transfers")
def test_user_and_password_of_the_url_stay_with_their_origin() -> None:
    there = Site()
    with (
        serving(there) as other,
        site(a=answer(302, Location="/b"), b=answer(302, Location=f"http://127.0.0.1:{other.port}/c")) as (
            served,
            server,
            client,
        ),
    ):
        url = server.url.replace("http://", "http://joe:pw@")
        assert outcome(send(client, user(), request(f"{url}/a", follow_redirects=True))) == ("", 200)
        basic = f"Basic {base64.b64encode(b'joe:pw').decode()}"
        assert served.headers("Authorization") == [[basic], [basic]]
        assert there.headers("Authorization") == [[]]


@transfers_only("redirects are followed by libcurl transfers")
def test_credentials_are_not_carried_to_another_host() -> None:
    there = Site()
    with serving(there) as other:
        elsewhere = answer(307, Location=f"http://localhost:{other.port}/x")
        with site(a=elsewhere) as (served, server, client):
            sent = request(
                f"{server.url}/a",
                "POST",
                headers=["Authorization: Bearer t", "X-Api-Key: k", "Cookie: own=1", "Accept-Language: de"],
                body=b"abc",
                follow_redirects=True,
                cookies=True,
            )
            exchange = user()
            for _ in range(2):
                assert outcome(send(client, exchange, sent)) == ("", 200)
            for name in ("Authorization", "X-Api-Key", "Cookie"):
                assert there.headers(name) == [[], []]
                assert all(values for values in served.headers(name))
            assert there.headers("Accept-Language") == [["de"], ["de"]]
            assert [got.partition(b"\r\n\r\n")[2] for got in there.seen] == [b"abc", b"abc"]
            assert exchange.attempts == 2


@transfers_only("redirects are followed by libcurl transfers")
def test_the_time_limit_is_that_of_all_hops_together() -> None:
    hops = 0

    def slow(_got: bytes) -> bytes:
        nonlocal hops
        hops += 1
        threading.Event().wait(0.08)
        return answer(302, Location="/a")

    with site(a=slow) as (_, server, client):
        exchange = send(
            client,
            user(),
            request(f"{server.url}/a", follow_redirects=True, max_redirects=100, timeout_s=0.3),
        )
        assert outcome(exchange) == ("timeout", 0)
        assert 1 < hops < 6


@transfers_only("redirects are followed by libcurl transfers")
def test_an_answer_that_was_followed_is_not_kept() -> None:
    with site(a=answer(302, b"moved", Location="/b"), b=answer(200, b"found")) as (_, server, client):
        sent = request(f"{server.url}/a", follow_redirects=True, keep_body=True, keep_headers=True)
        exchange = send(client, user(), sent)
        assert exchange.body == b"found"
        assert "location" not in exchange.headers


@transfers_only("redirects are followed by libcurl transfers")
def test_a_hop_is_timed_by_its_own_instants_though_its_socket_has_the_number_of_the_last_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    moved = answer(302, b"", Location=nowhere, Connection="close")

    def serve(connection: Connection) -> None:
        if connection.read_request() is not None:
            connection.send(moved)

    with serving(serve) as server, open_client("transfer") as client:
        users = [user(number) for number in range(1, 11)]
        for _ in range(20):
            for exchange in send_all(client, users, request(server.url, follow_redirects=True)):
                assert outcome(exchange) == ("refused", 0)
                assert exchange.issued_ns <= exchange.done_ns
                assert (
                    exchange.connect_us + exchange.ttfb_us <= (exchange.done_ns - exchange.issued_ns) / 1000
                )


@transfers_only("redirects are followed by libcurl transfers")
def test_a_redirect_to_a_closed_port_fails_as_the_hop_did() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with site(a=answer(302, Location=f"http://127.0.0.1:{port}/")) as (served, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", follow_redirects=True))
        assert outcome(exchange) == ("refused", 0)
        assert exchange.attempts == len(served.seen) == 1
