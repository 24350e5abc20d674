"""HTTP/2 and HTTP/3 against servers of somebody else's, and client certificates against nginx."""

import socket
import time
from pathlib import Path

import pytest
import trustme
from waiting import WAIT_S

from engine.foreign_servers import CLIENTS, PLAIN_2, TLS_1, TLS_2, nginx, running_http_3
from engine.http_harness import (
    both_engines,
    finish,
    open_client,
    request,
    send,
    send_all,
    transfers_only,
    user,
)
from engine.http_site import outcome
from perfcore.metrics.samples import CONNECTED

pytestmark = both_engines


@transfers_only("the wire path speaks HTTP/1.1")
@pytest.mark.debian("nginx")
@pytest.mark.parametrize("version", ["auto", "2"])
def test_http_2_over_tls_is_counted_as_nginx_counts_it(tmp_path: Path, version: str) -> None:
    with nginx(tmp_path, TLS_2) as server, open_client() as client:
        sent = request(
            f"https://127.0.0.1:{server.port}/run",
            http_version=version,
            tls_ca=server.ca_file,
            keep_body=True,
        )
        users = [user(number) for number in range(1, 9)]
        attempts = connections = 0
        for _ in range(120):  # nginx ends a connection after 50 requests
            for done in send_all(client, users, sent):
                assert outcome(done) == ("", 200)
                attempts += done.attempts
                connections += done.connections
        log = server.wait_for_log(attempts)
        assert {line[2] for line in log} == {"HTTP/2.0"}
        assert len(log) == attempts == 960
        assert connections == 8 * 3


@transfers_only("the wire path speaks HTTP/1.1")
@pytest.mark.debian("nginx")
def test_a_connection_of_http_2_is_kept_though_the_server_speaks_while_it_is_idle(tmp_path: Path) -> None:
    with nginx(tmp_path, TLS_2) as server, open_client() as client:
        sent = request(f"https://127.0.0.1:{server.port}/", http_version="2", tls_ca=server.ca_file)
        exchange = user()
        flags = []
        for _ in range(5):
            send(client, exchange, sent)
            flags.append(exchange.flags)
            client.poll(0.02)  # what nginx says of settings and windows comes in here
        assert flags == [CONNECTED, 0, 0, 0, 0]


@transfers_only("the wire path speaks HTTP/1.1")
@pytest.mark.debian("nginx")
@pytest.mark.parametrize("kind", [TLS_2, PLAIN_2], ids=["tls", "plain"])
def test_how_long_an_answer_of_http_2_lay_in_the_kernel_is_known(tmp_path: Path, kind: str) -> None:
    scheme, version = ("https", "2") if kind == TLS_2 else ("http", "2-prior-knowledge")
    with nginx(tmp_path, kind) as server, open_client() as client:
        sent = request(f"{scheme}://127.0.0.1:{server.port}/run", http_version=version, tls_ca=server.ca_file)
        exchange = user()
        send(client, exchange, sent)
        client.start(exchange, sent)
        while client.poll(0.0):  # it is sent; should the answer have come within that poll, once more
            client.start(exchange, sent)
        time.sleep(0.05)
        assert finish(client, 1) == [exchange]
        delay_us, weight = exchange.delay & 0xFFFF_FFFF, exchange.delay >> 32
        assert weight == 1
        assert 50_000 <= delay_us <= (exchange.done_ns - exchange.issued_ns) / 1000


@transfers_only("the wire path speaks HTTP/1.1")
@pytest.mark.debian("nginx")
def test_http_2_without_tls_needs_prior_knowledge(tmp_path: Path) -> None:
    with nginx(tmp_path, PLAIN_2) as server, open_client() as client:
        sent = request(f"http://127.0.0.1:{server.port}/run", http_version="2-prior-knowledge")
        exchange = user()
        for _ in range(3):
            assert outcome(send(client, exchange, sent)) == ("", 200)
            assert exchange.attempts == 1
        assert {line[2] for line in server.wait_for_log(3)} == {"HTTP/2.0"}


