"""/basic, /digest, /login and /protected. Oracles: urllib, libcurl, the examples of RFC 7617 and RFC 7616."""

import base64
import hashlib
import io
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pycurl
import pytest
from raw_client import RawClient, RawResponse
from target_process import TIMEOUT_S, TargetProcess

from perfcore.target.auth_routes import login, protected
from perfcore.target.digest import MAX_NONCES, Nonces, parse_credentials, proof
from perfcore.target.messages import Request
from perfcore.target.state import TargetState


@pytest.fixture
def client(target: TargetProcess) -> Iterator[RawClient]:
    with RawClient(target.port) as client:
        yield client


def ask(client: RawClient, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> RawResponse:
    lines = [f"{method} {target} HTTP/1.1", f"Content-Length: {len(body)}", *headers, "", ""]
    client.send("\r\n".join(lines).encode() + body)
    return client.response()


def test_basic_credentials_are_those_of_the_path(client: RawClient) -> None:
    # The example of RFC 7617 section 2: Aladdin, "open sesame".
    path = "/basic/Aladdin/open%20sesame"
    good = ask(client, path, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    assert (good.status, json.loads(good.body)) == (200, {"authenticated": True, "user": "Aladdin"})
    wrong = [f"Basic {base64.b64encode(b'Aladdin:x').decode()}", "Basic ???", "Basic", "Bearer x", "x"]
    for headers in ((), *((f"Authorization: {each}",) for each in wrong)):
        response = ask(client, path, *headers)
        assert response.status == 401
        assert response.headers["www-authenticate"].startswith('Basic realm="perfcore"')
    assert client.ask("/basic/Aladdin").status == 404


def test_basic_knows_passwords_beyond_ascii(client: RawClient) -> None:
    credentials = base64.b64encode("jörg:pa:ß".encode()).decode()
    response = ask(client, "/basic/j%C3%B6rg/pa%3A%C3%9F", f"Authorization: Basic {credentials}")
    assert json.loads(response.body)["user"] == "jörg"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_proof_is_that_of_rfc_7616_section_3_9_1(algorithm: str, expected: str) -> None:
    given = parse_credentials(
        'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", '
        f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
        'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="x", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    assert given is not None
    user = ("Mufasa", "http-auth@example.org", "Circle of Life")
    assert proof(algorithm, user, "GET", "/dir/index.html", given) == expected


@pytest.mark.parametrize("text", ["", "Basic x", 'Digest a="1', "Digest a", "Digest a=1, a=2", "Digest ,"])
def test_malformed_digest_credentials_are_none(text: str) -> None:
    assert not parse_credentials(text)


@pytest.mark.parametrize("query", ["", "?algorithm=MD5", "?qop=", "?stale_after=1", "?a=b%20c"])
def test_urllib_gets_past_digest(target: TargetProcess, query: str) -> None:
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, target.url, "ada", "s3:cret")
    digest = urllib.request.HTTPDigestAuthHandler(passwords)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), digest)
    for _ in range(3):
        with opener.open(f"{target.url}/digest/ada/s3:cret{query}", timeout=TIMEOUT_S) as answer:
            assert json.load(answer) == {"authenticated": True, "user": "ada"}
    assert target.stats()["requests"] > 3
    with pytest.raises((urllib.error.HTTPError, ValueError), match=r"401|retried"):
        opener.open(f"{target.url}/digest/ada/other{query}", timeout=TIMEOUT_S)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_libcurl_gets_past_digest_with_any_method_and_body(
    target: TargetProcess, algorithm: str, method: str
) -> None:
    answer = io.BytesIO()
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, f"{target.url}/digest/ada/secret?algorithm={algorithm}&stale_after=2")
    curl.setopt(pycurl.PROXY, "")
    curl.setopt(pycurl.TIMEOUT, int(TIMEOUT_S))
    curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST)
    curl.setopt(pycurl.USERPWD, "ada:secret")
    curl.setopt(pycurl.CUSTOMREQUEST, method)
    if method == "POST":
        curl.setopt(pycurl.POSTFIELDS, "x" * 5_000)
    curl.setopt(pycurl.WRITEFUNCTION, answer.write)
    for _ in range(5):
        answer.seek(0)
        answer.truncate()
        curl.perform()
        assert curl.getinfo(pycurl.RESPONSE_CODE) == 200
        assert json.loads(answer.getvalue())["user"] == "ada"
    curl.close()
    # A challenge, two uses, a stale nonce, two uses, a stale nonce, one use.
    assert target.stats()["requests"] == 8


