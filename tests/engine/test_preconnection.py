"""Connections that stand before the first request: what a server has seen of them by then, and what they cost after."""

import array
import contextlib
import fcntl
import os
import socket
import ssl
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import pytest
import trustme

from engine.http_harness import (
    CLIENTS as ENGINES,
)
from engine.http_harness import (
    OK,
    WAIT_S,
    Client,
    Connection,
    RawServer,
    answering,
    authority,
    bodies_thrown_away,
    both_engines,
    finish,
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
from engine.test_http_versions import CLIENTS, PLAIN_2, SERVER_3, TLS_1, TLS_2, nginx
from engine.test_http_ways import Proxy, Socks5
from perfcore.engine.poller import Poller, is_readable
from perfcore.engine.transport import Exchange, Request
from perfcore.metrics.samples import CONNECTED

TCP_CLOSE_WAIT = 8  # linux/tcp_states.h

pytestmark = both_engines

STATUS = " location /status { stub_status; } "


def connect(client: Client, sent: Request, users: Iterable[int], case: int = 0) -> None:
    client.preconnect(case, ((number, sent) for number in users), WAIT_S)


def descriptors(client: Client) -> list[int]:
    """Of the connections that users have."""
    users = client._user_of
    return (
        list(users) if isinstance(users, dict) else [fd for fd, user in enumerate(users) if user is not None]
    )


def handshakes(server: RawServer) -> int:
    return sum(isinstance(connection.socket, ssl.SSLSocket) for connection in server.connections)


def assert_first_requests_find_their_connections(
    client: Client, sent: Request, users: Iterable[int], version: str = "1.1"
) -> None:
    """Two requests of each user: the first is told of a connection that cost it nothing, the second of none."""
    count = 0
    for number in users:
        exchange = user(number)
        send(client, exchange, sent)
        assert outcome(exchange) == ("", 200)
        assert (exchange.connections, exchange.flags, exchange.attempts) == (1, 0, 1)
        assert (exchange.dns_us, exchange.connect_us, exchange.tls_us) == (0, 0, 0)
        assert exchange.ttfb_us > 0
        send(client, exchange, sent)
        assert (outcome(exchange), exchange.connections, exchange.attempts) == (("", 200), 0, 1)
        count += 1
    sums = [
        sum(counts[name] for counts in client.addresses()[0].values()) for name in ("connections", "requests")
    ]
    assert sums == [count, 2 * count]
    assert client.http_versions() == {0: {version: count}}


# -- the ways to a server ------------------------------------------------------------------------------------------


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
    pytest.importorskip("aioquic")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = ca.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "server.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "server.key"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", SERVER_3, str(port), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, open_client() as client:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            url = f"https://127.0.0.1:{port}/"
            sent = request(url, preconnect=True, http_version="3", tls_ca=tmp_path / "ca.pem")
            connect(client, sent, [1, 2])
            client.poll(0.05)  # what the server says unasked
            assert_first_requests_find_their_connections(client, sent, [1, 2], "3")
            assert [server.stdout.readline() for _ in range(4)] == ["request\n"] * 4
        finally:
            server.kill()


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


@transfers_only("shards of users are theirs")
def test_users_who_could_not_connect_leave_room_for_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with open_client() as client:
        connect(client, request(f"http://127.0.0.1:{port}/", preconnect=True), range(1, 401))
        assert [shard.users for shard in client._shards] == [0] * len(client._shards)
        count = len(client._shards)
        assert count == 4  # 128 at a time, 40 to a shard


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


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_connections_that_cannot_be_made_are_left_to_the_requests(tmp_path: Path) -> None:
    tls, _ = authority(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with serving(Site(), tls) as server, open_client() as client:
        wanted = {
            f"http://127.0.0.1:{port}/": "refused",
            "http://nowhere.invalid/": "dns",
            f"{server.url}/": "tls",  # of an authority that nobody knows
        }
        for case, (url, kind) in enumerate(wanted.items()):
            sent = request(url, preconnect=True)
            connect(client, sent, [1], case)
            exchange = send(client, Exchange(1, case, None), sent)
            assert (outcome(exchange), exchange.attempts) == ((kind, 0), 0)
        assert client.http_versions() == {}


def test_a_server_that_does_not_shake_hands_holds_the_start_up_for_the_given_time_only() -> None:
    with serving(Connection.wait_for_end) as server, open_client() as client:
        sent = request(server.url.replace("http:", "https:"), preconnect=True)
        client.preconnect(0, ((number, sent) for number in range(1, 400)), 0.3)
        until(lambda: len(server.connections) == 128)  # at a time
        assert (client.in_flight, descriptors(client)) == (0, [])
        exchange = user()
        client.start(exchange, sent)
        until(lambda: len(server.connections) == 129)
        client.cut(exchange)


def test_no_time_means_no_connection() -> None:
    with site() as (_, server, client):
        sent = request(server.url, preconnect=True)
        client.preconnect(0, [(1, sent)], 0.0)
        assert send(client, user(), sent).flags == CONNECTED
        assert len(server.connections) == 1


def has_been_closed(fd: int) -> bool:
    """Whether the server's end of this connection has come."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == TCP_CLOSE_WAIT


@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("is_noticed", [False, True])
def test_a_connection_that_the_server_closed_meanwhile_is_not_used(
    tmp_path: Path, is_encrypted: bool, is_noticed: bool
) -> None:
    tls, ca = authority(tmp_path)

    is_over = threading.Event()

    def serve(connection: Connection) -> None:
        if connection.number > 1:
            answering(OK)(connection)
        else:
            assert is_over.wait(WAIT_S)

    with serving(serve, tls if is_encrypted else None) as server, open_client() as client:
        sent = request(server.url, preconnect=True, tls_ca=ca, cookies=True)
        connect(client, sent, [1])
        (fd,) = descriptors(client)
        for _ in range(3):
            client.poll(0)
        is_over.set()
        # That it can be read does not say so: TLS may have sent tickets.
        until(lambda: has_been_closed(fd))
        if is_noticed:
            client.poll(0)  # it is closed here, before anybody wants it
            assert descriptors(client) == []
        exchange = send(client, user(), sent)
        # Two connections were opened; the request went out once, on the second.
        assert (outcome(exchange), exchange.flags) == (("", 200), CONNECTED)
        assert (exchange.attempts, exchange.connections) == (1, 2)
        assert client.addresses() == {0: {"127.0.0.1": {"connections": 2, "requests": 1}}}
        assert len(server.connections) == 2
        assert (send(client, exchange, sent).connections, exchange.flags) == (0, 0)


def test_a_server_that_speaks_first_is_not_taken_for_one_that_answers() -> None:
    def serve(connection: Connection) -> None:
        if connection.number == 1:
            connection.send(answer(408, b""))
        answering(OK)(connection)

    with serving(serve) as server, open_client() as client:
        sent = request(server.url, preconnect=True)
        connect(client, sent, [1])
        (fd,) = descriptors(client)
        until(lambda: is_readable(fd))
        exchange = send(client, user(), sent)
        assert (outcome(exchange), exchange.flags) == (("", 200), CONNECTED)


def test_an_address_that_is_none_of_this_machines_is_not_replaced_by_another() -> None:
    with site() as (served, server, client):
        sent = request(server.url, preconnect=True, local_addresses=("192.0.2.1",))
        connect(client, sent, [1])
        assert outcome(send(client, user(), sent)) == ("unreachable", 0)
        assert (served.seen, server.connections) == ([], [])


@transfers_only("the wire path connects without a request")
def test_a_libcurl_that_does_not_refuse_the_request_only_makes_the_first_one_connect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perfcore.engine.curl_handle.set_refused_head", lambda *_: None)
    with site() as (served, server, client):
        sent = request(server.url, preconnect=True)
        connect(client, sent, range(1, 300))
        assert len(served.seen) <= 128  # it is not asked for more
        exchange = send(client, user(), sent)
        assert (outcome(exchange), exchange.flags, exchange.connections) == (("", 200), CONNECTED, 1)


def test_nothing_is_left_open_whether_connections_were_taken_or_not(tmp_path: Path, engine: str) -> None:
    tls, ca = authority(tmp_path)
    served = Site()
    with serving(served, tls) as server, bodies_thrown_away():
        with open_client():
            pass  # what libraries open once
        before = len(os.listdir("/proc/self/fd"))
        client = ENGINES[engine](Poller())
        sent = request(server.url, preconnect=True, tls_ca=ca)
        connect(client, sent, range(1, 101))
        for number in range(1, 51):
            send(client, user(number), sent)
        client.close()
        for connection in list(server.connections):
            until(lambda connection=connection: connection.socket.fileno() == -1)  # type: ignore[misc]
        assert len(os.listdir("/proc/self/fd")) == before
        assert len(served.seen) == 50
