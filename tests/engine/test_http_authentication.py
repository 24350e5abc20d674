"""Authentication in rounds, and signatures: attempts, samples, and what a server can check.

The servers are raw sockets, so what they saw is known byte for byte.
"""

import hashlib
import hmac
import re

import pytest

from engine.digest_site import digest, digest_site
from engine.http_harness import (
    OK,
    Connection,
    both_engines,
    open_client,
    send,
    serving,
    settings,
    transfers_only,
    user,
)
from engine.http_site import answer, outcome, site
from perfcore.engine.transport import Request
from perfcore.metrics.samples import RESENT

pytestmark = both_engines


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
