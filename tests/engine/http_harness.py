"""Servers of raw sockets that misbehave as told, and a hand to drive a client with.

A module or test marked `both_engines` runs once with an HttpClient (libcurl transfers) and once with a WireClient;
`transfers_only` and `wire_only` say of one test why it does not. Without a mark it is an HttpClient.

Every wait is bounded by WAIT_S; nothing here sleeps to be on the safe side.
"""

import contextlib
import ctypes
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import WAIT_S, wait_until

from perfcore.engine.http_client import HttpClient
from perfcore.engine.poller import Poller
from perfcore.engine.transport import Exchange, Request, RequestSettings
from perfcore.engine.wire_client import WireClient

Client = HttpClient | WireClient
CLIENTS: dict[str, type[Client]] = {"transfer": HttpClient, "wire": WireClient}
engine_under_test = "transfer"  # set by the fixture `engine`

both_engines = pytest.mark.engines("transfer", "wire")


def transfers_only(reason: str) -> pytest.MarkDecorator:
    """`reason` is what the wire path does not do, or does in a way of its own."""
    return pytest.mark.engines("transfer", reason=reason)


def wire_only(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.engines("wire", reason=reason)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def settings(method: str = "GET", **changes: object) -> RequestSettings:
    values: dict[str, object] = {
        "method": method,
        "timeout_s": WAIT_S,
        "connect_timeout_s": WAIT_S,
        "keepalive": True,
        "tls_verify": True,
        "tls_ca": None,
        "tls_cert": None,
        "tls_key": None,
        "keep_body": False,
        "keep_headers": False,
    }
    return RequestSettings(**{**values, **changes})  # type: ignore[arg-type]


def request(
    url: str,
    method: str = "GET",
    *,
    headers: list[str] | None = None,
    body: bytes | None = None,
    **changes: object,
) -> Request:
    return Request(settings(method, **changes), url, headers or [], body)


@contextlib.contextmanager
def bodies_thrown_away() -> Iterator[None]:
    """Descriptor 1 on /dev/null, as a worker has it: libcurl writes bodies that nobody asked for to C stdout.

    Not a fixture: pytest puts its own descriptor back between a fixture and the test.
    """
    libc = ctypes.CDLL(None)
    libc.fflush(None)
    saved, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
    try:
        yield
    finally:
        libc.fflush(None)
        os.dup2(saved, 1)
        os.close(saved)


@contextlib.contextmanager
def open_client(engine: str | None = None) -> Iterator[Client]:
    """A client of this engine, or else of the one that the test is running with."""
    with bodies_thrown_away():
        client = CLIENTS[engine or engine_under_test](Poller())
        try:
            yield client
        finally:
            client.close()


def user(number: int = 1) -> Exchange:
    return Exchange(number, 0, None)


def descriptor_of(exchange: Exchange) -> int:
    """Of the connection that the user has kept; -1 for none."""
    state = exchange.transport_state
    if hasattr(state, "fd"):
        return int(state.fd)
    return -1 if state.connection is None else int(state.connection.fd)


def send(client: Client, exchange: Exchange, sent: Request) -> Exchange:
    """One request from start to end."""
    exchange.request = sent
    client.start(exchange, sent)
    assert finish(client, 1) == [exchange]
    return exchange


def send_all(client: Client, exchanges: list[Exchange], sent: Request) -> list[Exchange]:
    """One request of each user from start to end, all at once; in the order in which they ended."""
    for exchange in exchanges:
        exchange.request = sent
        client.start(exchange, sent)
    return finish(client, len(exchanges))


def finish(client: Client, count: int) -> list[Exchange]:
    """Poll until `count` exchanges have ended."""
    deadline = time.monotonic() + WAIT_S
    done: list[Exchange] = []
    while len(done) < count:
        assert time.monotonic() < deadline, f"{len(done)} of {count} ended within {WAIT_S} s"
        done += client.poll(0.05)
    return done


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or process is about to do."""
    wait_until(condition, "what the test waits for")


class Connection:
    """The server's side of one connection. Counts what went over its socket in either direction."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(WAIT_S)
        self.socket = sock
        self.number = number  # from 1, in the order of accept
        self.received = 0
        self.sent = 0
        self._pending = b""

    def read_request(self) -> bytes | None:
        """Head and body (by Content-Length) of the next request; None when the client has gone."""
        while b"\r\n\r\n" not in self._pending:
            if not self._read():
                return None
        head = self._pending.index(b"\r\n\r\n") + 4
        lengths = [
            int(line.partition(b":")[2])
            for line in self._pending[:head].split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ]
        whole = head + sum(lengths)
        while len(self._pending) < whole:
            if not self._read():
                return None
        told, self._pending = self._pending[:whole], self._pending[whole:]
        return told

    def _read(self) -> bool:
        try:
            part = self.socket.recv(65536)
        except OSError:
            part = b""
        self._pending += part
        self.received += len(part)
        return bool(part)

    def send(self, data: bytes) -> None:
        self.sent += len(data)  # first, for whoever has received it and looks here
        self.socket.sendall(data)

    def reset(self) -> None:
        """RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def wait_for_end(self) -> None:
        """Until the client closes."""
        while self._read():
            pass


class RawServer:
    """`serve(connection)` runs in a thread of its own for each connection; the connection is closed after it."""

    def __init__(
        self,
        serve: Callable[[Connection], None],
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self._serve = serve
        self._tls = tls
        self.listener = socket.create_server((address, 0), backlog=512)
        self.connections: list[Connection] = []
        self.requests = 0
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            connection = Connection(sock, len(self.connections) + 1)
            self.connections.append(connection)
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            if self._tls is not None:
                connection.socket = self._tls.wrap_socket(connection.socket, server_side=True)
            self._serve(connection)
        except OSError:
            pass
        except BaseException as error:  # noqa: BLE001 - told by close()
            self.errors.append(error)
        finally:
            connection.socket.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_S)
        assert not self.errors, self.errors


@contextlib.contextmanager
def serving(
    serve: Callable[[Connection], None], tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> Iterator[RawServer]:
    server = RawServer(serve, tls, address)
    try:
        yield server
    finally:
        server.close()


def answering(*answers: bytes) -> Callable[[Connection], None]:
    """Answers the requests of each connection in turn with these, the last one again and again."""

    def serve(connection: Connection) -> None:
        at = 0
        while connection.read_request() is not None:
            connection.send(answers[min(at, len(answers) - 1)])
            at += 1

    return serve


def authority(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """TLS for a RawServer, and the file of the certificate to trust."""
    import trustme

    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    path = folder / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return context, path
