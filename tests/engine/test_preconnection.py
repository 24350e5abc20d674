"""Connections that stand before the first request: which requests take them, and what they cost after."""

import socket
from pathlib import Path

import pytest

from engine.http_harness import (
    authority,
    both_engines,
    open_client,
    request,
    send,
    serving,
    settings,
    transfers_only,
    until,
    user,
)
from engine.http_site import Site, answer, outcome, site
from engine.preconnected import assert_first_requests_find_their_connections, connect, handshakes
from perfcore.engine.transport import Exchange, Request

pytestmark = both_engines


@transfers_only("shards of users are theirs")
def test_users_who_could_not_connect_leave_room_for_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with open_client() as client:
        connect(client, request(f"http://127.0.0.1:{port}/", preconnect=True), range(1, 401))
        assert [shard.users for shard in client._shards] == [0] * len(client._shards)
        count = len(client._shards)
        assert count == 3  # 128 at a time, 64 to the first shard and 40 to others


def test_connections_come_from_and_go_where_the_requests_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "perfcore.engine.address_choice.socket.getaddrinfo",
        lambda *_a, **_k: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))
            for address in ("127.0.0.5", "127.0.0.6")
        ],
    )
    with serving(Site(), address="0.0.0.0") as server, open_client() as client:
        sent = request(
            f"http://many.invalid:{server.port}/",
            preconnect=True,
            dns_select="round_robin",
            local_addresses=("127.0.0.2", "127.0.0.3", "127.0.0.4"),
        )
        connect(client, sent, range(1, 7))
        until(lambda: len(server.connections) == 6)
        ends = [
            (connection.socket.getpeername()[0], connection.socket.getsockname()[0])
            for connection in server.connections
        ]
        wanted = [(f"127.0.0.{2 + at % 3}", f"127.0.0.{5 + at % 2}") for at in range(6)]
        assert sorted(ends) == sorted(wanted)
        assert_first_requests_find_their_connections(client, sent, range(1, 7))
        assert client.addresses()[0] == {
            address: {"connections": 3, "requests": 6} for address in ("127.0.0.5", "127.0.0.6")
        }


def test_resolve_says_where_to_beforehand(tmp_path: Path) -> None:
    tls, ca = authority(tmp_path)
    with serving(Site(), tls) as server, open_client() as client:
        url = f"https://localhost:{server.port}/"
        sent = request(url, preconnect=True, tls_ca=ca, resolve={"localhost": "127.0.0.1"})
        connect(client, sent, [1])
        until(lambda: handshakes(server) == 1)
        assert_first_requests_find_their_connections(client, sent, [1])


@transfers_only("authentication in rounds and signatures are libcurl's")
@pytest.mark.parametrize("scheme", ["digest", "negotiate", "aws_sigv4"])
def test_what_authenticates_later_takes_the_connection_too(scheme: str) -> None:
    with site() as (served, server, client):
        scope = "eu-west-1:s3" if scheme == "aws_sigv4" else ""
        made = settings(preconnect=True, auth_scheme=scheme, aws_scope=scope)
        sent = Request(made, server.url, [], None, ("me", "pass"))
        connect(client, sent, [1, 2])
        until(lambda: len(server.connections) == 2)
        assert served.seen == []
        assert_first_requests_find_their_connections(client, sent, [1, 2])
        assert len(server.connections) == 2
        assert not any(b"Authorization: Basic" in got for got in served.seen)


def test_a_request_that_differs_in_all_but_its_place_takes_the_connection() -> None:
    with site() as (served, server, client):
        connect(client, request(server.url, preconnect=True, cookies=True), [1])
        sent = request(
            f"{server.url}/x?y", "POST", headers=["A: b"], body=b"body", preconnect=True, cookies=True
        )
        exchange = send(client, user(), sent)
        assert (outcome(exchange), exchange.connections, exchange.flags) == (("", 200), 1, 0)
        assert served.seen[0].startswith(b"POST /x?y HTTP/1.1\r\n")
        assert served.seen[0].endswith(b"\r\n\r\nbody")
        assert b"If-" not in served.seen[0]
        assert b"uthorization" not in served.seen[0]


def test_the_first_answer_is_kept_as_without() -> None:
    with site() as (_, server, client):
        sent = request(server.url, preconnect=True)
        connect(client, sent, [1])
        exchange = send(client, user(), sent)
        assert (exchange.body, exchange.headers) == (b"ok", {"content-length": "2"})


@transfers_only("redirects are followed by libcurl transfers")
def test_a_redirect_on_a_connection_that_stood_is_no_connect() -> None:
    with site(a=answer(302, b"", Location="/b")) as (served, server, client):
        sent = request(f"{server.url}/a", preconnect=True, follow_redirects=True)
        connect(client, sent, [1])
        exchange = send(client, user(), sent)
        assert (outcome(exchange), exchange.attempts) == (("", 200), 2)
        assert (exchange.connections, exchange.flags, exchange.connect_us) == (1, 0, 0)
        assert (len(served.seen), len(server.connections)) == (2, 1)
        assert client.addresses() == {0: {"127.0.0.1": {"connections": 1, "requests": 2}}}


def test_users_of_the_same_number_in_two_tests_have_connections_of_their_own(tmp_path: Path) -> None:
    tls, ca = authority(tmp_path)
    with site() as (_, plain, client), serving(Site(), tls) as encrypted:
        sents = [request(plain.url, preconnect=True), request(encrypted.url, preconnect=True, tls_ca=ca)]
        for case, sent in enumerate(sents):
            connect(client, sent, [1, 2], case)
        until(lambda: len(plain.connections) == 2 and handshakes(encrypted) == 2)
        for case, sent in enumerate(sents):
            for number in (1, 2):
                exchange = send(client, Exchange(number, case, None), sent)
                assert (exchange.connections, exchange.flags, exchange.tls_us) == (1, 0, 0)
        assert (len(plain.connections), len(encrypted.connections)) == (2, 2)
        counts = {"connections": 2, "requests": 2}
        assert client.addresses() == {0: {"127.0.0.1": counts}, 1: {"127.0.0.1": counts}}