class DigestUser:
    """Digest by hand: MD5 and auth, so that every part of it can be made wrong."""

    def __init__(self, client: RawClient, target: str) -> None:
        self.client = client
        self.target = target
        self.nonce = ""

    def challenge(self) -> RawResponse:
        response = ask(self.client, self.target)
        self.nonce = self.nonce_of(response)
        return response

    @staticmethod
    def nonce_of(response: RawResponse) -> str:
        assert response.status == 401
        found = re.search(r'nonce="([^"]+)"', response.headers["www-authenticate"])
        assert found
        return found[1]

    def ask(
        self, nc: int, password: str = "p", uri: str = "", method: str = "GET", extra: str = ""
    ) -> RawResponse:
        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        uri = uri or self.target
        first, second = md5(f"u:perfcore:{password}"), md5(f"{method}:{uri}")
        response = md5(f"{first}:{self.nonce}:{nc:08x}:c:auth:{second}")
        return ask(
            self.client,
            self.target,
            f'Authorization: Digest username="u", realm="perfcore", nonce="{self.nonce}", uri="{uri}", '
            f'nc={nc:08x}, cnonce="c", qop=auth, response="{response}"{extra}',
            method=method,
        )


def reason(response: RawResponse) -> object:
    assert response.status == 401
    return json.loads(response.body)["reason"]


def test_every_challenge_has_a_nonce_of_its_own(client: RawClient) -> None:
    user = DigestUser(client, "/digest/u/p")
    assert len({user.nonce_of(user.challenge()) for _ in range(10)}) == 10


def test_nc_must_rise_so_that_the_same_bytes_count_once(client: RawClient) -> None:
    user = DigestUser(client, "/digest/u/p")
    user.challenge()
    assert user.ask(1).status == 200
    repeated = user.ask(1)
    assert reason(repeated) == "nc does not rise"
    assert "stale" not in repeated.headers["www-authenticate"]
    assert user.ask(5).status == 200
    assert reason(user.ask(4)) == "nc does not rise"
    assert user.ask(6, method="OPTIONS").status == 200


def test_a_nonce_is_stale_after_its_uses_and_the_new_one_is_good(client: RawClient) -> None:
    user = DigestUser(client, "/digest/u/p?stale_after=2")
    user.challenge()
    assert [user.ask(nc).status for nc in (1, 2)] == [200, 200]
    stale = user.ask(3)
    assert reason(stale) == "the nonce is stale"
    assert "stale=true" in stale.headers["www-authenticate"]
    user.nonce = user.nonce_of(stale)
    assert user.ask(1).status == 200


def test_a_nonce_of_nobody_is_stale_only_for_who_knows_the_password(client: RawClient) -> None:
    user = DigestUser(client, "/digest/u/p")
    user.nonce = "made-up"
    assert "stale=true" in user.ask(1).headers["www-authenticate"]
    assert "stale" not in user.ask(1, password="x").headers["www-authenticate"]


def test_wrong_digest_credentials_are_refused(client: RawClient) -> None:
    user = DigestUser(client, "/digest/u/p")
    user.challenge()
    assert reason(user.ask(1, password="x")) == "wrong user or password"
    assert reason(user.ask(1, uri="/digest/u/q")) == "uri is not the one asked for"
    assert "algorithm" in str(reason(user.ask(1, extra=", algorithm=SHA-256")))
    assert reason(ask(client, user.target, 'Authorization: Digest username="u"')).startswith("missing: realm")
    assert user.ask(1).status == 200
    for wrong in ("/digest/u", "/digest//p"):
        assert client.ask(wrong).status == 404
    for wrong in ("algorithm=SHA-1", "qop=auth-int", "stale_after=x"):
        assert client.ask(f"/digest/u/p?{wrong}").status == 400


def test_a_bounded_number_of_nonces_is_remembered_those_in_use_longest() -> None:
    nonces = Nonces()
    first, second = nonces.issue(), nonces.issue()
    assert nonces.use(first, 1)
    for _ in range(MAX_NONCES - 1):
        nonces.issue()
    assert len(nonces) == MAX_NONCES
    assert (nonces.is_stale(first, None), nonces.is_stale(second, None)) == (False, True)


