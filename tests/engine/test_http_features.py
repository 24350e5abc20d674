"""Cookies, redirects, authentication, uploads, compression: what goes over the wire, and what
is told of it. The servers are raw sockets, so what they saw is known byte for byte."""

import base64
import gzip
import hashlib
import hmac
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.http_harness import (
    OK,
    Connection,
    both_engines,
    open_client,
    request,
    send,
    send_all,
    serving,
    settings,
    transfers_only,
    user,
)
from engine.http_site import Site, answer, outcome, site
from perfcore.engine.transport import Request
from perfcore.engine.upload import HELD_BYTES, HeldPiece, Upload, open_piece
from perfcore.metrics.samples import CONNECTED, RESENT

pytestmark = both_engines

# -- redirects -------------------------------------------------------------------------------------------------


@transfers_only("redirects are followed by libcurl transfers")
def test_a_redirect_is_followed_as_attempts_of_one_request() -> None:
    with site(a=answer(302, b"moved", Location="/b"), b=answer(302, b"again", Location="/c")) as (
        served,
        server,
        client,
    ):
        exchange = user()
        for turn in range(2):
            send(client, exchange, request(f"{server.url}/a", follow_redirects=True))
            assert outcome(exchange) == ("", 200)
            assert exchange.attempts == 3
            assert (exchange.connections, exchange.flags) == ((1, CONNECTED) if turn == 0 else (0, 0))
            assert exchange.received_bytes == sum(
                map(len, (*(served.routes[path] for path in ("/a", "/b")), OK))  # type: ignore[arg-type]
            )
            assert exchange.sent_bytes == sum(map(len, served.seen[-3:]))
            assert exchange.earlier_us > 0
        assert len(served.seen) == 6
        assert client.addresses() == {0: {"127.0.0.1": {"connections": 1, "requests": 6}}}


def test_without_follow_redirects_a_redirect_is_an_answer() -> None:
    with site(a=answer(302, Location="/b")) as (_, server, client):
        exchange = send(client, user(), request(f"{server.url}/a"))
        assert (outcome(exchange), exchange.attempts) == (("", 302), 1)
        assert client.location(exchange) == f"{server.url}/b"


