"""The routes that misbehave: what arrives at a bare socket, byte by byte, and that each request was counted."""

import contextlib
import http.client
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from raw_client import RawClient
from target_process import TargetProcess, running_target

from perfcore.target.fault_routes import slow_headers
from perfcore.target.messages import Ending, Request
from perfcore.target.state import TargetState


@pytest.fixture
def client(target: TargetProcess) -> Iterator[RawClient]:
    with RawClient(target.port) as client:
        yield client


def request(client: RawClient, path: str, method: str = "GET") -> None:
    client.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def rest_and_reset(client: RawClient) -> bytes:
    """What comes before the connection is reset; fails if it is closed."""
    with contextlib.suppress(ConnectionResetError):
        received = client.rest()
        raise AssertionError(f"closed and not reset after {len(received)} bytes")
    return client.unread


def is_silent(client: RawClient, seconds: float) -> bool:
    readable, _, _ = select.select([client.socket], [], [], seconds)
    return not readable


def test_a_reset_comes_in_place_of_an_answer(target: TargetProcess) -> None:
    for _ in range(3):
        with RawClient(target.port) as client:
            client.send(b"POST /reset HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc")
            assert rest_and_reset(client) == b""
    counted = target.stats_when_closed()
    assert (counted["paths"], counted["connections"]) == ({"/reset": 3}, 3)


@pytest.mark.parametrize("after", [0, 1, 70_000, 5_000_000])
def test_a_reset_comes_after_so_many_bytes_of_a_longer_body(client: RawClient, after: int) -> None:
    request(client, f"/reset?after={after}")
    assert int(client.head().headers["content-length"]) > after
    assert len(rest_and_reset(client)) == after