def log_in(client: RawClient, query: str = "", **fields: object) -> RawResponse:
    return ask(client, f"/login{query}", method="POST", body=json.dumps(fields).encode())


@pytest.mark.parametrize("user", ["ada", "jörg ⚙", "a.b-c_d/e"])
def test_a_token_and_a_session_of_login_open_what_is_protected(client: RawClient, user: str) -> None:
    response = log_in(client, username=user, password="p")
    given = json.loads(response.body)
    assert (response.status, given["expires_in"]) == (200, 3600)
    cookie = response.headers["set-cookie"].partition(";")[0]
    for header in (f"Authorization: Bearer {given['token']}", f"Cookie: a=1; {cookie}"):
        for _ in range(2):
            opened = ask(client, "/protected", header)
            assert (opened.status, json.loads(opened.body)) == (200, {"authenticated": True, "user": user})


def test_no_token_or_a_changed_one_opens_nothing(client: RawClient, target: TargetProcess) -> None:
    token = json.loads(log_in(client, username="ada", password="p").body)["token"]
    user, expiry, signature = token.split(".")
    other = base64.urlsafe_b64encode(b"eva").decode().rstrip("=")
    changed = [f"{other}.{expiry}.{signature}", f"{user}.{expiry}9.{signature}", f"{token}0", "x", ""]
    for header in (
        "X: y",
        "Authorization: Basic eDp5",
        *(f"Authorization: Bearer {each}" for each in changed),
    ):
        response = ask(client, "/protected", header)
        assert response.status == 401
        assert response.headers["www-authenticate"].startswith('Bearer realm="perfcore"')
    assert target.stats()["paths"] == {"/login": 1, "/protected": 7}


def test_a_token_of_no_duration_has_expired(client: RawClient) -> None:
    given = json.loads(log_in(client, "?ttl=0", username="ada", password="p").body)
    assert given["expires_in"] == 0
    response = ask(client, "/protected", f"Authorization: Bearer {given['token']}")
    assert reason(response) == "the token has expired"
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


class Answered:
    """An exchange at an instant that the test chooses."""

    def __init__(self, arrived_ns: int) -> None:
        self.arrived_ns = arrived_ns
        self.wire = b""

    def send(self, wire: bytes) -> None:
        self.wire = wire


def test_a_token_is_good_until_its_ttl_is_over_also_for_remembered_requests() -> None:
    state = TargetState()
    request = Request("POST", "/login?ttl=1500ms", "1.1", [])
    request.body = b'{"username": "ada", "password": "p"}'

    def status_at(plan: object, arrived_ns: int) -> tuple[bytes, bytes]:
        exchange = Answered(arrived_ns)
        assert isinstance(plan, Callable)
        plan(exchange)
        head, _, body = exchange.wire.partition(b"\r\n\r\n")
        return head[9:12], body

    status, body = status_at(login(request, state), 10_000_000_000)
    given = json.loads(body)
    assert (status, given["expires_in"]) == (b"200", 1.5)
    bearer = [(b"Authorization", b"Bearer " + given["token"].encode())]
    plan = protected(Request("GET", "/protected", "1.1", bearer), state)
    assert status_at(plan, 11_499_999_999)[0] == b"200"
    assert status_at(plan, 11_500_000_000)[0] == b"401"
    assert protected(Request("GET", "/protected", "1.1", bearer), TargetState()).startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 400),
        ({"username": "a"}, 400),
        ({"username": "", "password": "p"}, 400),
        ({"username": "a", "password": ""}, 400),
        ({"username": 1, "password": "p"}, 400),
        ({"username": "a", "password": "wrong"}, 401),
        ({"username": "b", "password": "p"}, 401),
        ({"username": "a", "password": "p"}, 200),
    ],
)
def test_login_wants_a_user_and_the_password_if_one_is_set(
    client: RawClient, fields: dict[str, object], status: int
) -> None:
    assert log_in(client, "?username=a&password=p", **fields).status == status


def test_login_is_a_post_of_json(client: RawClient) -> None:
    assert client.ask("/login").status == 405
    assert ask(client, "/login", method="POST", body=b"username=a&password=p").status == 400
    assert log_in(client, "?ttl=x", username="a", password="p").status == 400
    assert log_in(client, username="\ud800", password="p").status == 400
