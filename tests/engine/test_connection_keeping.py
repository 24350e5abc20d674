"""Each user's own connection: how long it is kept, when a request is sent again, and what a cut leaves."""

import time
from collections.abc import Callable

import pytest
from target_process import TargetProcess

from engine.http_harness import (
    OK,
    Connection,
    answering,
    both_engines,
    finish,
    open_client,
    request,
    send,
    serving,
    transfers_only,
    until,
    user,
    wire_only,
)
from perfcore.engine.transfer_users import USERS_PER_SHARD
from perfcore.metrics.outcomes import ERROR_KINDS
from perfcore.metrics.samples import CONNECTED, RESENT

pytestmark = both_engines


def test_every_user_has_a_connection_of_its_own_and_keeps_it(target: TargetProcess) -> None:
    users = 200  # in several shards
    assert users > 2 * USERS_PER_SHARD
    sent = request(target.url + "/health")
    with open_client() as client:
        exchanges = [user(number) for number in range(users)]
        for _ in range(3):
            for exchange in exchanges:
                client.start(exchange, sent)
            assert len({id(exchange) for exchange in finish(client, users)}) == users
            assert client.in_flight == 0
        assert {exchange.error for exchange in exchanges} == {0}
        counted = target.stats()
        assert (counted["requests"], counted["connections"]) == (3 * users, users)
    target.stats_when_closed()


def test_users_that_take_turns_do_not_share_connections(target: TargetProcess) -> None:
    # As with think time: never two under way at once, so that a common pool would serve all with one connection.
    sent = request(target.url + "/health")
    with open_client() as client:
        exchanges = [user(number) for number in range(50)]
        for _ in range(2):
            for exchange in exchanges:
                send(client, exchange, sent)
        assert target.stats()["open_connections"] == 50
        assert target.stats()["connections"] == 50


def test_without_keepalive_every_request_has_its_own_connection(target: TargetProcess) -> None:
    with open_client() as client:
        exchange = user()
        for _ in range(5):
            send(client, exchange, request(target.url + "/health", keepalive=False))
            assert exchange.flags == CONNECTED
        counted = target.stats_when_closed()
        assert (counted["connections"], counted["requests"]) == (5, 5)


def test_connection_close_is_obeyed(target: TargetProcess) -> None:
    with open_client() as client:
        exchange = user()
        for _ in range(3):
            send(client, exchange, request(target.url + "/health", headers=["Connection: close"]))
            assert (exchange.error, exchange.flags, exchange.attempts) == (0, CONNECTED, 1)
    assert target.stats_when_closed()["connections"] == 3


def closes_after_each(connection: Connection) -> None:
    connection.read_request()
    connection.send(OK)


def test_a_connection_closed_while_idle_is_replaced_and_does_not_keep_the_loop_busy() -> None:
    with serving(closes_after_each) as server, open_client() as client:
        exchange = user()
        sent = request(server.url)
        for round_ in range(1, 4):
            send(client, exchange, sent)
            assert (exchange.error, exchange.flags, exchange.attempts) == (0, CONNECTED, 1)
            assert len(server.connections) == round_
            connection = server.connections[-1]
            until(lambda connection=connection: connection.socket.fileno() < 0)
            cpu_before, deadline, polls = time.thread_time(), time.monotonic() + 0.1, 0
            while time.monotonic() < deadline:
                assert client.poll(0.05) == []
                polls += 1
            # Level-triggered readiness that nobody consumes would come back thousands of times.
            assert polls < 40
            assert time.thread_time() - cpu_before < 0.05


def closing_instead_of_the_third_answer(seen: list[bytes]) -> Callable[[Connection], None]:
    def serve(connection: Connection) -> None:
        while (received := connection.read_request()) is not None:
            seen.append(received)
            if connection.number == 1 and len(seen) == 3:
                return
            connection.send(OK)

    return serve


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", b"once?"), ("PUT", b"x" * 50_000)])
def test_a_request_that_is_sent_again_is_told_with_its_attempts(method: str, body: bytes | None) -> None:
    assert_the_third_is_sent_again(method, body)


@transfers_only("the wire path sends again only what is idempotent")
def test_libcurl_sends_a_post_again() -> None:
    assert_the_third_is_sent_again("POST", b"once?")


