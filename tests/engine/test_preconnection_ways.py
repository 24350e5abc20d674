"""The ways to a server on which connections stand before the first request: versions, TLS, proxies, sockets."""

import array
import contextlib
import fcntl
import socket
import ssl
import termios
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from waiting import WAIT_S

from engine.foreign_servers import CLIENTS, PLAIN_2, TLS_1, TLS_2, nginx, running_http_3
from engine.http_harness import (
    OK,
    Connection,
    authority,
    both_engines,
    finish,
    open_client,
    request,
    send,
    serving,
    transfers_only,
    until,
    user,
)
from engine.http_site import Site, outcome, site
from engine.preconnected import assert_first_requests_find_their_connections, connect, descriptors, handshakes
from engine.test_http_ways import Proxy, Socks5
from perfcore.engine.poller import is_readable
from perfcore.metrics.samples import CONNECTED

pytestmark = both_engines

STATUS = " location /status { stub_status; } "


@pytest.mark.parametrize("version", ["auto", "1.1", "2"])
def test_connections_stand_before_the_first_request(version: str) -> None:
    with site() as (served, server, client):
        sent = request(server.url, preconnect=True, http_version=version)
        connect(client, sent, range(1, 4))
        until(lambda: len(server.connections) == 3)
        assert (served.seen, client.in_flight) == ([], 0)
        assert_first_requests_find_their_connections(client, sent, range(1, 4))
        assert len(server.connections) == 3
        other = send(client, user(4), sent)
        assert (other.connections, other.flags) == (1, CONNECTED)


@pytest.mark.parametrize("version", ["auto", "1.1", "2"])
def test_tls_handshakes_are_done_before_the_first_request(tmp_path: Path, version: str) -> None:
    tls, ca = authority(tmp_path)
    served = Site()
    with serving(served, tls) as server, open_client() as client:
        sent = request(server.url, preconnect=True, tls_ca=ca, http_version=version)
        connect(client, sent, range(1, 4))
        until(lambda: handshakes(server) == 3)
        assert served.seen == []
        assert_first_requests_find_their_connections(client, sent, range(1, 4))
        assert len(server.connections) == 3


@transfers_only("the wire path reads it, and has no need to hide it")
def test_what_a_tls_server_says_after_the_handshake_does_not_cost_the_connection(tmp_path: Path) -> None:
    """libcurl drops a kept connection that can be read, after a second of its idleness."""
    tls, ca = authority(tmp_path)
    assert tls.num_tickets == 2
    with serving(Site(), tls) as server, open_client() as client:
        sent = request(server.url, preconnect=True, tls_ca=ca)
        connect(client, sent, [1])
        (fd,) = descriptors(client)
        until(lambda: unread_bytes(fd) > 100)
        assert not is_readable(fd)
        end = time.monotonic() + 1.2
        while (left_s := end - time.monotonic()) > 0:
            assert client.poll(left_s) == []
        assert_first_requests_find_their_connections(client, sent, [1])
        assert len(server.connections) == 1


def unread_bytes(fd: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, count)
    return count[0]


@pytest.mark.debian("nginx")
def test_a_client_certificate_is_shown_beforehand(tmp_path: Path) -> None:
    with nginx(tmp_path, CLIENTS) as server, open_client() as client:
        folder = server.folder
        sent = request(
            f"https://127.0.0.1:{server.port}/run",
            preconnect=True,
            tls_ca=server.ca_file,
            tls_cert=folder / "client.pem",
            tls_key=folder / "client.key",
        )
        connect(client, sent, [1, 2])
        assert_first_requests_find_their_connections(client, sent, [1, 2])
        log = server.wait_for_log(4)
        assert [line[3] for line in log] == ["200"] * 4
        assert all("CN=perfcore" in line[4] for line in log)


@pytest.mark.debian("nginx")
@pytest.mark.parametrize(("block", "version"), [(TLS_1, "auto"), (TLS_2, "1.1")])
def test_nginx_has_accepted_every_connection_before_the_first_request(
    tmp_path: Path, block: str, version: str
) -> None:
    assert_nginx_has_accepted_all(tmp_path, block, version, "1.1")


@transfers_only("the wire path speaks HTTP/1.1")
@pytest.mark.debian("nginx")
@pytest.mark.parametrize("version", ["auto", "2"])
def test_nginx_has_accepted_every_connection_of_http_2_before_the_first_request(
    tmp_path: Path, version: str
) -> None:
    assert_nginx_has_accepted_all(tmp_path, TLS_2, version, "2")


def assert_nginx_has_accepted_all(tmp_path: Path, block: str, version: str, spoken: str) -> None:
    block = block.replace("location /", STATUS + "location /")
    with nginx(tmp_path, block) as server, open_client() as client:
        url = f"https://127.0.0.1:{server.port}/"
        sent = request(f"{url}run", preconnect=True, tls_ca=server.ca_file, http_version=version)
        before = accepted(url, server.ca_file)
        connect(client, sent, range(1, 51))
        assert accepted(url, server.ca_file) == (before[0] + 51, before[1] + 1)
        client.poll(0.02)  # what nginx says of settings and windows comes in here
        assert_first_requests_find_their_connections(client, sent, range(1, 51), spoken)
        assert accepted(url, server.ca_file) == (before[0] + 52, before[1] + 102)
        lines = {
            "1.1": "HTTP/1.1",
            "2": "HTTP/2.0",
        }
        runs = [line for line in server.wait_for_log(103) if line[1] == "/run"]
        assert [line[2] for line in runs] == [lines[spoken]] * 100


