"""Users whom the wire path lets go on by themselves, against the same load with every request in the general way.

Each server is a rule: what the n-th request on a connection gets. So both ways meet exactly the same answers.
"""

import itertools
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.http_harness import (
    OK,
    WAIT_S,
    Connection,
    RawServer,
    answering,
    authority,
    request,
    serving,
)
from engine.server_rules import RULES, Rule, plain
from engine.wire_load import Load
from perfcore.metrics import samples
from perfcore.metrics.samples import CONNECTED, INTERRUPTED, RESENT

# What a row says but for its instants.
FACTS = (
    "status",
    "error",
    "received_bytes",
    "sent_bytes",
    "attempts",
    "connections",
    "flags",
    "step",
    "case",
)


def compared(rule: Callable[[], Rule], **keys: object) -> tuple[Load, Load, RawServer, Rule]:
    """The load with cycles and without, and what the server of the first one has seen."""
    loads, servers, rules = [], [], []
    sent = keys.pop("sent", {})
    for cycles in (True, False):
        served = rule()
        with serving(served) as server:
            made = request(server.url + "/path", **sent)  # type: ignore[arg-type]
            loads.append(Load(made, cycles=cycles, **keys).run())  # type: ignore[arg-type]
            loads[-1].assert_consistent(server, len(served.seen))
        servers.append(server)
        rules.append(served)
    return loads[0], loads[1], servers[0], rules[0]


@pytest.mark.parametrize("name", RULES)
def test_each_users_rows_are_those_of_the_general_way(name: str) -> None:
    cycled, general, server, rule = compared(RULES[name], users=3, iterations=17)
    assert cycled.by_user(*FACTS) == general.by_user(*FACTS)
    assert {user: len(rows) for user, rows in cycled.by_user("user").items()} == {1: 17, 2: 17, 3: 17}
    assert sorted(cycled.failures) == sorted(general.failures)
    assert (cycled.addresses, cycled.versions) == (general.addresses, general.versions)
    assert [exchange.iteration for exchange in cycled.load.exchanges] == [17, 17, 17]
    assert cycled.attempts == len(rule.seen)
    assert int(cycled.rows["connections"].sum()) == len(server.connections)
    assert (general.starts, general.recognised) == (51, 0)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize("name", ["the same answer", "another answer each time", "chunks", "no content"])
def test_methods_are_counted_alike(name: str, method: str) -> None:
    body = b"some text" if method == "POST" else None

    def headless() -> Rule:
        rule = RULES[name]()
        if method == "HEAD":
            answer = rule.answer
            rule.answer = lambda n: (answer(n) or b"").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        return rule

    cycled, general, _, rule = compared(headless, iterations=9, sent={"method": method, "body": body})
    assert cycled.outcomes() == {("", 204 if name == "no content" else 200): 36}
    assert cycled.by_user(*FACTS) == general.by_user(*FACTS)
    assert cycled.rows["sent_bytes"].sum() == sum(map(len, rule.seen))


def test_a_plain_load_is_asked_for_twice_a_user_and_recognised_from_then_on() -> None:
    cycled, _, _, _ = compared(RULES["the same answer"], users=5, iterations=100)
    # The first request of a user connects, and the second is the first that goes on by itself.
    assert cycled.starts == 10
    assert 5 * 98 - 50 < cycled.recognised <= 5 * 99


def test_what_never_comes_twice_is_not_recognised_and_goes_on_by_itself_all_the_same() -> None:
    cycled, _, _, _ = compared(RULES["another answer each time"], users=2, iterations=40)
    assert cycled.starts == 4
    assert cycled.recognised < 2 * 39


@pytest.mark.parametrize("total", [1, 2, 7, 8, 9, 1000])
@pytest.mark.parametrize("name", ["the same answer", "a status that fails now and then", "close, announced"])
def test_total_iterations_are_met_exactly(name: str, total: int) -> None:
    for load in compared(RULES[name], users=4, total=total)[:2]:
        assert len(load.rows) == total
        assert load.load.users == 0


def test_users_stop_on_time_and_finish_what_is_under_way() -> None:
    cycled, _, _, rule = compared(RULES["the same answer"], users=4, duration_s=0.3)
    assert cycled.load.reached_end
    assert cycled.outcomes() == {("", 200): len(rule.seen)}
    assert (cycled.rows["due_ns"] < cycled.load.end_ns).all()
    # Everybody's last answer came after the end, or there would have been another request.
    for rows in cycled.by_user("done_ns").values():
        assert rows[-1][0] >= cycled.load.end_ns