def assert_the_third_is_sent_again(method: str, body: bytes | None) -> None:
    seen: list[bytes] = []
    with serving(closing_instead_of_the_third_answer(seen)) as server, open_client() as client:
        exchange = user()
        sent = request(server.url, method, body=body)
        results = []
        for _ in range(5):
            send(client, exchange, sent)
            assert (exchange.error, exchange.status) == (0, 200)
            results.append((exchange.attempts, exchange.flags))
        assert results == [(1, CONNECTED), (1, 0), (2, CONNECTED | RESENT), (1, 0), (1, 0)]
        assert sum(attempts for attempts, _ in results) == len(seen) == 6
        assert len(server.connections) == 2


@wire_only("libcurl transfers send a POST again")
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_is_not_idempotent_is_not_sent_again(method: str) -> None:
    seen: list[bytes] = []
    with serving(closing_instead_of_the_third_answer(seen)) as server, open_client() as client:
        exchange = user()
        sent = request(server.url, method, body=b"once!")
        results = []
        for _ in range(5):
            send(client, exchange, sent)
            results.append((ERROR_KINDS[exchange.error], exchange.attempts, exchange.flags))
        assert results == [("", 1, CONNECTED), ("", 1, 0), ("closed", 1, 0), ("", 1, CONNECTED), ("", 1, 0)]
        assert (len(seen), len(server.connections)) == (5, 2)


@wire_only("libcurl transfers send again as often as they meet an end")
def test_on_the_wire_a_request_is_sent_again_only_once() -> None:
    def serve(connection: Connection) -> None:
        if connection.number == 1 and connection.read_request() is not None:
            connection.send(OK)
        connection.read_request()  # and no answer

    with serving(serve) as server, open_client() as client:
        exchange, sent = user(), request(server.url)
        assert send(client, exchange, sent).error == 0
        send(client, exchange, sent)
        assert (ERROR_KINDS[exchange.error], exchange.attempts, exchange.connections) == ("closed", 2, 1)
        assert len(server.connections) == 2


def test_bodies_of_different_sizes_are_no_resends() -> None:
    with serving(answering(OK)) as server, open_client() as client:
        exchange = user()
        total = 0
        for size in (0, 3, 1000, 100_000, 50, 2_000_000, 7):
            send(client, exchange, request(server.url, "POST", body=b"x" * size))
            assert (exchange.error, exchange.attempts, exchange.flags & RESENT) == (0, 1, 0)
            total += exchange.sent_bytes
            assert server.connections[0].received == total


def test_a_connection_that_says_something_while_idle_is_not_used_again() -> None:
    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(OK)
        if connection.number == 1:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nunasked"[:-1])
        connection.wait_for_end()

    with serving(serve) as server, open_client() as client:
        exchange = user()
        send(client, exchange, request(server.url, keep_body=True))
        first = exchange.body
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            client.poll(0.01)
        if first == b"ok":
            send(client, exchange, request(server.url, keep_body=True))
        assert (exchange.error, exchange.body) == (0, b"ok")


def test_cut_closes_the_connection_and_says_no_more_of_it() -> None:
    with serving(answering(OK, b"")) as server, open_client() as client:
        exchange, other = user(1), user(2)
        send(client, exchange, request(server.url))
        send(client, other, request(server.url))
        client.start(exchange, request(server.url))
        client.poll(0.02)
        assert client.in_flight == 1
        client.cut(exchange)
        assert client.in_flight == 0
        server.connections[0].wait_for_end()
        assert client.poll(0.02) == []
        client.cut(exchange)  # nothing under way: nothing happens
        client.cut(user(3))
        assert client.in_flight == 0


def test_a_user_that_was_cut_can_be_used_again() -> None:
    def serve(connection: Connection) -> None:
        connection.read_request()
        if connection.number > 1:
            connection.send(OK)
        connection.wait_for_end()

    with serving(serve) as server, open_client() as client:
        exchange = user()
        client.start(exchange, request(server.url))
        until(lambda: bool(server.connections) and not client.poll(0.01))
        client.cut(exchange)
        send(client, exchange, request(server.url))
        assert (exchange.error, exchange.flags) == (0, CONNECTED)