def accepted(url: str, ca_file: Path) -> tuple[int, int]:
    """Connections and requests that nginx has counted, those of this question included."""
    context = ssl.create_default_context(cafile=str(ca_file))
    with urllib.request.urlopen(f"{url}status", context=context, timeout=WAIT_S) as told:
        accepts, _, requests = told.read().decode().split("\n")[2].split()
    return int(accepts), int(requests)


@transfers_only("the wire path speaks HTTP/1.1")
@pytest.mark.debian("nginx")
def test_http_2_with_prior_knowledge_is_begun_beforehand(tmp_path: Path) -> None:
    with nginx(tmp_path, PLAIN_2) as server, open_client() as client:
        url = f"http://127.0.0.1:{server.port}/run"
        sent = request(url, preconnect=True, http_version="2-prior-knowledge")
        connect(client, sent, [1, 2])
        client.poll(0.02)
        assert_first_requests_find_their_connections(client, sent, [1, 2], "2")
        assert len(server.wait_for_log(4)) == 4


@transfers_only("the wire path speaks HTTP/1.1")
def test_http_3_is_begun_beforehand(tmp_path: Path) -> None:
    with running_http_3(tmp_path) as server, open_client() as client:
        url = f"https://127.0.0.1:{server.port}/"
        sent = request(url, preconnect=True, http_version="3", tls_ca=server.ca_file)
        connect(client, sent, [1, 2])
        client.poll(0.05)  # what the server says unasked
        assert_first_requests_find_their_connections(client, sent, [1, 2], "3")
        server.wait_for_requests(4)


@pytest.mark.parametrize("authorization", [None, "Basic bWU6cGE="])
def test_a_tunnel_stands_beforehand_and_the_handshake_through_it_is_done(
    tmp_path: Path, authorization: str | None
) -> None:
    tls, ca = authority(tmp_path)
    proxy, served = Proxy(authorization), Site()
    with serving(proxy) as at, serving(served, tls) as server, open_client() as client:
        place = at.url.replace("//", "//me:pa@") if authorization else at.url
        sent = request(server.url, preconnect=True, tls_ca=ca, proxy=place)
        connect(client, sent, [1, 2])
        until(lambda: handshakes(server) == 2)
        assert served.seen == []
        assert_first_requests_find_their_connections(client, sent, [1, 2])
        assert [head.split(b" ")[0] for head in proxy.heads] == [b"CONNECT", b"CONNECT"]


@transfers_only("requests in absolute form are libcurl's")
def test_connections_to_a_proxy_stand_beforehand() -> None:
    proxy = Proxy()
    with serving(proxy) as at, site() as (served, server, client):
        sent = request(server.url, preconnect=True, proxy=at.url)
        connect(client, sent, [1, 2])
        until(lambda: len(at.connections) == 2)
        assert (proxy.heads, served.seen) == ([], [])
        assert_first_requests_find_their_connections(client, sent, [1, 2])
        assert len(at.connections) == 2


def test_connections_through_a_socks_proxy_stand_beforehand() -> None:
    proxy = Socks5()
    with serving(proxy) as at, site() as (_, server, client):
        url = f"http://localhost:{server.port}/"
        sent = request(url, preconnect=True, proxy=f"socks5h://127.0.0.1:{at.port}")
        connect(client, sent, [1])
        until(lambda: len(server.connections) == 1)
        assert proxy.asked == [("name", "localhost")]
        assert_first_requests_find_their_connections(client, sent, [1])
        assert proxy.asked == [("name", "localhost")]


def test_connections_through_a_unix_socket_stand_beforehand(tmp_path: Path) -> None:
    path = tmp_path / "server.sock"
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen()
        client = opened.enter_context(open_client())
        sent = request("http://app.example/x", preconnect=True, unix_socket=str(path))
        connect(client, sent, [1])
        listener.settimeout(WAIT_S)
        accepted, _ = listener.accept()
        connection = Connection(accepted, 1)
        opened.callback(accepted.close)
        exchange = user()
        for turn in range(2):
            client.start(exchange, sent)
            assert connection.read_request() is not None
            connection.send(OK)
            assert finish(client, 1) == [exchange]
            assert outcome(exchange) == ("", 200)
            assert (exchange.connections, exchange.flags, exchange.connect_us) == (int(turn == 0), 0, 0)
        assert client.addresses() == {0: {f"unix:{path}": {"connections": 1, "requests": 2}}}


def test_tls_through_a_unix_socket_succeeds_whether_or_not_its_connection_was_kept(
    tmp_path: Path, engine: str
) -> None:
    """Such a socket cannot be told to hide what the server says after the handshake; the wire path reads it."""
    needed = 1 if engine == "wire" else 2
    path = tmp_path / "server.sock"
    tls, ca = authority(tmp_path)
    served = Site()
    with contextlib.ExitStack() as opened:
        listener = opened.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(WAIT_S)

        def serve() -> None:
            for number in range(1, needed + 1):
                accepted, _ = listener.accept()
                with contextlib.suppress(OSError), tls.wrap_socket(accepted, server_side=True) as encrypted:
                    served(Connection(encrypted, number))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client = opened.enter_context(open_client())
        sent = request("https://localhost/x", preconnect=True, unix_socket=str(path), tls_ca=ca)
        connect(client, sent, [1])
        (fd,) = descriptors(client)
        until(lambda: is_readable(fd))
        client.poll(0)
        exchange = send(client, user(), sent)
        assert (outcome(exchange), exchange.attempts, exchange.connections) == (("", 200), 1, needed)
        assert len(served.seen) == 1
    thread.join(WAIT_S)