def test_a_stop_from_outside_ends_cycles_too() -> None:
    rule = Rule(lambda _n: OK)
    with serving(rule) as server:
        load = Load(request(server.url), duration_s=60, stop_when=lambda: len(rule.seen) > 100).run()
        load.assert_consistent(server, len(rule.seen))
    assert load.load.was_stopped
    assert load.outcomes() == {("", 200): len(rule.seen)}


@pytest.mark.parametrize("cycles", [True, False])
def test_what_is_cut_is_recorded_as_interrupted_with_its_own_instants(cycles: bool) -> None:
    rule = Rule(lambda n: OK if n < 8 else None)
    with serving(rule) as server:
        load = Load(
            request(server.url),
            cycles=cycles,
            users=3,
            duration_s=60,
            graceful_stop_s=0.0,
            stop_when=lambda: len(rule.seen) == 24,
        ).run()
        load.assert_consistent(server, 24)
    cut = load.rows[load.rows["flags"] & INTERRUPTED != 0]
    assert sorted(cut["user"].tolist()) == [1, 2, 3]
    assert (len(load.rows), load.outcomes()) == (24, {("", 200): 21, ("", 0): 3})
    assert [exchange.iteration for exchange in load.load.exchanges] == [8, 8, 8]


def test_an_answer_that_does_not_come_times_out_in_mid_cycle() -> None:
    keys = {"users": 3, "iterations": 10, "sent": {"timeout_s": 0.3}}
    cycled, general, _, _ = compared(lambda: Rule(lambda n: OK if n != 5 else None), **keys)
    assert cycled.by_user(*FACTS) == general.by_user(*FACTS)
    assert cycled.outcomes() == {("", 200): 24, ("timeout", 0): 6}
    late = cycled.rows[cycled.rows["status"] == 0]
    assert ((late["done_ns"] - late["issued_ns"]) >= 300_000_000).all()


@pytest.mark.parametrize("cycles", [True, False])
@pytest.mark.parametrize("resets", [True, False])
def test_a_get_that_meets_the_end_of_its_connection_is_sent_again(cycles: bool, resets: bool) -> None:
    # Read, and not answered: so no answer can have been on its way.
    rule = Rule(lambda n: OK if n < 5 else b"", lambda n: n == 5, resets)
    with serving(rule) as server:
        load = Load(request(server.url), cycles=cycles, users=3, iterations=12).run()
        load.assert_consistent(server, len(rule.seen))
    assert load.outcomes() == {("", 200): 36}
    assert load.attempts == len(rule.seen) > 36
    again = load.rows[load.rows["attempts"] > 1]
    assert set(zip(again["attempts"], again["connections"], again["flags"], strict=True)) == {
        (2, 1, CONNECTED | RESENT)
    }


@pytest.mark.parametrize("cycles", [True, False])
def test_a_server_that_closes_unannounced_fails_a_user_that_posts_once_at_most(cycles: bool) -> None:
    """The first end may be met by a request that is out; from then on connections are looked at before use."""
    rule = Rule(lambda _n: OK, lambda n: n == 4)
    with serving(rule) as server:
        sent = request(server.url, "POST", body=b"x")
        load = Load(sent, cycles=cycles, users=1, iterations=60).run()
        load.assert_consistent(server)
    assert load.attempts >= len(rule.seen)
    assert set(load.outcomes()) <= {("", 200), ("closed", 0), ("reset", 0)}
    assert load.starts >= 55 - 4


def test_a_request_that_does_not_fit_into_the_socket_goes_on_when_there_is_room() -> None:
    body = bytes(range(256)) * 16_000
    rule = Rule(lambda _n: OK)
    with serving(rule) as server:
        load = Load(request(server.url, "POST", body=body), users=3, iterations=8).run()
        load.assert_consistent(server, 24)
    assert load.outcomes() == {("", 200): 24}
    assert {got.partition(b"\r\n\r\n")[2] == body for got in rule.seen} == {True}
    assert load.rows["sent_bytes"].tolist() == [len(rule.seen[0])] * 24
    assert load.starts == 6


