"""How a server is reached: proxies, addresses in place of names, Unix sockets."""

import base64
import socket
import threading
from pathlib import Path

import pytest

from engine.http_harness import (
    OK,
    WAIT_S,
    Connection,
    authority,
    both_engines,
    open_client,
    request,
    send,
    serving,
    transfers_only,
    user,
)
from engine.http_site import Site, answer, outcome, site

pytestmark = both_engines


class Proxy:
    """Forwards requests in absolute form, and tunnels for CONNECT; asks for `authorization` if it has one."""

    def __init__(self, authorization: str | None = None, refuses: int | None = None) -> None:
        self._authorization = authorization
        self._refuses = refuses
        self.heads: list[bytes] = []

    def __call__(self, connection: Connection) -> None:
        while (got := connection.read_request()) is not None:
            self.heads.append(got)
            if self._refuses:
                connection.send(answer(self._refuses, b"no"))
                return
            if self._authorization and f"Proxy-Authorization: {self._authorization}".encode() not in got:
                connection.send(answer(407, b"", Proxy_Authenticate="Basic realm=x"))
                continue
            method, target = got.decode("latin-1").split(" ")[:2]
            if method == "CONNECT":
                self._tunnel(connection, target)
                return
            host, _, port = target.removeprefix("http://").partition("/")[0].partition(":")
            with socket.create_connection((host, int(port)), WAIT_S) as server:
                server.sendall(got)
                connection.send(server.recv(65536))

    def _tunnel(self, connection: Connection, target: str) -> None:
        host, _, port = target.partition(":")
        with socket.create_connection((host, int(port)), WAIT_S) as server:
            connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pipe, args=(server, connection.socket), daemon=True)
            back.start()
            _pipe(connection.socket, server)
            back.join(WAIT_S)


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    try:
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@transfers_only("requests in absolute form are libcurl's")
def test_plain_requests_go_through_a_proxy_in_absolute_form() -> None:
    proxy = Proxy()
    with serving(proxy) as at, site() as (served, server, client):
        exchange, sent = user(), request(f"{server.url}/x", proxy=at.url)
        for turn in range(2):
            assert outcome(send(client, exchange, sent)) == ("", 200)
            assert (exchange.attempts, exchange.connections) == (1, int(turn == 0))
        assert [head.split(b"\r\n")[0] for head in proxy.heads] == [
            f"GET {server.url}/x HTTP/1.1".encode()
        ] * 2
        assert len(served.seen) == 2


def test_a_proxy_is_told_its_user_and_password_and_the_server_is_not(tmp_path: Path) -> None:
    tls, ca = authority(tmp_path)
    secret = base64.b64encode(b"me:pa ss").decode()
    proxy, served = Proxy(f"Basic {secret}"), Site()
    with serving(proxy) as at, serving(served, tls) as server, open_client() as client:
        sent = request(
            f"{server.url}/x", proxy=f"http://me:pa%20ss@127.0.0.1:{at.port}", tls_ca=ca, keep_headers=True
        )
        exchange = user()
        for turn in range(2):
            assert outcome(send(client, exchange, sent)) == ("", 200)
            assert exchange.attempts == 1
            assert exchange.tls_us > 0 or turn == 1
        assert len(served.seen) == 2
        assert not any(secret.encode() in got for got in served.seen)
        assert proxy.heads[0].startswith(b"CONNECT 127.0.0.1:")
        assert len(proxy.heads) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "unreachable"), (407, "unreachable"), (502, "unreachable")]
)
def test_a_proxy_that_refuses_the_tunnel_leaves_the_server_unreachable(
    tmp_path: Path, status: int, kind: str
) -> None:
    tls, ca = authority(tmp_path)
    with serving(Proxy(refuses=status)) as at, serving(Site(), tls) as server, open_client() as client:
        exchange = send(client, user(), request(f"{server.url}/x", proxy=at.url, tls_ca=ca))
        assert outcome(exchange) == (kind, 0)
        assert exchange.attempts == 0
        assert str(status) in exchange.error_text


class Socks5:
    """RFC 1928 without authentication: connects where it is told to, or refuses; remembers what it was told."""

    def __init__(self, reply: int = 0) -> None:
        self._reply = reply
        self.asked: list[tuple[str, str]] = []  # kind of address, address

    def __call__(self, connection: Connection) -> None:
        sock = connection.socket
        methods = sock.recv(2)[1]
        sock.recv(methods)
        sock.sendall(b"\x05\x00")
        kind = sock.recv(4)[3]
        name = sock.recv(sock.recv(1)[0]).decode() if kind == 3 else sock.recv(4 if kind == 1 else 16).hex()
        port = int.from_bytes(sock.recv(2), "big")
        self.asked.append(("name", name) if kind == 3 else ("address", ""))
        sock.sendall(bytes([5, self._reply, 0, 1, 0, 0, 0, 0, 0, 0]))
        if self._reply:
            return
        with socket.create_connection(("127.0.0.1", port), WAIT_S) as server:
            back = threading.Thread(target=_pipe, args=(server, sock), daemon=True)
            back.start()
            _pipe(sock, server)
            back.join(WAIT_S)