@pytest.mark.debian("nginx")
@pytest.mark.parametrize("version", ["auto", "1.1", "2"])
def test_a_server_that_knows_http_1_1_only_is_spoken_to_in_it(tmp_path: Path, version: str) -> None:
    with nginx(tmp_path, TLS_1) as server, open_client() as client:
        sent = request(f"https://127.0.0.1:{server.port}/run", http_version=version, tls_ca=server.ca_file)
        assert outcome(send(client, user(), sent)) == ("", 200)
        assert server.wait_for_log(1)[0][2] == "HTTP/1.1"


@pytest.mark.debian("nginx")
def test_http_1_1_is_kept_to_where_the_server_offers_more(tmp_path: Path) -> None:
    with nginx(tmp_path, TLS_2) as server, open_client() as client:
        sent = request(f"https://127.0.0.1:{server.port}/run", http_version="1.1", tls_ca=server.ca_file)
        assert outcome(send(client, user(), sent)) == ("", 200)
        assert server.wait_for_log(1)[0][2] == "HTTP/1.1"


@pytest.mark.debian("nginx")
def test_a_client_certificate_is_shown_to_a_server_that_asks_for_one(tmp_path: Path) -> None:
    with nginx(tmp_path, CLIENTS) as server, open_client() as client:
        url = f"https://127.0.0.1:{server.port}/run"
        folder = server.folder
        shown = request(
            url, tls_ca=server.ca_file, tls_cert=folder / "client.pem", tls_key=folder / "client.key"
        )
        exchange = user()
        for _ in range(2):
            assert outcome(send(client, exchange, shown)) == ("", 200)
        assert outcome(send(client, user(2), request(url, tls_ca=server.ca_file))) == ("", 400)
        log = server.wait_for_log(3)
        assert [line[3] for line in log] == ["200", "200", "400"]
        assert "CN=perfcore" in log[0][4]
        assert log[2][4] == "-"


@pytest.mark.debian("nginx")
def test_a_certificate_with_the_key_of_another_is_a_tls_failure(tmp_path: Path) -> None:
    with nginx(tmp_path, CLIENTS) as server, open_client() as client:
        other = trustme.CA().issue_cert("x@example.com")
        other.private_key_pem.write_to_path(str(tmp_path / "other.key"))
        sent = request(
            f"https://127.0.0.1:{server.port}/",
            tls_ca=server.ca_file,
            tls_cert=server.folder / "client.pem",
            tls_key=tmp_path / "other.key",
        )
        exchange = send(client, user(), sent)
        assert outcome(exchange) == ("tls", 0)
        assert exchange.attempts == 0


@transfers_only("the wire path speaks HTTP/1.1")
def test_http_3_is_spoken_where_it_is_asked_for(tmp_path: Path) -> None:
    with running_http_3(tmp_path) as server, open_client() as client:
        url = f"https://127.0.0.1:{server.port}/"
        sent = request(url, http_version="3", tls_ca=server.ca_file, keep_body=True)
        attempts = connections = 0
        users = [user(1), user(2)]
        for _ in range(5):
            for one in users:
                send(client, one, sent)
                assert (outcome(one), one.body) == (("", 200), b"hello")
                attempts += one.attempts
                connections += one.connections
            client.poll(0.02)
        assert (attempts, connections) == (10, 2)
        assert client.http_versions() == {0: {"3": 2}}
        server.wait_for_requests(10)


@transfers_only("the wire path speaks HTTP/1.1")
def test_a_server_that_has_no_http_3_is_unreachable_by_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, open_client() as client:
        start = time.monotonic()
        sent = request(
            f"https://127.0.0.1:{listener.getsockname()[1]}/", http_version="3", connect_timeout_s=1.0
        )
        exchange = send(client, user(), sent)
        assert outcome(exchange)[0] in ("unreachable", "refused", "connect_timeout")
        assert exchange.attempts == 0
        assert time.monotonic() - start < WAIT_S