def test_an_answer_that_begins_before_its_request_is_through_is_one_answer() -> None:
    """Its body looks like an answer, and comes as a piece of its own when the request is through."""
    inner = plain(b"not an answer")
    body = b"x" * 6_000_000
    bodies: list[bytes] = []

    def serve(connection: Connection) -> None:
        sock = connection.socket
        while True:
            got = sock.recv(65536)
            if not got:
                return
            head, _, part = got.partition(b"\r\n\r\n")
            left = len(body) - len(part)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(inner)))
            while left:
                read = sock.recv(min(left, 65536))
                assert read
                left -= len(read)
            bodies.append(head)
            for _ in range(2):
                threading.Event().wait(0.02)  # so that they are pieces; when they are not, nothing is wrong
                connection.send(inner)

    with serving(serve) as server:
        load = Load(request(server.url, "POST", body=body), users=2, iterations=6).run()
        load.assert_consistent(server, 12)
    assert len(bodies) == 12
    whole = len(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * len(inner))) + 2 * len(inner)
    assert load.rows["received_bytes"].tolist() == [whole] * 12
    assert int(load.rows["connections"].sum()) == 2


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("cycles", [True, False])
def test_no_row_is_lost_where_nobody_takes_blocks_away(
    monkeypatch: pytest.MonkeyPatch, blocks: int, cycles: bool
) -> None:
    monkeypatch.setattr(samples, "BLOCK_ROWS", 16)
    rule = Rule(lambda _n: OK)
    with serving(rule) as server:
        load = Load(request(server.url), cycles=cycles, users=5, iterations=101, blocks=blocks).run()
        load.assert_consistent(server, 505)
    assert load.outcomes() == {("", 200): 505}
    assert load.stalls >= 505 // 16 - blocks
    assert Counter(load.rows["user"].tolist()) == dict.fromkeys(range(1, 6), 101)


@pytest.mark.parametrize("cycles", [True, False])
def test_sequence_numbers_begin_anew_after_the_last(cycles: bool) -> None:
    rule = Rule(lambda _n: OK)
    with serving(rule) as server:
        load = Load(
            request(server.url), cycles=cycles, users=3, iterations=50, first_sequence=0xFFFF_FFFF - 20
        ).run()
        load.assert_consistent(server, 150)
    assert len(load.rows) == 150
    assert {0xFFFF_FFFF, 0} <= set(load.rows["sequence"].tolist())


# -- over TLS -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return authority(tmp_path_factory.mktemp("ca"))


TLS_RULES = (
    "the same answer",
    "another answer each time",
    "in pieces",
    "chunks",
    "larger than the buffer",
    "exactly the buffer",
    "exactly the buffer, and another",
    "two answers",
    "close, announced",
    "a cut body",
    "until the end",
    "garbage",
)


@pytest.mark.parametrize("name", TLS_RULES)
def test_rows_over_tls_are_those_of_the_general_way(name: str, tls: tuple[ssl.SSLContext, Path]) -> None:
    context, ca = tls
    loads = []
    for cycles in (True, False):
        rule = RULES[name]()
        with serving(rule, context) as server:
            made = request(server.url, tls_ca=ca, http_version="1.1")
            loads.append(Load(made, cycles=cycles, users=2, iterations=14).run())
            loads[-1].assert_consistent(server, len(rule.seen))
            assert loads[-1].attempts == len(rule.seen)
    assert loads[0].by_user(*FACTS) == loads[1].by_user(*FACTS)


def test_a_post_is_not_sent_on_a_connection_whose_end_came_with_the_answer_before(
    tls: tuple[ssl.SSLContext, Path],
) -> None:
    """The goodbye of TLS stands behind the answer, and is read with it or found before the next request."""
    context, ca = tls

    def serve(connection: Connection) -> None:
        sock = connection.socket
        assert isinstance(sock, ssl.SSLSocket)
        for n in itertools.count(1):
            if connection.read_request() is None:
                return
            if n < 4:
                connection.send(OK)
                continue
            # As one segment, so that both come together.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            connection.send(OK)
            sock.settimeout(0.0)
            with pytest.raises(ssl.SSLWantReadError):
                sock.unwrap()  # says goodbye and does not wait for the other's
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            return

    with serving(serve, context) as server:
        sent = request(server.url, "POST", body=b"x", tls_ca=ca, http_version="1.1")
        load = Load(sent, users=2, iterations=20).run()
        load.assert_consistent(server, 40)
    assert load.outcomes() == {("", 200): 40}
    assert len(server.connections) == 10


# -- the process ---------------------------------------------------------------------------------------------------


def test_waiting_in_mid_cycle_costs_no_cpu() -> None:
    wait = threading.Event()

    def late(n: int) -> bytes:
        if n == 4:
            wait.wait(0.4)
        return OK

    with serving(Rule(late)) as server:
        before = time.thread_time()
        load = Load(request(server.url), users=3, iterations=6).run()
        assert time.thread_time() - before < 0.2
    assert load.outcomes() == {("", 200): 18}


def test_answers_of_a_server_that_only_answers_are_all_taken() -> None:
    with serving(answering(OK)) as server:
        load = Load(request(server.url), users=40, iterations=50, graceful_stop_s=WAIT_S).run()
        load.assert_consistent(server, 2000)
    assert load.outcomes() == {("", 200): 2000}