def test_a_reset_does_not_wait_for_ever_for_a_client_that_has_gone(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        request(client, "/reset?after=50M")
        assert client.head().status == 200
    assert target.stats_when_closed()["paths"] == {"/reset": 1}


def test_hang_never_answers_and_lasts_until_the_client_goes(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        request(client, "/hang")
        # Whatever is sent besides, its going is noticed.
        client.send(b"GET /health HTTP/1.1\r\n\r\n" * 100)
        with RawClient(target.port) as other:
            assert other.ask("/delay/50").status == 200
        assert is_silent(client, 0)
    assert target.stats_when_closed()["paths"]["/hang"] == 1


def test_hang_drops_what_was_pipelined_behind_it(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        client.send(b"GET /hang HTTP/1.1\r\n\r\n" + b"GET /health HTTP/1.1\r\n\r\n" * 10)
        target.wait_for_requests(11)
        assert is_silent(client, 0)
    target.stats_when_closed()


@pytest.mark.parametrize("after", [0, 10, 300_000])
def test_hang_falls_silent_after_so_many_bytes(target: TargetProcess, after: int) -> None:
    for _ in range(2):
        with RawClient(target.port) as client:
            request(client, f"/hang?after={after}")
            assert int(client.head().headers["content-length"]) > after
            assert len(client.exactly(after)) == after
            assert is_silent(client, 0.02)
            assert client.unread == b""
    assert target.stats_when_closed()["paths"] == {"/hang": 2}


@pytest.mark.parametrize(
    ("query", "announced", "sent"),
    [("", 1000, 500), ("?size=10&sent=0", 10, 0), ("?size=1M&sent=999999", 1_000_000, 999_999)],
)
def test_a_truncated_body_is_shorter_than_announced(
    target: TargetProcess, query: str, announced: int, sent: int
) -> None:
    for _ in range(2):
        with contextlib.closing(target.connect()) as connection:
            connection.request("GET", f"/truncate{query}")
            response = connection.getresponse()
            assert response.getheader("Content-Length") == str(announced)
            with pytest.raises(http.client.IncompleteRead) as cut:
                response.read()
            assert (len(cut.value.partial), cut.value.expected) == (sent, announced - sent)


def test_a_truncated_chunk_is_shorter_than_announced(client: RawClient) -> None:
    request(client, "/truncate?chunked=1&size=20&sent=5")
    assert client.head().headers["transfer-encoding"] == "chunked"
    assert client.rest() == b"14\r\n01234"


def test_a_truncated_head_has_no_end(client: RawClient) -> None:
    request(client, "/truncate?head=1")
    received = client.rest()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\n\r\n" not in received


def test_head_of_a_truncated_answer_has_no_body(client: RawClient) -> None:
    request(client, "/truncate?chunked=1", "HEAD")
    assert client.head().status == 200
    assert client.rest() == b""


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
def test_garbage_is_so_many_bytes_that_are_no_http(target: TargetProcess, size: int) -> None:
    with RawClient(target.port) as client:
        request(client, f"/garbage?size={size}")
        assert len(client.rest()) == size
    with pytest.raises(http.client.HTTPException):
        answer_of(target, f"/garbage?size={size}")


@pytest.mark.parametrize("lines", [0, 1, 1000, 100_000])
def test_endless_headers_are_well_formed_and_have_no_end(client: RawClient, lines: int) -> None:
    request(client, f"/endless-headers?lines={lines}")
    first, *received, last = client.rest().split(b"\r\n")
    assert (first, last) == (b"HTTP/1.1 200 OK", b"")
    assert len(received) == lines
    assert all(line.startswith(b"X-Endless: ") for line in received)


def test_endless_answers_are_made_only_as_they_are_taken(target: TargetProcess) -> None:
    with RawClient(target.port) as one, RawClient(target.port) as two, RawClient(target.port) as other:
        request(one, "/garbage?size=100000000000")
        request(two, "/endless-headers?lines=1000M")
        for client in (one, two):
            assert len(client.exactly(1_000_000)) == 1_000_000
        assert other.ask("/health").status == 200
    target.stats_when_closed()


class Recorded:
    """An exchange that notes what is sent, and holds nothing."""

    def __init__(self) -> None:
        self.arrived_ns = 7_000_000_000
        self.sent: list[bytes] = []
        self.held_until_ns: list[int] = []

    def hold(self, until_ns: int, then: Callable[[], None]) -> None:
        self.held_until_ns.append(until_ns)
        then()

    def send_raw(self, part: bytes) -> None:
        self.sent.append(part)

    def send(self, wire: bytes) -> None:
        self.sent.append(wire)

    def end(self, ending: Ending) -> None:
        raise AssertionError("not whole")


@pytest.mark.parametrize("pieces", [1, 2, 7, 200])
def test_slow_headers_are_cut_into_pieces_with_a_pause_before_each_but_the_first(pieces: int) -> None:
    plan = slow_headers(
        Request("GET", f"/slow-headers?delay_ms=15&pieces={pieces}", "1.1", []), TargetState()
    )
    exchange = Recorded()
    assert callable(plan)
    plan(exchange)
    assert exchange.held_until_ns == [7_000_000_000 + number * 15_000_000 for number in range(1, pieces)]
    assert len(exchange.sent) == pieces
    assert all(exchange.sent)
    assert not any(b"\r\n\r\n" in piece for piece in exchange.sent[:-1])
    head, _, body = b"".join(exchange.sent).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b'{"status": "ok"}'


def test_slow_headers_take_their_time_and_the_connection_goes_on(client: RawClient) -> None:
    for _ in range(2):
        started = time.monotonic()
        answer = client.ask("/slow-headers?delay_ms=15&pieces=6")
        assert time.monotonic() - started >= 5 * 0.015
        assert (answer.status, answer.body) == (200, b'{"status": "ok"}')
    assert client.ask("/slow-headers?delay_ms=0&pieces=1000").status == 200
    assert client.ask("/health").status == 200


def test_close_breaks_its_promise_after_a_whole_answer(target: TargetProcess) -> None:
    for path in ("/close", "/close?after_ms=30"):
        with RawClient(target.port) as client:
            started = time.monotonic()
            answer = client.ask(path)
            assert (answer.status, answer.body) == (200, b'{"status": "ok"}')
            assert "connection" not in answer.headers
            assert client.rest() == b""
            assert time.monotonic() - started >= (0.03 if "?" in path else 0)
    assert target.stats_when_closed()["paths"] == {"/close": 2}


def test_a_request_before_the_unannounced_close_is_counted_and_not_answered(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        client.send(b"GET /close?after_ms=20 HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n")
        assert client.response().status == 200
        assert client.rest() == b""
    assert target.stats_when_closed()["paths"] == {"/close": 1, "/health": 1}


@pytest.mark.parametrize(
    "path",
    [
        "/reset?after=x",
        "/hang?after=-1",
        "/truncate?size=10&sent=10",
        "/truncate?chunked=yes",
        "/garbage?size=x",
        "/slow-headers?pieces=0",
        "/slow-headers?pieces=1001",
        "/slow-headers?delay_ms=x",
        "/endless-headers?lines=x",
        "/close?after_ms=-1",
        "/reset/now",
    ],
)
def test_wrong_faults_are_refused_with_a_good_answer(client: RawClient, path: str) -> None:
    assert client.ask(path).status in (400, 404)
    assert client.ask("/health").status == 200


def test_an_answer_before_a_fault_is_whole(target: TargetProcess) -> None:
    for path in ("/reset", "/truncate", "/garbage", "/close"):
        with RawClient(target.port) as client:
            client.send(f"GET /users/7 HTTP/1.1\r\n\r\nGET {path} HTTP/1.1\r\n\r\n".encode())
            assert client.response().status == 200


def test_faults_at_full_rate_are_all_counted(target: TargetProcess) -> None:
    paths = ["/reset", "/truncate", "/garbage", "/close", "/reset?after=10", "/truncate?head=1"]

    def load() -> None:
        for _ in range(20):
            for path in paths:
                with RawClient(target.port) as client, contextlib.suppress(ConnectionResetError):
                    request(client, path)
                    client.rest()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = target.stats_when_closed()
    assert (counted["requests"], counted["connections"]) == (480, 480)


def answer_of(target: TargetProcess, path: str) -> bytes:
    """The body by http.client, which raises for an answer that is not whole."""
    with contextlib.closing(target.connect()) as connection:
        connection.request("GET", path)
        return connection.getresponse().read()


def tls_ends_with_reset(target: TargetProcess, path: str) -> bool:
    """By the socket below TLS: Python's own TLS calls a reset an end of file."""
    context = ssl.create_default_context(cafile=str(target.ca_file))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with RawClient(target.port) as client:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
                incoming.write(client.socket.recv(65_536))
        tls.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        client.send(outgoing.read())
        try:
            client.rest()
        except ConnectionResetError:
            return True
        return False


@pytest.fixture(scope="module")
def tls_target() -> Iterator[TargetProcess]:
    with running_target("--tls") as started:
        yield started


FORM = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/gzip?size=1M", {"Accept-Encoding": "gzip"}, None, 200),
        ("GET", "/deflate", {"Accept-Encoding": "deflate"}, None, 200),
        ("PUT", "/upload", {}, b"x" * 3_000_000, 200),
        ("POST", "/multipart", {"Content-Type": "multipart/form-data; boundary=b"}, FORM, 200),
        ("GET", "/redirect/1", {}, None, 302),
        ("GET", "/cookies/set?a=1", {}, None, 200),
        ("GET", "/basic/a/b", {"Authorization": "Basic YTpi"}, None, 200),
        ("GET", "/digest/a/b", {}, None, 401),
        ("POST", "/login", {}, b'{"username": "a", "password": "b"}', 200),
        ("GET", "/protected", {}, None, 401),
        ("GET", "/slow-headers?delay_ms=1", {}, None, 200),
        ("GET", "/close", {}, None, 200),
    ],
)
def test_routes_answer_over_tls(
    tls_target: TargetProcess,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes | None,
    status: int,
) -> None:
    tls_target.reset()
    with contextlib.closing(tls_target.connect()) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == status
    assert tls_target.stats()["paths"] == {path.partition("?")[0]: 1}


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/truncate", http.client.IncompleteRead),
        ("/truncate?size=3M", http.client.IncompleteRead),
        ("/truncate?chunked=1", http.client.IncompleteRead),
        ("/garbage", http.client.BadStatusLine),
        ("/endless-headers?lines=1000", http.client.HTTPException),
    ],
)
def test_answers_are_as_broken_over_tls(tls_target: TargetProcess, path: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        answer_of(tls_target, path)


@pytest.mark.parametrize("path", ["/reset", "/reset?after=100000"])
def test_a_reset_is_one_over_tls_too(tls_target: TargetProcess, path: str) -> None:
    assert tls_ends_with_reset(tls_target, path)
    assert not tls_ends_with_reset(tls_target, "/close")


def test_an_absolute_redirect_over_tls_is_https(tls_target: TargetProcess) -> None:
    with contextlib.closing(tls_target.connect()) as connection:
        connection.request("GET", "/redirect/1?absolute=1")
        location = connection.getresponse().getheader("Location", "")
    assert location == f"{tls_target.url}/redirect/0?absolute=1"


def test_hang_falls_silent_over_tls_and_hears_the_client_go(tls_target: TargetProcess) -> None:
    with contextlib.closing(tls_target.connect()) as connection:
        connection.request("GET", "/hang?after=10")
        assert connection.getresponse().read(10) == b"0123456789"
    tls_target.stats_when_closed()