@pytest.mark.parametrize(
    ("scheme", "asked"), [("socks5", ("address", "")), ("socks5h", ("name", "localhost"))]
)
def test_a_socks_proxy_is_told_the_address_or_the_name(scheme: str, asked: tuple[str, str]) -> None:
    proxy = Socks5()
    with serving(proxy) as at, site() as (served, server, client):
        exchange = user()
        sent = request(f"http://localhost:{server.port}/", proxy=f"{scheme}://127.0.0.1:{at.port}")
        for _ in range(2):
            assert outcome(send(client, exchange, sent)) == ("", 200)
            assert exchange.attempts == 1
        assert proxy.asked == [asked]
        assert len(served.seen) == 2


def test_a_socks_proxy_that_refuses_leaves_the_server_unreachable() -> None:
    with serving(Socks5(reply=5)) as at, site() as (served, server, client):
        exchange = send(client, user(), request(server.url, proxy=f"socks5://127.0.0.1:{at.port}"))
        assert (outcome(exchange), exchange.attempts, served.seen) == (("unreachable", 0), 0, [])


def test_a_proxy_that_is_not_there_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with site() as (served, server, client):
        exchange = send(client, user(), request(server.url, proxy=f"http://127.0.0.1:{port}"))
        assert (outcome(exchange), exchange.attempts, served.seen) == (("refused", 0), 0, [])


@transfers_only("requests in absolute form are libcurl's")
def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    proxy = Proxy()
    with serving(proxy) as at, site() as (_, server, client):
        assert outcome(send(client, user(), request(server.url))) == ("", 200)
        assert outcome(send(client, user(), request(server.url, proxy=at.url))) == ("", 200)
        assert len(proxy.heads) == 1


def test_resolve_names_the_address_and_the_host_stays() -> None:
    with site() as (served, server, client):
        sent = request(f"http://api.invalid:{server.port}/", resolve={"api.invalid": "127.0.0.1"})
        exchange = send(client, user(), sent)
        assert outcome(exchange) == ("", 200)
        assert served.headers("Host") == [[f"api.invalid:{server.port}"]]
        assert client.addresses() == {0: {"127.0.0.1": {"connections": 1, "requests": 1}}}


@pytest.mark.parametrize("select", ["round_robin", "random"])
def test_users_are_spread_over_the_addresses_of_a_name(select: str, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4")
    monkeypatch.setattr(
        "perfcore.engine.address_choice.socket.getaddrinfo",
        lambda *_a, **_k: [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in addresses
        ],
    )
    served = Site()
    with serving(served, address="0.0.0.0") as server, open_client() as client:
        sent = request(f"http://many.invalid:{server.port}/", dns_select=select)
        for number in range(1, 13):
            exchange = user(number)
            for _ in range(2):  # the second on the first's connection
                assert outcome(send(client, exchange, sent)) == ("", 200)
        counted = client.addresses()[0]
        assert sum(counts["connections"] for counts in counted.values()) == 12
        if select == "round_robin":
            assert counted == {address: {"connections": 3, "requests": 6} for address in addresses}
        else:
            assert len(counted) > 1


@pytest.mark.parametrize("select", ["round_robin", "random"])
def test_a_host_that_is_an_address_needs_no_choice(select: str) -> None:
    with site() as (_, server, client):
        exchange = send(client, user(), request(server.url, dns_select=select))
        assert outcome(exchange) == ("", 200)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener, open_client() as client:
        port = listener.getsockname()[1]
        listener.close()
        exchange = send(client, user(), request(f"http://[::1]:{port}/", dns_select=select))
        assert outcome(exchange) == ("refused", 0)


def test_users_connect_from_the_local_addresses_in_turn() -> None:
    with site() as (_, server, client):
        sent = request(server.url, local_addresses=("127.0.0.2", "127.0.0.3"))
        for number in range(1, 5):
            assert outcome(send(client, user(number), sent)) == ("", 200)
        froms = [connection.socket.getpeername()[0] for connection in server.connections]
        assert froms == ["127.0.0.2", "127.0.0.3"] * 2


def test_a_unix_socket_is_spoken_to_and_named_in_the_addresses(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        seen = []

        def serve() -> None:
            accepted, _ = listener.accept()
            connection = Connection(accepted, 1)
            while (got := connection.read_request()) is not None:
                seen.append(got)
                connection.send(OK)
            accepted.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with open_client() as client:
            exchange, sent = user(), request("http://app.example/x", unix_socket=str(path))
            for _ in range(2):
                assert outcome(send(client, exchange, sent)) == ("", 200)
            assert client.addresses() == {0: {f"unix:{path}": {"connections": 1, "requests": 2}}}
        thread.join(WAIT_S)
        assert b"Host: app.example\r\n" in seen[0]


def test_a_unix_socket_that_nobody_listens_on_is_refused(tmp_path: Path) -> None:
    with open_client() as client:
        exchange = send(client, user(), request("http://app/", unix_socket=str(tmp_path / "none")))
        assert outcome(exchange)[0] in ("refused", "unreachable")
