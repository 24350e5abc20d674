"""Tests of both engines in one worker at the same time."""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from engine.fake_transport import FakeRecorder
from engine.http_harness import (
    OK,
    WAIT_S,
    Connection,
    RawServer,
    bodies_thrown_away,
    request,
    serving,
    until,
)
from engine.wire_load import OneRequest
from perfcore.engine.case_load import CaseLoad
from perfcore.engine.http_client import HttpClient
from perfcore.engine.load_loop import LoadLoop
from perfcore.engine.mixed_client import MixedClient, transport_for
from perfcore.engine.pacing import pacer_for
from perfcore.engine.transport import Exchange, Request
from perfcore.engine.wire_client import WireClient
from perfcore.metrics.samples import SampleReader, SampleRing, SampleWriter
from perfcore.suite.test_case import TestCase


class Paths:
    """Answers, and knows which paths were asked for."""

    def __init__(self) -> None:
        self.seen: Counter[bytes] = Counter()
        self._lock = threading.Lock()

    def __call__(self, connection: Connection) -> None:
        while (got := connection.read_request()) is not None:
            with self._lock:
                self.seen[got.split(b" ")[1]] += 1
            connection.send(OK)


@contextmanager
def mixed() -> Iterator[MixedClient]:
    """The first test over the wire, the second over transfers."""
    with bodies_thrown_away():
        client = transport_for({0: "wire", 1: "transfer"})
        assert isinstance(client, MixedClient)
        try:
            yield client
        finally:
            client.close()


def load_of(case: int, sent: Request, *, users: int, iterations: int) -> CaseLoad:
    made = TestCase(
        name="t", endpoint="http://127.0.0.1/", parallel_users=users, iterations=iterations, ramp_up=0
    )
    pacer = pacer_for(made)
    return CaseLoad(
        case,
        source=OneRequest(sent),
        pacer=pacer,
        expectation=made.expect,
        starts=pacer.starts(0, 1),
        iterations=iterations,
        budget=None,
        start_ns=time.monotonic_ns(),
        end_ns=None,
        graceful_stop_ns=round(WAIT_S * 1e9),
        draw=random.Random(1),
    )


def test_one_engine_alone_is_not_mixed() -> None:
    for engine, kind in (("wire", WireClient), ("transfer", HttpClient)):
        client = transport_for({0: engine, 1: engine})  # type: ignore[dict-item]
        assert type(client) is kind
        client.close()


def test_both_engines_at_once_count_what_the_server_counts() -> None:
    paths = Paths()
    with serving(paths) as server, mixed() as client:
        ring = SampleRing(64)
        writer = SampleWriter(ring, lambda _rows: None)
        loads = [
            load_of(0, request(f"{server.url}/wire"), users=5, iterations=200),
            load_of(1, request(f"{server.url}/transfer"), users=7, iterations=100),
        ]
        LoadLoop(
            loads,
            client,
            writer,
            clock=time.monotonic_ns,
            on_failure=lambda exchange, text: None,
            on_housekeeping=lambda _now_ns: False,
        ).run()
        writer.finish()
        rows: Counter[tuple[int, int, int]] = Counter()
        SampleReader(ring).drain(
            lambda part: rows.update(
                zip(part["case"].tolist(), part["status"].tolist(), part["attempts"].tolist(), strict=True)
            )
        )
        assert rows == {(0, 200, 1): 1000, (1, 200, 1): 700}
        assert paths.seen == {b"/wire": 1000, b"/transfer": 700}
        assert client.addresses() == {
            0: {"127.0.0.1": {"connections": 5, "requests": 1000}},
            1: {"127.0.0.1": {"connections": 7, "requests": 700}},
        }
        assert client.http_versions() == {0: {"1.1": 5}, 1: {"1.1": 7}}
        assert set(client.recognised()) == {0}
        assert len(server.connections) == 12
        assert client.in_flight == 0


def finish(client: MixedClient, count: int) -> list[Exchange]:
    deadline = time.monotonic() + WAIT_S
    done: list[Exchange] = []
    while len(done) < count:
        assert time.monotonic() < deadline
        done += client.poll(0.05)
    return done


def test_each_exchange_goes_through_the_engine_of_its_test() -> None:
    with serving(Paths()) as server, mixed() as client:
        exchanges = [Exchange(1, case, None) for case in (0, 1)]
        for exchange in exchanges:
            client.start(exchange, request(server.url, cookies=True))
        assert client.in_flight == 2
        assert {exchange.case for exchange in finish(client, 2)} == {0, 1}
        assert client._wire.addresses().keys() == {0}
        assert client._transfer.addresses().keys() == {1}
        assert [client.location(exchange) for exchange in exchanges] == [None, None]
        for exchange in exchanges:
            client.keep_next(exchange)
            client.start(exchange, request(server.url, cookies=True))
            # An answer is there until the next poll.
            assert [done.body for done in finish(client, 1)] == [b"ok"]


def test_connections_made_beforehand_are_taken_in_either() -> None:
    with serving(Paths()) as server, mixed() as client:
        sent = request(server.url, preconnect=True)
        for case in (0, 1):
            client.preconnect(case, [(number, sent) for number in (1, 2)], WAIT_S)
        until(lambda: len(server.connections) == 4)
        for case, number in itertools.product((0, 1), (1, 2)):
            exchange = Exchange(number, case, None)
            client.start(exchange, sent)
            finish(client, 1)
            assert (exchange.flags, exchange.connections) == (0, 1)
        assert len(server.connections) == 4


def test_what_is_cut_in_either_is_not_handed_back() -> None:
    def silent(connection: Connection) -> None:
        connection.wait_for_end()

    with serving(silent) as server, mixed() as client:
        exchanges = [Exchange(1, case, None) for case in (0, 1)]
        for exchange in exchanges:
            client.start(exchange, request(server.url))
        for _ in range(3):
            assert client.poll(0.01) == []
        for exchange in exchanges:
            client.cut(exchange)
        assert client.in_flight == 0
        assert client.poll(0.01) == []
        assert_all_closed(server)


def assert_all_closed(server: RawServer) -> None:
    until(lambda: all(connection.socket.fileno() < 0 for connection in server.connections))


def test_timeouts_of_either_end_in_time() -> None:
    with serving(lambda connection: connection.wait_for_end()) as server, mixed() as client:
        exchanges = [Exchange(1, case, None) for case in (0, 1)]
        for exchange in exchanges:
            client.start(exchange, request(server.url, timeout_s=0.2))
        finish(client, 2)
        assert all(exchange.done_ns - exchange.issued_ns >= 190_000_000 for exchange in exchanges)


def test_an_idle_wait_costs_no_cpu() -> None:
    with mixed() as client:
        before, begin = time.thread_time(), time.monotonic()
        assert client.poll(0.3) == []
        assert time.monotonic() - begin > 0.29
        assert time.thread_time() - before < 0.1


def test_a_load_of_a_recorder_that_is_no_ring_has_no_cycles() -> None:
    paths = Paths()
    with serving(paths) as server, mixed() as client:
        recorder = FakeRecorder()
        LoadLoop(
            [load_of(0, request(f"{server.url}/wire"), users=2, iterations=10)],
            client,
            recorder,
            clock=time.monotonic_ns,
            on_failure=lambda exchange, text: None,
            on_housekeeping=lambda _now_ns: False,
        ).run()
        assert len(recorder.rows) == paths.seen[b"/wire"] == 20
