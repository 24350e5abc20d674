import asyncio
import contextlib
import http.client
import os
import socket
import threading
import time

import pytest
from raw_client import RawClient
from target_process import TargetProcess

from perfcore.target.alarm import Alarm
from perfcore.target.server import Connection
from perfcore.target.state import TargetState

ROUTES = ["/health", "/users/1", "/echo", "/delay/1", "/status/503", "/bytes/10", "/bytes/1M", "/chunked/1M"]


def test_pipelined_requests_are_answered_in_order(target: TargetProcess) -> None:
    paths = ["/users/1", "/delay/30", "/users/2", "/bytes/100k", "/users/3", "/status/204", "/users/4"]
    with RawClient(target.port) as client:
        client.send(b"".join(f"GET {path} HTTP/1.1\r\n\r\n".encode() for path in paths))
        answers = [client.response() for _ in paths]
    assert [answer.status for answer in answers] == [200] * 5 + [204, 200]
    assert [len(answer.body) for answer in answers][3] == 100_000
    assert [answers[at].body[7] - ord("0") for at in (0, 2, 4, 6)] == [1, 2, 3, 4]


def test_thousands_of_pipelined_requests_are_all_answered(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        sender = threading.Thread(target=client.send, args=(b"GET /health HTTP/1.1\r\n\r\n" * 5000,))
        sender.start()
        assert {client.response().status for _ in range(5000)} == {200}
        sender.join()
    assert target.stats()["paths"] == {"/health": 5000}


def test_truth_of_a_pipelined_request_counts_from_its_own_arrival(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        client.send(b"GET /truth?delay_ms=60 HTTP/1.1\r\n\r\n")
        time.sleep(0.03)
        client.send(b"GET /truth?delay_ms=0 HTTP/1.1\r\n\r\n")
        first, second = (int(client.response().body.split(b":")[1].strip(b" }")) for _ in range(2))
    assert first >= 60_000_000
    # It arrived in the middle and waited for its turn.
    assert 5_000_000 < second < first


def test_requests_cut_anywhere_are_understood(target: TargetProcess) -> None:
    text = b"POST /echo?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbodyGET /health HTTP/1.1\r\n\r\n"
    with RawClient(target.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(1, len(text)):
            client.send(text[:at])
            time.sleep(0.0005)
            client.send(text[at:])
            assert b'"body": "body"' in client.response().body
            assert client.response().body == b'{"status": "ok"}'
    assert target.stats()["requests"] == 2 * (len(text) - 1)


@pytest.mark.parametrize("path", ROUTES)
def test_head_is_get_without_the_body(target: TargetProcess, path: str) -> None:
    with RawClient(target.port) as client:
        client.send(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        whole = client.response()
        client.send(f"HEAD {path} HTTP/1.1\r\n\r\n".encode())
        head = client.head()
        assert head.status == whole.status
        if path != "/echo":
            assert head.headers == whole.headers
        assert client.ask("/health").status == 200
        assert client.unread == b""


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_any_method_is_answered(target: TargetProcess, method: str) -> None:
    with RawClient(target.port) as client:
        assert client.ask("/health", method).status == 200


@pytest.mark.parametrize("path", ROUTES)
def test_connection_close_is_honoured(target: TargetProcess, path: str) -> None:
    for _ in range(3):
        with RawClient(target.port) as client:
            client.send(f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
            assert client.response().headers["connection"] == "close"
            assert client.rest() == b""
    assert target.stats()["connections"] == 3


def test_http_1_0_closes_unless_asked_to_keep(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        client.send(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert client.response().headers["connection"] == "keep-alive"
        client.send(b"GET /chunked/100k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert "transfer-encoding" not in client.head().headers
        assert len(client.rest()) == 100_000
    with RawClient(target.port) as client:
        client.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert client.rest().endswith(b'{"status": "ok"}')


def test_chunked_upload_is_put_together(target: TargetProcess) -> None:
    with contextlib.closing(target.connect()) as connection:
        connection.request("POST", "/echo", iter([b"one ", b"two ", b"three"]), encode_chunked=True)
        assert b'"body": "one two three"' in connection.getresponse().read()
    with RawClient(target.port) as client:
        client.send(
            b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n"
        )
        body = client.response().body
        assert b'"body": "abc"' in body
        assert b'"T"' not in body
        assert client.ask("/health").status == 200


def test_expecting_client_is_told_to_continue(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        head = b"POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        client.send(head)
        assert client.head().status == 100
        client.send(b"ok")
        assert b'"body": "ok"' in client.response().body
        client.send(b"GET /delay/20 HTTP/1.1\r\n\r\n" + head)
        assert client.response().status == 200
        assert client.head().status == 100
        client.send(b"ok")
        assert b'"body": "ok"' in client.response().body
        client.send(b"GET /health HTTP/1.1\r\nExpect: tea\r\n\r\n")
        assert client.response().status == 417


def test_offer_to_upgrade_is_declined(target: TargetProcess) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    with RawClient(target.port) as client:
        client.send(b"GET /health HTTP/1.1\r\n" + offer + b"\r\n")
        assert client.response().status == 200
        client.send(b"POST /echo HTTP/1.1\r\n" + offer + b"Content-Length: 3\r\n\r\nabc")
        assert b'"body": "abc"' in client.response().body
        client.send(b"POST /echo HTTP/1.1\r\n" + offer + b"Transfer-Encoding: chunked\r\n\r\n")
        client.send(b"3\r\nabc\r\n0\r\n\r\nGET /health HTTP/1.1\r\n\r\n")
        assert b'"body": "abc"' in client.response().body
        assert client.response().status == 200
    assert target.stats()["requests"] == 4


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00garbage\r\n\r\n",
        b"HELLO\r\n\r\n",
        b"GET /health HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_garbage_is_answered_400_and_closed(target: TargetProcess, garbage: bytes) -> None:
    with RawClient(target.port) as client:
        client.send(b"GET /users/1 HTTP/1.1\r\n\r\n" + garbage)
        assert client.response().status == 200
        refused = client.response()
        assert (refused.status, refused.headers["connection"]) == (400, "close")
        assert client.rest() == b""
    counted = target.stats()
    assert (counted["requests"], counted["rejected"]) == (1, 1)


def test_other_versions_are_refused(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        client.send(b"GET /health HTTP/2.0\r\n\r\n")
        assert client.response().status == 505


@pytest.mark.parametrize("filler", [b"X: " + b"y" * 1000 + b"\r\n", b"y" * 1000])
def test_endless_head_is_refused(target: TargetProcess, filler: bytes) -> None:
    with RawClient(target.port) as client:
        client.send(b"GET /health HTTP/1.1\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(400):
                client.send(filler)
        assert client.response().status == 431
        assert client.rest() == b""


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_too_large_to_echo_is_refused(target: TargetProcess, framing: str) -> None:
    size = 11 * 1024 * 1024
    announced = f"Content-Length: {size}" if framing == "length" else "Transfer-Encoding: chunked"
    with RawClient(target.port) as client:
        client.send(f"POST /echo HTTP/1.1\r\n{announced}\r\n\r\n".encode())
        if framing == "chunked":
            client.send(b"%x\r\n" % size)
        client.send(b"x" * size)
        assert client.response().status == 413
        assert client.rest() == b""
    assert target.stats()["requests"] == 0


def resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_large_upload_is_not_held(target: TargetProcess) -> None:
    before = resident_bytes(target.pid)
    block = b"x" * 1_000_000
    with RawClient(target.port) as client:
        client.send(b"POST /health HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(100):
            client.send(block)
        assert client.response().status == 200
    assert resident_bytes(target.pid) - before < 20_000_000


def test_large_answer_to_a_slow_reader_is_not_held(target: TargetProcess) -> None:
    before = resident_bytes(target.pid)
    clients = [RawClient(target.port) for _ in range(4)]
    for client, path in zip(clients, ["/bytes/1000000000", "/chunked/1000M"] * 2, strict=True):
        client.send(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        assert client.head().status == 200
    with RawClient(target.port) as other:
        assert other.ask("/health").status == 200
    assert resident_bytes(target.pid) - before < 20_000_000
    for client in clients:
        client.socket.close()
    target.stats_when_closed()


def test_client_that_reads_nothing_is_not_read_from(target: TargetProcess) -> None:
    before = resident_bytes(target.pid)
    with RawClient(target.port) as client:
        client.socket.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            for _ in range(2000):
                client.send(b"GET /bytes/65536 HTTP/1.1\r\n\r\n" * 100)
        assert resident_bytes(target.pid) - before < 20_000_000


def test_stats_count_each_request_and_connection_exactly(target: TargetProcess) -> None:
    def load(number: int) -> None:
        with RawClient(target.port) as client:
            for at in range(50):
                assert client.ask(f"/users/{number}" if at % 2 else "/health").status == 200

    threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = target.stats_when_closed()
    assert counted["requests"] == 400
    assert (counted["connections"], counted["open_connections"]) == (8, 0)
    assert counted["paths"] == {"/health": 200, **{f"/users/{number}": 25 for number in range(8)}}


def test_stats_do_not_count_those_who_only_look(target: TargetProcess) -> None:
    with RawClient(target.port) as silent, RawClient(target.port) as looking, RawClient(target.port) as both:
        both.ask("/stats")
        both.ask("/health?x=1")
        both.ask("/stats")
        for _ in range(3):
            looking.ask("/stats")
        counted = target.stats()
        assert (counted["requests"], counted["connections"], counted["open_connections"]) == (1, 2, 2)
        assert counted["paths"] == {"/health": 1}
        assert silent.ask("/stats", "PUT").status == 405
    assert target.stats_when_closed()["open_connections"] == 0


@pytest.mark.parametrize(("method", "path"), [("POST", "/stats/reset"), ("DELETE", "/stats")])
def test_reset_starts_the_counters_anew(target: TargetProcess, method: str, path: str) -> None:
    with RawClient(target.port) as client:
        for _ in range(3):
            client.ask("/health")
        assert target.ask(method, path)["requests"] == 0
        for _ in range(2):
            client.ask("/health")
        counted = target.stats()
    assert (counted["requests"], counted["connections"], counted["open_connections"]) == (2, 0, 1)


def test_stats_name_a_bounded_number_of_paths(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        for number in range(1100):
            client.ask(f"/users/{number}")
    paths = target.stats()["paths"]
    assert len(paths) == 1001
    assert (paths["other"], paths["/users/0"]) == (100, 1)


def test_request_is_counted_once_its_last_byte_is_there(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        client.send(b"POST /delay/1 HTTP/1.1\r\nContent-Length: 2\r\n\r\na")
        assert target.stats()["requests"] == 0
        client.send(b"b")
        client.response()
        assert target.stats()["requests"] == 1


def test_client_that_leaves_while_held_is_forgotten(target: TargetProcess) -> None:
    clients = [RawClient(target.port) for _ in range(50)]
    for client in clients:
        client.send(b"GET /delay/60000 HTTP/1.1\r\n\r\n")
    target.wait_for_requests(50)
    for client in clients:
        client.socket.close()
    assert target.stats_when_closed()["connections"] == 50


def test_http_client_reuses_its_connection(target: TargetProcess) -> None:
    with contextlib.closing(target.connect()) as connection:
        for path in ROUTES:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert isinstance(answer, http.client.HTTPResponse)
            assert not answer.will_close
    assert target.stats()["connections"] == 1


def test_no_answer_waits_for_a_delayed_acknowledgement() -> None:
    # Nagle's algorithm would hold the end of a large body back for 40 ms now and then.
    async def accepted_socket() -> int:
        loop = asyncio.get_running_loop()
        connections: set[Connection] = set()
        alarm = Alarm(loop)
        listener = socket.create_server(("127.0.0.1", 0))
        server = await loop.create_server(
            lambda: Connection(TargetState(), alarm, connections, {}), sock=listener
        )
        with socket.create_connection(listener.getsockname()):
            while not connections:
                await asyncio.sleep(0)
            (connection,) = connections
            accepted = connection._transport.get_extra_info("socket")
            is_on = int(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            connection.abort()
        server.close()
        alarm.close()
        return is_on

    assert asyncio.run(accepted_socket()) == 1