@transfers_only("redirects are followed by libcurl transfers")
def test_a_loop_ends_at_max_redirects() -> None:
    with site(a=answer(302, Location="/a")) as (served, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", follow_redirects=True, max_redirects=3))
        assert outcome(exchange) == ("too_many_redirects", 0)
        assert (exchange.attempts, len(served.seen)) == (4, 4)
        assert "3 redirects" in exchange.error_text
        assert f"{server.url}/a" in exchange.error_text


@transfers_only("redirects are followed by libcurl transfers")
@pytest.mark.parametrize("elsewhere", ["ftp://127.0.0.1/x", "file:///etc/hostname", "gopher://127.0.0.1/"])
def test_a_redirect_to_anything_but_http_is_not_followed(elsewhere: str) -> None:
    with site(a=answer(302, Location=elsewhere)) as (_, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", follow_redirects=True))
        assert (outcome(exchange), exchange.attempts) == (("", 302), 1)


@transfers_only("redirects are followed by libcurl transfers")
@pytest.mark.parametrize(
    "named",
    [
        "http://[foo/",
        "http://[::1/",
        "http://a]b/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1%00x/",
        "http://ü]/",
    ],
)
def test_a_redirect_to_what_is_no_url_is_a_bad_response(named: str) -> None:
    with site(a=answer(302, Location=named)) as (_, server, client):
        exchange, sent = user(), request(f"{server.url}/a", follow_redirects=True)
        for _ in range(2):
            assert outcome(send(client, exchange, sent)) == ("bad_response", 0)
            assert exchange.error_text


@transfers_only("redirects are followed by libcurl transfers")
def test_a_redirect_to_an_international_name_is_looked_up() -> None:
    with site(a=answer(302, Location="http://bücher.invalid/")) as (_, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", follow_redirects=True))
        assert outcome(exchange) == ("dns", 0)


@transfers_only("redirects are followed by libcurl transfers")
def test_user_and_password_of_the_url_stay_with_their_origin() -> None:
    there = Site()
    with (
        serving(there) as other,
        site(a=answer(302, Location="/b"), b=answer(302, Location=f"http://127.0.0.1:{other.port}/c")) as (
            served,
            server,
            client,
        ),
    ):
        url = server.url.replace("http://", "http://joe:pw@")
        assert outcome(send(client, user(), request(f"{url}/a", follow_redirects=True))) == ("", 200)
        basic = f"Basic {base64.b64encode(b'joe:pw').decode()}"
        assert served.headers("Authorization") == [[basic], [basic]]
        assert there.headers("Authorization") == [[]]


@transfers_only("redirects are followed by libcurl transfers")
def test_credentials_are_not_carried_to_another_host() -> None:
    there = Site()
    with serving(there) as other:
        elsewhere = answer(307, Location=f"http://localhost:{other.port}/x")
        with site(a=elsewhere) as (served, server, client):
            sent = request(
                f"{server.url}/a",
                "POST",
                headers=["Authorization: Bearer t", "X-Api-Key: k", "Cookie: own=1", "Accept-Language: de"],
                body=b"abc",
                follow_redirects=True,
                cookies=True,
            )
            exchange = user()
            for _ in range(2):
                assert outcome(send(client, exchange, sent)) == ("", 200)
            for name in ("Authorization", "X-Api-Key", "Cookie"):
                assert there.headers(name) == [[], []]
                assert all(values for values in served.headers(name))
            assert there.headers("Accept-Language") == [["de"], ["de"]]
            assert [got.partition(b"\r\n\r\n")[2] for got in there.seen] == [b"abc", b"abc"]
            assert exchange.attempts == 2


@transfers_only("redirects are followed by libcurl transfers")
def test_the_time_limit_is_that_of_all_hops_together() -> None:
    hops = 0

    def slow(_got: bytes) -> bytes:
        nonlocal hops
        hops += 1
        threading.Event().wait(0.08)
        return answer(302, Location="/a")

    with site(a=slow) as (_, server, client):
        exchange = send(
            client,
            user(),
            request(f"{server.url}/a", follow_redirects=True, max_redirects=100, timeout_s=0.3),
        )
        assert outcome(exchange) == ("timeout", 0)
        assert 1 < hops < 6


@transfers_only("redirects are followed by libcurl transfers")
def test_an_answer_that_was_followed_is_not_kept() -> None:
    with site(a=answer(302, b"moved", Location="/b"), b=answer(200, b"found")) as (_, server, client):
        sent = request(f"{server.url}/a", follow_redirects=True, keep_body=True, keep_headers=True)
        exchange = send(client, user(), sent)
        assert exchange.body == b"found"
        assert "location" not in exchange.headers


@transfers_only("redirects are followed by libcurl transfers")
def test_a_redirect_to_a_closed_port_fails_as_the_hop_did() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with site(a=answer(302, Location=f"http://127.0.0.1:{port}/")) as (served, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", follow_redirects=True))
        assert outcome(exchange) == ("refused", 0)
        assert exchange.attempts == len(served.seen) == 1


# -- cookies -----------------------------------------------------------------------------------------------------


def test_each_user_has_a_jar_of_its_own() -> None:
    numbers = iter(range(1, 9))
    with site(set=lambda _got: answer(Set_Cookie=f"sid={next(numbers)}; Path=/")) as (served, server, client):
        sent = request(f"{server.url}/set", cookies=True)
        shown = request(f"{server.url}/show", cookies=True)
        users = [user(1), user(2)]
        for one in users:
            send(client, one, sent)
        for one in users:
            send(client, one, shown)
        assert served.headers("Cookie") == [[], [], ["sid=1"], ["sid=2"]]


def test_a_cookie_of_the_suite_and_those_of_the_jar_are_one_header() -> None:
    with site(a=answer(Set_Cookie="sid=1; Path=/")) as (served, server, client):
        exchange = user()
        for _ in range(2):
            send(client, exchange, request(f"{server.url}/a", cookies=True, headers=["Cookie: own=2"]))
        assert served.headers("Cookie") == [["own=2"], ["sid=1; own=2"]]


def test_without_cookies_none_is_kept() -> None:
    with site(a=answer(Set_Cookie="sid=1; Path=/")) as (served, server, client):
        exchange = user()
        for _ in range(2):
            send(client, exchange, request(f"{server.url}/a"))
        assert served.headers("Cookie") == [[], []]


def test_a_jar_that_a_server_overfills_is_emptied_and_that_is_told(engine: str) -> None:
    numbers = iter(range(10**6))

    def flood(_got: bytes) -> bytes:
        lines = "".join(f"Set-Cookie: c{next(numbers)}=x; Path=/\r\n" for _ in range(45))
        return f"HTTP/1.1 200 X\r\n{lines}Content-Length: 0\r\n\r\n".encode()

    with site(a=flood) as (_, server, client):
        exchange, sent = user(), request(f"{server.url}/a", cookies=True)
        for _ in range(70):
            assert outcome(send(client, exchange, sent)) == ("", 200)
        # With transfers the jar is looked at with every tenth request, on the wire after each answer.
        assert client.emptied_jars() == {0: 3 if engine == "wire" else 2}


def test_growing_cookies_are_no_resends() -> None:
    sizes = iter([2000, 10, 5000, 1, 8000, 3])

    def reply(_got: bytes) -> bytes:
        return answer(Set_Cookie=f"c={'x' * next(sizes)}; Path=/", Connection="close")

    with site(a=reply) as (_, server, client):
        exchange, sent = user(), request(f"{server.url}/a", cookies=True)
        for _ in range(6):
            send(client, exchange, sent)
            assert (exchange.attempts, exchange.flags & RESENT, exchange.connections) == (1, 0, 1)


# -- authentication ------------------------------------------------------------------------------------------------


def digest_site(nonces: list[str], password: str = "p") -> Callable[[bytes], bytes]:
    """RFC 7616 with MD5: an answer of 401 unless the response fits one of the nonces given out."""

    def reply(got: bytes) -> bytes:
        method, uri = got.decode("latin-1").split(" ")[:2]
        found = re.search(rb"\r\nAuthorization: Digest (.*)\r\n", got)
        if found:
            given = dict(re.findall(r'(\w+)="?([^",]*)"?', found[1].decode()))
            md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731
            secret, what = md5(f"u:r:{password}"), md5(f"{method}:{uri}")
            right = md5(f"{secret}:{given['nonce']}:{given['nc']}:{given['cnonce']}:{given['qop']}:{what}")
            if given["nonce"] == nonces[-1] and given["response"] == right:
                return OK
        nonces.append(f"nonce{len(nonces)}")
        challenge = f'Digest realm="r", nonce="{nonces[-1]}", qop="auth"'
        return answer(401, b"who are you?", WWW_Authenticate=challenge)

    return reply


def digest(url: str, method: str = "GET", body: bytes | None = None, password: str = "p") -> Request:
    return Request(settings(method, auth_scheme="digest"), url, [], body, ("u", password))


@transfers_only("authentication in rounds and signatures are libcurl's")
@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", b"some text"), ("PUT", b"")])
def test_digest_takes_two_attempts_at_first_and_one_afterwards(method: str, body: bytes | None) -> None:
    with site(a=digest_site([])) as (served, server, client):
        exchange, sent = user(), digest(f"{server.url}/a", method, body)
        attempts = []
        for _ in range(3):
            send(client, exchange, sent)
            assert (outcome(exchange), exchange.flags & RESENT) == (("", 200), 0)
            attempts.append(exchange.attempts)
        assert attempts == [2, 1, 1]
        assert len(served.seen) == 4
        assert served.seen[-1].partition(b"\r\n\r\n")[2] == (body or b"")


@transfers_only("authentication in rounds and signatures are libcurl's")
def test_a_wrong_digest_password_is_a_401_and_no_resend() -> None:
    with site(a=digest_site([])) as (served, server, client):
        exchange, sent = user(), digest(f"{server.url}/a", password="wrong")
        send(client, exchange, sent)
        assert outcome(exchange) == ("", 401)
        assert (exchange.attempts, exchange.flags & RESENT) == (len(served.seen), 0)


@transfers_only("authentication in rounds and signatures are libcurl's")
def test_a_sample_shows_nothing_of_an_answer_before_it() -> None:
    nonces: list[str] = []
    challenge = digest_site(nonces)
    turns = 0

    def serve(connection: Connection) -> None:
        nonlocal turns
        while (got := connection.read_request()) is not None:
            reply = challenge(got)
            if reply is OK:
                turns += 1
                if turns >= 3:
                    connection.reset()
                    return
                reply = answer(200, X_Turn=str(turns))
            connection.send(reply)

    with serving(serve) as server, open_client() as client:
        exchange, sent = user(), digest(f"{server.url}/a")
        for _ in range(2):
            assert outcome(send(client, exchange, sent)) == ("", 200)
        client.keep_next(exchange)
        send(client, exchange, sent)
        assert exchange.error
        assert exchange.headers == {}


@transfers_only("authentication in rounds and signatures are libcurl's")
def test_the_body_of_a_round_is_not_kept_with_the_answer() -> None:
    with site(a=digest_site([])) as (_, server, client):
        sent = Request(
            settings(auth_scheme="digest", keep_body=True, keep_headers=True),
            f"{server.url}/a",
            [],
            None,
            ("u", "p"),
        )
        exchange = send(client, user(), sent)
        assert exchange.body == b"ok"
        assert "www-authenticate" not in exchange.headers


@transfers_only("authentication in rounds and signatures are libcurl's")
def test_aws_signatures_are_those_of_the_published_algorithm() -> None:
    with site() as (served, server, client):
        sent = Request(
            settings("POST", auth_scheme="aws_sigv4", aws_scope="eu-west-1:execute-api"),
            f"{server.url}/things?b=2&a=1",
            ["Content-Type: application/json", "X-Own: yes"],
            b'{"n": 1}',
            ("AKID", "SECRET"),
        )
        exchange = user()
        for _ in range(2):
            assert outcome(send(client, exchange, sent)) == ("", 200)
            assert exchange.attempts == 1
            assert_signed_by("SECRET", served.seen[-1])


def assert_signed_by(secret: str, got: bytes) -> None:
    """The signature is what AWS Signature Version 4 makes of the request as it arrived."""
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=AKID/(.*), SignedHeaders=(.*), Signature=(\w+)",
        headers["authorization"],
    )
    assert found
    scope, signed, signature = found.groups()
    path, _, query = target.partition("?")
    canonical = "\n".join(
        [
            method,
            path,
            "&".join(sorted(query.split("&"))),
            *(f"{name}:{headers[name]}" for name in signed.split(";")),
            "",
            signed,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    assert hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest() == signature
    assert "x-own" in signed.split(";")


@transfers_only("authentication in rounds and signatures are libcurl's")
def test_negotiate_without_a_ticket_ends_as_the_servers_401() -> None:
    with site(a=answer(401, b"", WWW_Authenticate="Negotiate")) as (served, server, client):
        sent = Request(settings(auth_scheme="negotiate"), f"{server.url}/a", [], None, ("", ""))
        exchange = send(client, user(), sent)
        assert outcome(exchange) == ("", 401)
        assert exchange.attempts == len(served.seen)


# -- bodies --------------------------------------------------------------------------------------------------------


@transfers_only("authentication in rounds and signatures are libcurl's")
def test_a_large_upload_arrives_whole_and_twice_where_it_is_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "large"
    content = bytes(range(256)) * 4096 * 17
    assert len(content) > HELD_BYTES
    path.write_bytes(content)
    whole = b"<head>" + content + b"<tail>"
    upload = Upload([HeldPiece(b"<head>"), open_piece(path), HeldPiece(b"<tail>")])
    with site(a=answer(307, Location="/b"), d=digest_site([])) as (served, server, client):
        exchange = user()
        sent = Request(settings("PUT", follow_redirects=True), f"{server.url}/a", [], upload)
        assert outcome(send(client, exchange, sent)) == ("", 200)
        assert [got.partition(b"\r\n\r\n")[2] == whole for got in served.seen] == [True, True]
        assert exchange.sent_bytes == sum(map(len, served.seen))
        sent = Request(settings("POST", auth_scheme="digest"), f"{server.url}/d", [], upload, ("u", "p"))
        exchange = user(2)
        for _ in range(2):
            assert outcome(send(client, exchange, sent)) == ("", 200)
            assert served.seen[-1].partition(b"\r\n\r\n")[2] == whole
        assert served.headers("Expect") == [[]] * len(served.seen)


def test_a_file_that_became_shorter_fails_the_request_and_not_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 1000)
    upload = Upload([open_piece(path)])
    path.write_bytes(b"x" * 10)
    with site() as (_, server, client):
        exchange = send(client, user(), Request(settings("POST"), server.url, [], upload))
        assert exchange.error
        assert outcome(send(client, exchange, request(server.url))) == ("", 200)


@transfers_only("no client is used")
@pytest.mark.parametrize("offset", [0, 1, 5, 6, 7, 14, 15])
def test_an_upload_is_read_from_anywhere(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "piece"
    path.write_bytes(b"FILEFILE")
    upload = Upload([HeldPiece(b"<head>"), HeldPiece(b""), open_piece(path), HeldPiece(b">")])
    whole = b"<head>FILEFILE>"
    assert len(upload) == len(whole)
    read = b""
    while part := upload.read_at(offset + len(read), 3):
        read += part
    assert read == whole[offset:]


@transfers_only("all codings are undone by libcurl transfers")
def test_a_compressed_answer_is_decoded_and_counted_as_it_came() -> None:
    plain = b"perfcore " * 1000
    packed = gzip.compress(plain)
    with site(a=answer(200, packed, Content_Encoding="gzip")) as (served, server, client):
        exchange, sent = user(), request(f"{server.url}/a", compressed=True, keep_body=True)
        for _ in range(2):
            assert outcome(send(client, exchange, sent)) == ("", 200)
            assert exchange.body == plain
            assert exchange.received_bytes == len(served.routes["/a"])  # type: ignore[arg-type]
        assert "gzip" in served.headers("Accept-Encoding")[0][0]
        exchange = send(client, user(), request(f"{server.url}/a", keep_body=True))
        assert exchange.body == packed
        assert served.headers("Accept-Encoding")[-1] == []


@transfers_only("what nobody looks at is not decoded on the wire")
def test_broken_compression_is_a_bad_response() -> None:
    broken = answer(200, b"this is no gzip at all", Content_Encoding="gzip")
    with site(a=broken) as (_, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", compressed=True))
        assert outcome(exchange) == ("bad_response", 0)


# -- what goes together ----------------------------------------------------------------------------------------------


def test_a_dead_connection_is_a_resend_for_counted_users_too() -> None:
    kept = threading.Event()

    def serve(connection: Connection) -> None:
        while connection.read_request() is not None:
            if connection.number == 1 and kept.is_set():
                return  # closes instead of an answer
            connection.send(OK)
            kept.set()

    with serving(serve) as server, open_client() as client:
        exchange, sent = user(), request(server.url, cookies=True)
        send(client, exchange, sent)
        send(client, exchange, sent)
        assert outcome(exchange) == ("", 200)
        assert (exchange.attempts, exchange.flags & RESENT, exchange.connections) == (2, RESENT, 1)


def test_a_request_that_could_not_be_sent_is_no_attempt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with open_client() as client:
        for changes in ({}, {"cookies": True}):
            exchange = send(client, user(), request(f"http://127.0.0.1:{port}/", **changes))
            assert (outcome(exchange), exchange.attempts, exchange.connections) == (("refused", 0), 0, 0)


def test_what_ended_while_it_started_and_is_cut_is_not_handed_back(tmp_path: Path) -> None:
    with open_client() as client:
        exchange = user()
        client.start(exchange, request("http://app/", unix_socket=str(tmp_path / "none")))
        assert client.in_flight == 1
        client.cut(exchange)
        assert client.in_flight == 0
        assert client.poll(0.0) == []


@transfers_only("redirects are followed by libcurl transfers")
def test_many_users_with_everything_at_once_are_counted_exactly() -> None:
    with site(a=answer(302, Location="/b", Set_Cookie="s=1; Path=/")) as (served, server, client):
        sent = request(f"{server.url}/a", follow_redirects=True, cookies=True, compressed=True)
        users = [user(number) for number in range(1, 101)]
        attempts = connections = 0
        for _ in range(5):
            for done in send_all(client, users, sent):
                assert outcome(done) == ("", 200)
                attempts += done.attempts
                connections += done.connections
        assert (attempts, connections) == (len(served.seen), len(server.connections)) == (1000, 100)
